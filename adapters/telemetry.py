"""Logs: JSON lines, cheap enough for one a call, written by a thread that no caller waits for.

Lines wait up to 100 ms, warnings and worse not at all; what holds a secret is blotted out by name.
Counters and histograms are in `adapters.metrics`.
"""

from __future__ import annotations

import atexit
import logging
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from traceback import format_exception
from typing import Any, Final

import orjson
import structlog
from structlog.typing import FilteringBoundLogger, WrappedLogger

FLUSH_INTERVAL_S: Final = 0.1
LINES_WAITING_MAX: Final = 100_000
"""More than these wait only if nobody reads the log; further ones are counted and dropped."""

REDACTED: Final = "[redacted]"
REDACTED_NAMES: Final = frozenset(
    {
        "authorization",
        "cookie",
        "password",
        "private_key",
        "secret",
        "secrets",
        "session_token",
        "signature",
        "signing_key",
        "token",
    }
)
"""Fields whose values never reach the log, whatever they hold."""

_URGENT_LEVEL: Final = logging.WARNING
_WRITABLE_TIMEOUT_S: Final = 1.0
_CLOSE_TIMEOUT_S: Final = 5.0
_ORJSON: Final = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


class LineWriter:
    """Writes lines to a file descriptor from a thread of its own, in the order they came."""

    def __init__(
        self,
        descriptor: int,
        *,
        flush_interval_s: float = FLUSH_INTERVAL_S,
        lines_waiting_max: int = LINES_WAITING_MAX,
    ) -> None:
        self._descriptor = descriptor
        self._flush_interval_s = flush_interval_s
        self._lines_waiting_max = lines_waiting_max
        self._lines: deque[bytes] = deque()
        self._lost = 0
        self._torn = False
        self._urgent = threading.Event()
        self.closed = False
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Queue a line that ends in a newline; never blocks, never raises."""
        if len(self._lines) < self._lines_waiting_max:
            self._lines.append(line)
        else:
            self._lost += 1

    def write_now(self, line: bytes) -> None:
        """Queue a line and have the thread write at once; does not wait for it."""
        self.write(line)
        self._urgent.set()

    def flush(self) -> None:
        """Write what is queued, in the calling thread."""
        with self._writing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if self._lost:
                lost, self._lost = self._lost, 0
                lines.append(render("error", {"event": "log_lines_lost", "lines": lost}))
            if lines:
                self._write_lines(lines)

    def close(self) -> None:
        """Stop the thread and write the rest."""
        self.closed = True
        self._urgent.set()
        self._thread.join(timeout=_CLOSE_TIMEOUT_S)
        if not self._thread.is_alive():  # else it waits for a reader, who would not read the rest
            self.flush()

    def _write_lines(self, lines: Sequence[bytes]) -> None:
        """A line that was written in part (its disk was full) must not be glued to the next."""
        data = (b"\n" if self._torn else b"") + b"".join(lines)
        written = data[: _write_all(self._descriptor, data)]
        if written:
            self._torn = not written.endswith(b"\n")
        if len(written) < len(data):
            self._lost += len(lines)

    def _run(self) -> None:
        while not self.closed:
            self._urgent.wait(self._flush_interval_s)
            self._urgent.clear()
            self.flush()


def render(level: str, fields: MutableMapping[str, Any]) -> bytes:
    """One log line: time (UTC), level, then ``fields``, redacted. Never raises."""
    return render_line({"time": datetime.now(UTC), "level": level, **_redacted(fields)})


def render_line(line: Mapping[str, Any]) -> bytes:
    """A log line whose fields are all there and hold no secret. Never raises.

    A call's own line goes this way, past structlog: ``writer.write(render_line(line))``.
    """
    try:
        return orjson.dumps(line, default=repr, option=_ORJSON)
    except TypeError:  # half a surrogate, an integer beyond 64 bits, a key that is no string
        plain = {
            ascii(key)[1:-1]: value if key in ("time", "level") else ascii(value)
            for key, value in line.items()
        }
        return orjson.dumps(plain, default=repr, option=_ORJSON)


def configure_logging(descriptor: int = 2) -> LineWriter:
    """Send structlog's and the standard library's logs to ``descriptor`` as JSON lines.

    Called again in the same process, it returns the writer there is. What is queued is written at
    exit; a forked child must call it anew, for the thread is not copied.
    """
    known = _writers.get((os.getpid(), descriptor))
    if known is not None and not known.closed:
        return known
    writer = _writers[os.getpid(), descriptor] = LineWriter(descriptor)
    atexit.register(writer.close)
    structlog.configure(
        processors=[_render_event],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Sink(writer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_StandardHandler(writer)], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    return writer


def configure_console() -> None:
    """Send logs to standard error, for people: a command's result is on standard output."""
    structlog.configure(
        processors=[
            _redact,
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get_logger(**fields: Any) -> FilteringBoundLogger:
    """A logger whose lines all carry ``fields``; made after `configure_logging`."""
    logger: FilteringBoundLogger = structlog.get_logger().bind(**fields)
    return logger


_writers: dict[tuple[int, int], LineWriter] = {}


class _Sink:
    """What structlog calls with the finished line, by level."""

    __slots__ = ("critical", "debug", "error", "exception", "info", "warning")

    def __init__(self, writer: LineWriter) -> None:
        later: Callable[[bytes], None] = writer.write
        now: Callable[[bytes], None] = writer.write_now
        self.debug = self.info = later
        self.warning = self.error = self.exception = self.critical = now


class _StandardHandler(logging.Handler):
    """Lines of libraries that use the standard library's logging."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as one line."""
        try:
            fields = {"event": record.getMessage(), "logger": record.name}
        except (TypeError, ValueError):  # a message whose arguments do not fit it
            fields = {"event": str(record.msg), "logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = "".join(format_exception(record.exc_info[1]))
        write = self._writer.write_now if record.levelno >= _URGENT_LEVEL else self._writer.write
        write(render(record.levelname.lower(), fields))


def _render_event(_logger: WrappedLogger, level: str, fields: MutableMapping[str, Any]) -> bytes:
    if "exc_info" in fields:
        error = _exception(fields.pop("exc_info"))
        if error is not None:
            fields["exception"] = "".join(format_exception(error))
    return render(level, fields)


def _redact(
    _logger: WrappedLogger, _level: str, fields: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return _redacted(fields)


def _redacted(fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if REDACTED_NAMES.isdisjoint(fields):
        return fields
    return {key: REDACTED if key in REDACTED_NAMES else fields[key] for key in fields}


def _exception(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return _exception(exc_info[1])
    return sys.exc_info()[1] if exc_info else None


def _write_all(descriptor: int, data: bytes) -> int:
    """Write it all; how many bytes were, fewer when the reader is gone or does not read."""
    written = 0
    while written < len(data):
        try:
            written += os.write(descriptor, memoryview(data)[written:])
        except BlockingIOError:
            if not select.select([], [descriptor], [], _WRITABLE_TIMEOUT_S)[1]:
                break
        except OSError:
            break
    return written
