"""The rules of game sessions: opened, closed, and what still needs a live one (rule 3)."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from ledger.commands import OPERATOR, CloseSession, OpenSession, Policy, ReadBalance, Stamp
from ledger.decisions import Decision, Known, Recall, about, moment
from ledger.events import SessionClosed, SessionOpened
from ledger.player import Player, Session
from ledger.refusals import Refusal, Refused


def open_session(player: Player, command: OpenSession, stamp: Stamp, known: Known) -> Decision:
    """Begin a session; from a launch session only while that one is live."""
    if command.session in player.sessions:
        return ()
    if command.parent is not None:
        parent = find_session(player, command.integration, command.parent, known)
        if not isinstance(parent, Session):
            return parent
        if not is_live(parent, moment(player, stamp), command.policy):
            return Refused(Refusal.SESSION_EXPIRED, "the launch session is over")
    if command.currency not in player.wallets:
        return Refused(Refusal.CURRENCY_MISMATCH, f"the player has no {command.currency} wallet")
    event = SessionOpened(
        **about(player, command, stamp, "open_session"),
        integration=command.integration,
        session=command.session,
        game=command.game,
        currency=command.currency,
        parent=command.parent,
    )
    return (event,)


def close_session(player: Player, command: CloseSession, stamp: Stamp, known: Known) -> Decision:
    """End a session and, where asked, those that were opened from it.

    A provider ends its own only.
    """
    session = _held(player, command.session, known)
    if isinstance(session, Recall):
        return session
    if session is None or command.integration not in (OPERATOR, session.integration):
        return Refused(Refusal.UNKNOWN_SESSION, "no such session of this player")
    if command.strict and session.closed and session.closed_by != stamp.movement_id:
        # Closed by this very command, its commit's answer was lost: then it did succeed.
        return Refused(Refusal.SESSION_EXPIRED, "the session is closed already")
    fields = about(player, command, stamp, "close_session") | {"integration": command.integration}
    return tuple(
        SessionClosed(**fields, session=held.session)
        for held in player.sessions.values()
        if not held.closed
        and (
            held.session == command.session
            or (command.with_children and held.parent == command.session)
        )
    )


def read_balance(player: Player, command: ReadBalance, stamp: Stamp, known: Known) -> Decision:
    """Check that the provider may see the balance: a live session, in the currency it names."""
    session = find_session(player, command.integration, command.session, known)
    if not isinstance(session, Session):
        return session
    if not is_live(session, moment(player, stamp), command.policy):
        return Refused(Refusal.SESSION_EXPIRED, "the session is over")
    if command.currency not in (None, session.currency):
        return Refused(Refusal.CURRENCY_MISMATCH, f"the session is not in {command.currency}")
    return ()


def find_session(
    player: Player, integration: str, session: str, known: Known
) -> Session | Refused | Recall:
    """The player's session of that integration, closed or not."""
    held = _held(player, session, known)
    if held is None or (isinstance(held, Session) and held.integration != integration):
        return Refused(Refusal.UNKNOWN_SESSION, "no such session of this player")
    return held


def is_live(session: Session, now: datetime, policy: Policy) -> bool:
    """Whether a bet may still come.

    Neither closed nor idle for longer than the integration allows (rule 3).
    """
    idle_since = session.last_bet_at or session.opened_at
    return not session.closed and now - idle_since <= timedelta(seconds=policy.session_ttl_s)


def _held(player: Player, session: str, known: Known) -> Session | Recall | None:
    """The player's session; one that is no longer in memory counts as closed."""
    if session in player.sessions:
        return player.sessions[session]
    if session not in known.sessions:
        return Recall(session=session)
    found = known.sessions[session]
    if found is None or found[0] != player.player_id:
        return None
    return replace(found[1], closed=True)
