"""What keeps a report from being made.

ReportError
+-- BadRequest          what was asked for makes no sense
|   +-- UnknownPlayer   there is no such player
+-- ViewsBehind         a view that the report rests on has not seen the whole log
"""

from __future__ import annotations


class ReportError(Exception):
    """The report cannot be made; the text is one line for people."""


class BadRequest(ReportError):
    """What was asked for makes no sense; the text names the field."""


class UnknownPlayer(BadRequest):
    """There is no such player."""


class ViewsBehind(ReportError):
    """A view has stopped or is behind the log: the report would be incomplete, so there is none."""
