"""The GPAS adapter: sessions, movements, and the numeric errors."""

from __future__ import annotations

import json
from typing import Any, cast
from urllib.parse import urlencode

import pytest

from adapters.keys import Secret
from adapters.providers.gpas import ERRORS, GpasProvider
from adapters.providers.protocol import Call, Reply
from adapters.providers.signatures import sha1_suffixed
from adapters.settings import Gpas
from ledger.commands import (
    CloseSession,
    CreditWin,
    OpenSession,
    PlaceBet,
    Policy,
    ReadBalance,
    ReadPlayer,
    RollbackMovement,
)
from ledger.currencies import Currencies
from ledger.player import Player, Session
from ledger.refusals import Refusal, Refused
from ledger.service import Accepted, token_hash
from ledger.store import SessionRow, StoreUnavailable
from tests.unit.provider_fakes import (
    MOVEMENT,
    NOW,
    PLAYER,
    FakeLedger,
    accepted,
    answer,
    call,
    session_row,
)

SECRET = Secret("Ax34deSfgdB")
PARENT = "BL13GT"
POLICY = Policy(stake_order="bonus_first")
LAUNCH, WALLET = "launch-token", "wallet-token"
CENT = 1000
"""Ledger units of a cent."""


def sessions(**changes: Any) -> dict[str, SessionRow | Exception]:
    """A launch session, the wallet session opened from it, and one of another integration."""
    return {
        LAUNCH: session_row(LAUNCH, "gpas", **changes),
        WALLET: session_row(WALLET, "gpas", parent=LAUNCH, **changes),
        "foreign": session_row("foreign", "marbles", parent=LAUNCH),
        "broken": StoreUnavailable("no database"),
    }


def ledger_with(*outcomes: Accepted | Refused, **changes: Any) -> FakeLedger:
    """A ledger with those sessions that gives these answers."""
    return FakeLedger(list(outcomes) or [accepted()], sessions=sessions(**changes))


def provider(ledger: FakeLedger | None = None, **settings: Any) -> GpasProvider:
    """The adapter, with a ledger that the test looks into."""
    fields: dict[str, Any] = {
        "name": "gpas",
        "parent_system_id": PARENT,
        "secrets": (SECRET,),
        "policy": POLICY,
    }
    return GpasProvider(
        "gpas", Gpas(**fields | settings), cast("Any", ledger or ledger_with()), Currencies()
    )


def signed(
    method: str, path: str, query: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> Call:
    """The call with the vendor's headers: the body signed on movements, the query elsewhere."""
    message = body if path.startswith("/movements/") else query.encode()
    defaults = {
        "x-parent-system-id": PARENT,
        "x-signature": sha1_suffixed(SECRET, message).decode(),
    }
    return call(path, body, method=method, query=query, headers=defaults | (headers or {}))


def movement(name: str, body: dict[str, Any] | str, *, session: str = WALLET, **query: str) -> Call:
    """A debit, credit or rollback."""
    raw = (body if isinstance(body, str) else json.dumps(body)).encode()
    method = "PATCH" if name == "rollback" else "POST"
    parameters = urlencode({"walletSessionId": session} | query)
    return signed(method, f"/movements/{name}", parameters, raw)


def debit(**changes: Any) -> dict[str, Any]:
    """A debit's body."""
    body = {
        "externalReference": "t-1",
        "value": 12.5,
        "description": "Debit game move",
        "typeCode": "GAME_DEBIT",
        "tags": {"gpasSessionId": "gpas-1", "gameid": "g-1", "roundid": "r-1"},
    }
    return body | changes


def credit(tags: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A credit's body."""
    all_tags = {
        "gpasSessionId": "gpas-1",
        "gameid": "g-1",
        "roundid": "r-1",
        "closeRound": "true",
        "externalReferenceBet": "t-1",
    }
    return (
        debit(
            externalReference="t-2", typeCode="GAME_CREDIT", tags=all_tags if tags is None else tags
        )
        | changes
    )


def rollback(**changes: Any) -> dict[str, Any]:
    """A rollback's body; the movement to reverse is in the query."""
    return {"externalReference": "t-3", "description": "Rollback", "tags": {}} | changes


def read(reply: Reply) -> tuple[int, Any]:
    """HTTP status and body."""
    return reply.status, json.loads(reply.body)


async def test_a_debit_becomes_a_stake_and_answers_all_balances() -> None:
    """Numbers carry the currency's digits; REAL and BONUS are always both there."""
    ledger = ledger_with(accepted(real=9150 * CENT, bonus=100 * CENT, moved_bonus=-50 * CENT))
    made = movement("debit", debit())
    reply = await answer(provider(ledger), made)
    assert reply.status == 200
    assert reply.body == (
        b'{"status":"CONFIRMED","movementId":"' + MOVEMENT.encode() + b'","amountBonus":0.50,'
        b'"leftBalance":92.50,"subWalletsSummary":['
        b'{"code":"REAL","leftBalance":91.50,"subWalletsSummary":null},'
        b'{"code":"BONUS","leftBalance":1.00,"subWalletsSummary":null}]}'
    )
    assert ledger.commands == [
        PlaceBet(
            player_id=PLAYER,
            integration="gpas",
            operation="debit",
            key="t-1",
            transaction_id="t-1",
            policy=POLICY,
            session=token_hash(WALLET),
            game="g-1",
            round_id="r-1",
            currency="EUR",
            amount=1250 * CENT,
            tags={"gpasSessionId": "gpas-1"},
        )
    ]
    assert (made.operation, made.player_id, made.transaction_id) == ("debit", PLAYER, "t-1")
    assert made.key_id == SECRET.id


@pytest.mark.parametrize("tags", [None, {}])
async def test_a_debit_without_tags_is_a_round_of_its_own_in_the_launched_game(tags: Any) -> None:
    """Tags are optional; a stake must still belong to a round, so that it can be settled."""
    ledger = ledger_with()
    assert (await answer(provider(ledger), movement("debit", debit(tags=tags)))).status == 200
    (command,) = ledger.commands
    assert (command.round_id, command.game, command.tags) == (None, "launched-game", {})


async def test_a_credit_names_its_bet_and_closes_the_round() -> None:
    """The tags tie the win to its bet: they are all there is."""
    ledger = ledger_with()
    await answer(provider(ledger), movement("credit", credit()))
    (command,) = ledger.commands
    assert isinstance(command, CreditWin)
    assert (command.key, command.bet_key, command.round_id) == ("t-2", "t-1", "r-1")
    assert (command.closes_round, command.exceptions) == (True, ())


@pytest.mark.parametrize(
    ("tags", "exceptions"),
    [
        ({}, ("unbound_win",)),
        ({"gameid": "g-1", "roundid": None}, ("unbound_win",)),
        ({"roundid": "r-1"}, ()),
        ({"externalReferenceBet": "t-1"}, ()),
    ],
)
async def test_a_credit_that_names_nothing_is_listed(
    tags: dict[str, Any], exceptions: tuple[str, ...]
) -> None:
    """It is booked, as the vendor's shorter sample has no such tag, but somebody should look."""
    ledger = ledger_with()
    await answer(provider(ledger), movement("credit", credit(tags)))
    assert ledger.commands[0].exceptions == exceptions


@pytest.mark.parametrize(
    ("value", "closes"),
    [("true", True), (True, True), ("false", False), (False, False), (None, False), (1, False)],
)
async def test_close_round_is_a_string_or_a_boolean(value: object, closes: object) -> None:
    """The vendor sends "true" as a string; tags are dynamic, so anything else closes nothing."""
    ledger = ledger_with()
    await answer(provider(ledger), movement("credit", credit({"closeRound": value})))
    assert ledger.commands[0].closes_round is closes


async def test_a_rollback_reverses_what_the_query_names() -> None:
    """The query is not signed: the session's currency and player go along to be compared."""
    ledger = ledger_with(accepted(moved_bonus=7 * CENT))
    made = movement("rollback", rollback(), externalMovementId="t-1")
    status, reply = read(await answer(provider(ledger), made))
    assert (status, reply["amountBonus"]) == (200, 0.07)
    (command,) = ledger.commands
    assert isinstance(command, RollbackMovement)
    assert (command.key, command.original_key) == ("t-3", "t-1")
    assert (command.player_id, command.currency, command.amount) == (PLAYER, "EUR", None)
    assert command.key in provider().keys_of("t-3")


@pytest.mark.parametrize(
    ("currency", "wire", "units"),
    [
        ("EUR", "200", 20_000_000),
        ("EUR", '"200"', 20_000_000),
        ("EUR", '"12.50"', 1_250_000),
        ("EUR", "1e2", 10_000_000),
        ("EUR", "0.1", 10_000),
        ("EUR", '"0.1"', 10_000),
        ("EUR", "0", 0),
        ("EUR", "-0.0", 0),
        ("EUR", "0.00001", 1),
        ("EUR", "90071992547409.93", 9_007_199_254_740_993_000),
        ("EUR", "92233720368547.75807", 2**63 - 1),
        ("JPY", "100", 10_000_000),
        ("KWD", '"1.234"', 123_400),
    ],
)
async def test_a_value_is_read_exactly(currency: str, wire: str, units: int) -> None:
    """As a number or as a string, and never through a float; the session gives the currency."""
    ledger = ledger_with(currency=currency)
    body = json.dumps(debit(value="@")).replace('"@"', wire)
    assert (await answer(provider(ledger), movement("debit", body))).status == 200
    assert (ledger.commands[0].amount, ledger.commands[0].currency) == (units, currency)


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ('"1e2"', "value: expected a number, got another string"),
        ('"-1"', "value: expected a number, got another string"),
        ('"+1"', "value: expected a number, got another string"),
        ('" 1"', "value: expected a number, got another string"),
        ('"1."', "value: expected a number, got another string"),
        ('".5"', "value: expected a number, got another string"),
        ('"1,5"', "value: expected a number, got another string"),
        ('"0x10"', "value: expected a number, got another string"),
        ('"NaN"', "value: expected a number, got another string"),
        ('"\u0662"', "value: expected a number, got another string"),
        ('""', "value: expected a number, got another string"),
        ('"' + "9" * 65 + '"', "value: expected a number, got another string"),
        ("NaN", "body: NaN is no number"),
        ("true", "value: expected a number, got a boolean"),
        ("null", "value: expected a number, got null"),
        ("[1]", "value: expected a number, got a list"),
        ("-0.01", "value: amount is negative"),
        ("-1", "value: amount is negative"),
        ("0.000001", "value: amount is finer than 5 decimals"),
        ("0.1000000000000000055511151231257827", "value: amount is finer than 5 decimals"),
        ("12345678901.1234567", "value: amount is finer than 5 decimals"),
        ("92233720368547.75808", "value: amount is too large"),
        ("1e400", "value: amount has too many digits"),
        ("1e-400", "value: amount has too many digits"),
    ],
)
async def test_a_bad_value_is_refused(wire: str, message: str) -> None:
    """An exponent in a string, a sign or a blank may be anything: money never moves on a guess."""
    ledger = ledger_with()
    body = json.dumps(debit(value="@")).replace('"@"', wire)
    reply = await answer(provider(ledger), movement("debit", body))
    assert read(reply) == (400, {"code": 1010, "type": "VALIDATION_ERROR", "message": message})
    assert ledger.commands == []


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("debit", debit(externalReference=None), "externalReference: expected an id, got null"),
        ("debit", debit(externalReference=""), "externalReference: empty"),
        ("debit", debit(typeCode="GAME_CREDIT"), "typeCode: does not fit a debit"),
        ("credit", credit(typeCode="GAME_DEBIT"), "typeCode: does not fit a credit"),
        ("debit", debit(tags=[]), "tags: expected an object, got a list"),
        ("debit", debit(tags={"roundid": ""}), "tags.roundid: empty"),
        ("debit", debit(tags={"gameid": []}), "tags.gameid: expected an id, got a list"),
        ("debit", debit(description=[]), "description: expected a string, got a list"),
        ("debit", debit(value="0.000001"), "value: amount is finer than 5 decimals"),
        ("credit", credit(value="99999999999999999999"), "value: amount is too large"),
        (
            "debit",
            debit(tags={"gpasSessionId": []}),
            "tags.gpasSessionId: expected a string, got a list",
        ),
        ("credit", credit({"closeRound": []}), "tags.closeRound: expected a string, got a list"),
        ("credit", credit({"externalReferenceBet": ""}), "tags.externalReferenceBet: empty"),
        ("rollback", rollback(), "query.externalMovementId: missing"),
    ],
)
async def test_a_malformed_movement_is_refused_before_the_session(
    name: str, body: dict[str, Any], message: str
) -> None:
    """Malformed comes before an unknown session: the first that holds is the answer."""
    for session in (WALLET, "unknown"):
        ledger = ledger_with()
        reply = await answer(provider(ledger), movement(name, body, session=session))
        assert read(reply) == (400, {"code": 1010, "type": "VALIDATION_ERROR", "message": message})
        assert ledger.commands == []


async def test_type_code_and_description_may_be_missing() -> None:
    """Only externalReference and value are required."""
    ledger = ledger_with()
    body = {"externalReference": 17, "value": "1"}
    assert (await answer(provider(ledger), movement("credit", body))).status == 200
    assert ledger.commands[0].key == "17"


@pytest.mark.parametrize("session", [LAUNCH, "foreign", "unknown"])
@pytest.mark.parametrize("name", ["debit", "credit", "rollback"])
async def test_a_movement_needs_a_wallet_session_of_this_integration(
    name: str, session: str
) -> None:
    """The launch token passes through the player's browser: it must not move money by itself."""
    ledger = ledger_with()
    body = {"debit": debit(), "credit": credit(), "rollback": rollback()}[name]
    made = movement(name, body, session=session, externalMovementId="t-1")
    status, reply = read(await answer(provider(ledger), made))
    assert (status, reply["code"], reply["type"]) == (400, 1004, "INVALID_WALLET_SESSION")
    assert ledger.commands == []


async def test_a_session_that_cannot_be_looked_up_may_be_tried_again() -> None:
    """The database is away: 1001, as the vendor repeats after it, and never 1004."""
    status, reply = read(await answer(provider(), movement("credit", credit(), session="broken")))
    assert (status, reply["code"]) == (500, 1001)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "walletSessionId=",
        "walletSessionId=a&walletSessionId=b",
        "walletSessionId=%FF",
        "&".join(f"a{n}=1" for n in range(33)),
    ],
)
async def test_a_malformed_query_is_refused(query: str) -> None:
    """Two sessions in one query are none."""
    status, reply = read(await answer(provider(), signed("GET", "/wallets/balance", query)))
    assert (status, reply["code"], reply["type"]) == (400, 1010, "VALIDATION_ERROR")


@pytest.mark.parametrize("path", ["/wallets/balance", "/wallets/my/balance"])
async def test_a_balance_call_lists_real_and_bonus(path: str) -> None:
    """The vendor's page names two paths, and the sum is that of the parts."""
    ledger = ledger_with(accepted(real=5 * CENT, bonus=0, event=None))
    reply = await answer(provider(ledger), signed("GET", path, f"walletSessionId={WALLET}"))
    assert reply.body == (
        b'{"code":"REAL","leftBalance":0.05,"subWalletsSummary":['
        b'{"code":"REAL","leftBalance":0.05,"subWalletsSummary":null},'
        b'{"code":"BONUS","leftBalance":0.00,"subWalletsSummary":null}]}'
    )
    assert ledger.commands == [
        ReadBalance(player_id=PLAYER, integration="gpas", session=token_hash(WALLET), policy=POLICY)
    ]


@pytest.mark.parametrize(
    ("currency", "real", "bonus", "shown"),
    [
        ("EUR", 500, 500, (b"0.01", b"0.00", b"0.01")),
        ("EUR", 999, 0, (b"0.00", b"0.00", b"0.00")),
        ("EUR", -1, 0, (b"-0.01", b"-0.01", b"0.00")),
        ("EUR", 1999, 1999, (b"0.03", b"0.01", b"0.02")),
        ("JPY", 9_250_000_00, 0, (b"9250", b"9250", b"0")),
        ("KWD", 123_456, 0, (b"1.234", b"1.234", b"0.000")),
    ],
)
async def test_the_sum_is_rounded_down_and_the_parts_add_up(
    currency: str, real: int, bonus: int, shown: tuple[bytes, bytes, bytes]
) -> None:
    """The vendor checks that the parts add up; the player must not be shown too much in all."""
    outcome = accepted(currency=currency, real=real, bonus=bonus, event=None)
    ledger = ledger_with(outcome, currency=currency)
    query = f"walletSessionId={WALLET}"
    reply = await answer(provider(ledger), signed("GET", "/wallets/balance", query))
    assert reply.body == (
        b'{"code":"REAL","leftBalance":%b,"subWalletsSummary":['
        b'{"code":"REAL","leftBalance":%b,"subWalletsSummary":null},'
        b'{"code":"BONUS","leftBalance":%b,"subWalletsSummary":null}]}' % shown
    )


def opened() -> Accepted:
    """The ledger's answer to an opened session, its event not needed: it may be found again."""
    opened_at = NOW.replace(microsecond=123_456)
    session = Session(token_hash(f"minted-for-{PLAYER}"), "gpas", "launched-game", "EUR", opened_at)
    player = Player(PLAYER, version=3, sessions={session.session: session})
    return accepted(player=player, event=None)


def opening(wallet_id: str = PLAYER, token: str | None = f"Bearer {LAUNCH}") -> Call:
    """POST /sessions."""
    headers = {} if token is None else {"Authorization": token}
    return signed("POST", "/sessions", urlencode({"walletId": wallet_id}), headers=headers)


async def test_a_launch_token_opens_a_wallet_session() -> None:
    """The token in the answer is new, of our making, and the only one that moves money."""
    ledger = ledger_with(opened())
    reply = await answer(provider(ledger), opening())
    assert read(reply) == (
        200,
        {
            "id": "minted-for-player-1",
            "walletId": PLAYER,
            "created": "2026-01-02T03:04:05.123Z",
            "status": "OPEN",
        },
    )
    assert ledger.commands == [
        OpenSession(
            player_id=PLAYER,
            session=token_hash("minted-for-player-1"),
            integration="gpas",
            game="launched-game",
            currency="EUR",
            parent=token_hash(LAUNCH),
            policy=POLICY,
        )
    ]


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        LAUNCH,
        f"Basic {LAUNCH}",
        f"Bearer {WALLET}",
        "Bearer unknown",
        "Bearer foreign",
    ],
)
async def test_a_bad_launch_token_is_an_invalid_session(token: str | None) -> None:
    """Unknown, of another integration, or itself a wallet session: 1004."""
    ledger = ledger_with(accepted())
    status, reply = read(await answer(provider(ledger), opening(token=token)))
    assert (status, reply["code"]) == (400, 1004)
    is_session = token == f"Bearer {WALLET}"
    assert ledger.commands == ([] if is_session else [ReadPlayer(player_id=PLAYER)])


async def test_another_players_wallet_is_an_invalid_wallet() -> None:
    """A launch token opens its own player's wallet only: 1005."""
    ledger = ledger_with(opened())
    status, reply = read(await answer(provider(ledger), opening("player-2")))
    assert (status, reply["code"], ledger.commands) == (400, 1005, [])


async def test_closing_a_session_answers_with_no_body() -> None:
    """Strictly: what is closed already is an error, which the ledger says."""
    ledger = ledger_with()
    reply = await answer(provider(ledger), signed("PATCH", "/sessions/close", f"id={WALLET}"))
    assert (reply.status, reply.body) == (200, b"")
    assert ledger.commands == [
        CloseSession(player_id=PLAYER, session=token_hash(WALLET), integration="gpas", strict=True)
    ]
    expired = ledger_with(Refused(Refusal.SESSION_EXPIRED, "closed"))
    made = signed("PATCH", "/sessions/close", f"id={WALLET}")
    assert read(await answer(provider(expired), made))[1]["code"] == 1004


@pytest.mark.parametrize("token", [LAUNCH, "foreign", "unknown"])
async def test_only_a_wallet_session_can_be_closed(token: str) -> None:
    """The launch session is the operator's."""
    ledger = ledger_with()
    made = signed("PATCH", "/sessions/close", f"id={token}")
    status, reply = read(await answer(provider(ledger), made))
    assert (status, reply["code"], ledger.commands) == (400, 1004, [])


async def test_a_replay_is_a_success_or_an_error_as_chosen() -> None:
    """The vendor's page asks for both: the first answer again, and error 1003."""
    first = accepted(real=10 * CENT, player=accepted(real=77 * CENT).player, replayed=True)
    body = debit(externalReference="key")
    for settings, shown in (
        ({}, 0.10),
        ({"replay_balance": "current"}, 0.77),
    ):
        made = provider(ledger_with(first), **settings)
        status, reply = read(await answer(made, movement("debit", body)))
        assert (status, reply["leftBalance"]) == (200, shown)
    made = provider(ledger_with(first), replay="error")
    status, reply = read(await answer(made, movement("debit", body)))
    assert (status, reply["code"], reply["type"]) == (400, 1003, "DUPLICATE_TX_ID")


async def test_a_late_bet_that_is_answered_by_its_tombstone_is_no_replay() -> None:
    """With late_bet "accept" the vendor sends that id for the first time: 1003 would be a lie."""
    late = accepted(key="the rollback's", replayed=True)
    made = movement("debit", debit())
    reply = await answer(provider(ledger_with(late), replay="error"), made)
    assert (reply.status, made.replayed) == (200, False)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-parent-system-id": "other"},
        {"x-parent-system-id": ""},
        {"x-parent-system-id": "\udcff"},
        {"x-signature": ""},
        {"x-signature": sha1_suffixed(SECRET, b"walletSessionId=wallet-token").decode().lower()},
        {"x-signature": sha1_suffixed(SECRET, b"walletSessionId=other").decode()},
        {"x-signature": "\udcff"},
    ],
)
async def test_a_wrong_header_is_a_failed_signature(headers: dict[str, str]) -> None:
    """The signature must be in capitals, and the system the one that is configured: else 1006."""
    ledger = ledger_with()
    made = signed("GET", "/wallets/balance", f"walletSessionId={WALLET}", headers=headers)
    status, reply = read(await answer(provider(ledger), made))
    assert (status, reply["code"], reply["type"]) == (400, 1006, "SIGNATURE_FAILED")
    assert (ledger.commands, made.key_id) == ([], None)


async def test_a_movement_is_not_verified_by_its_query() -> None:
    """A signature that was seen on a balance call must not let a body pass."""
    made = movement("debit", debit())
    of_query = sha1_suffixed(SECRET, made.query.encode()).decode()
    made = signed("POST", made.path, made.query, made.body, {"x-signature": of_query})
    assert read(await answer(provider(), made))[1]["code"] == 1006


TABLE = {
    "invalid_signature": (400, 1006, "SIGNATURE_FAILED"),
    "malformed_request": (400, 1010, "VALIDATION_ERROR"),
    "duplicate_conflict": (400, 1003, "DUPLICATE_TX_ID"),
    "already_reversed": (400, 1010, "TX_ROLLED_BACK"),
    "unknown_player": (400, 1005, "INVALID_WALLET_ID"),
    "unknown_session": (400, 1004, "INVALID_WALLET_SESSION"),
    "session_expired": (400, 1004, "INVALID_WALLET_SESSION"),
    "currency_mismatch": (400, 1010, "CURRENCY_ERROR"),
    "player_blocked": (400, 1008, "USER_BLOCKED"),
    "game_disabled": (400, 1009, "INVALID_GAME_ID"),
    "limit_exceeded": (400, 1010, "LIMIT_EXCEEDED"),
    "reality_check_due": (400, 1010, "REALITY_CHECK"),
    "round_closed": (400, 1010, "ROUND_CLOSED"),
    "original_not_found": (400, 1002, "INVALID_TX_ID"),
    "original_reversed": (400, 1010, "TX_ROLLED_BACK"),
    "original_settled": (400, 1010, "TX_SETTLED"),
    "insufficient_funds": (400, 1007, "INSUFFICIENT_FUNDS"),
    "unavailable": (500, 1001, "SYSTEM_ERROR"),
    "internal": (500, 1001, "SYSTEM_ERROR"),
}
"""The contract."""


def test_every_refusal_has_a_code() -> None:
    """A refusal without a code would be an answer that the vendor cannot read."""
    assert set(ERRORS) == set(Refusal)


@pytest.mark.parametrize("refusal", Refusal)
@pytest.mark.parametrize("name", ["debit", "credit", "rollback"])
async def test_a_refusal_is_answered_with_the_vendors_code(refusal: Refusal, name: str) -> None:
    """The code decides whether the vendor retries, rolls back or gives up."""
    body = {"debit": debit(), "credit": credit(), "rollback": rollback()}[name]
    made = movement(name, body, externalMovementId="t-1")
    status, code, kind = TABLE[refusal.value]
    reply = await answer(provider(ledger_with(Refused(refusal, "why"))), made)
    assert read(reply) == (status, {"code": code, "type": kind, "message": "why"})
