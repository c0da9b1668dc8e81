"""Every role, every table, every verb (P14)."""

from __future__ import annotations

import psycopg

VERBS = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
SUMMED = {"balances", "rounds", "totals", "account_hours"}
ADDED = {"journal", "exceptions"}
ADDED_BY_SERVICE = {
    "calls",
    "reconciliations",
    "reconciliation_results",
    "reconciliation_differences",
}
READ_BY_PROJECTIONS = {"events", "projections", "migrations", "settings"}
PROJECT = (
    dict.fromkeys(SUMMED, "SELECT INSERT UPDATE")
    | dict.fromkeys(ADDED, "SELECT INSERT")
    | dict.fromkeys(READ_BY_PROJECTIONS, "SELECT")
)
SEAL = dict.fromkeys(("events", "migrations", "settings"), "SELECT") | {"seals": "SELECT INSERT"}
ROLES = ["ledger_app", "ledger_project", "ledger_reader", "ledger_seal"]


def allowed(role: str, table: str) -> str:
    """What the role may do with the table."""
    kind = table.removesuffix("_rebuild")
    if kind == "append_turn":
        return ""
    if role == "ledger_project":
        return PROJECT.get(kind, "")
    if role == "ledger_seal":
        return SEAL.get(table, "")
    return "SELECT INSERT" if role == "ledger_app" and table in ADDED_BY_SERVICE else "SELECT"


def test_each_role_may_do_with_each_table_what_it_must_and_no_more(admin_url: str):
    """A table of tomorrow's migration is granted to somebody by a slip of one line."""
    with psycopg.connect(admin_url) as connection:
        found = connection.execute(
            """SELECT role, relname, coalesce(string_agg(verb, ' ' ORDER BY place)
                FILTER (WHERE has_table_privilege(role::name, relation.oid, verb)), '')
            FROM unnest(%s::text[]) AS role,
                pg_class AS relation, unnest(%s::text[]) WITH ORDINALITY AS verbs (verb, place)
            WHERE relation.relkind IN ('r', 'p', 'v') AND NOT relation.relispartition
                AND relation.relnamespace::regnamespace::text IN ('ledger', 'ledger_p00')
            GROUP BY role, relname""",
            (ROLES, VERBS),
        ).fetchall()
    assert len(found) > 60
    assert {row[:2]: row[2] for row in found if row[2] != allowed(*row[:2])} == {}
