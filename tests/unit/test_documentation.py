"""What the README says of settings, calls, refusals, metrics and commands is what the code has."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import tomllib
from itertools import chain, groupby, islice
from pathlib import Path

import click
import pytest

from adapters import cli
from adapters.command_line import DIFFERENCE, DONE, INTERRUPTED, WRONG
from adapters.metrics import Metrics
from adapters.operator.problems import PROBLEMS, REFUSALS
from adapters.operator.routes import ROUTES
from adapters.providers import betbrothers, fizzybubbly, gateway, gpas, marbles
from adapters.providers.registry import PROVIDERS
from adapters.settings import Database, IntegrationSettings, Limits, SealSettings, Server
from adapters.settings_file import KEYS, load
from adapters.settings_integrations import COMMON_KEYS, PROTOCOL_KEYS
from ledger import bets, reversals
from ledger.commands import Policy
from ledger.refusals import Refusal
from projections.exceptions import KINDS
from projections.statements.findings import KINDS as DIFFERENCES
from projections.statements.findings import LISTED, NOTED
from projections.statements.form import COLUMNS, WORDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SEAL_KEY = ROOT / "deploy" / "demo" / "seals-private.pem"
PAGES = (ROOT / "README.md", *sorted((ROOT / "deploy").rglob("*.md")))

_BLOCK = re.MULTILINE | re.DOTALL
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", _BLOCK)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def section(title: str) -> str:
    """The text under a heading, without what stands under headings below it."""
    found = re.search(rf"^#+ {re.escape(title)}$\n(.*?)(?=^#|\Z)", README, _BLOCK)
    assert found, f"the README has no section {title}"
    return found[1]


def rows(title: str) -> list[list[str]]:
    """Every row of the section's tables, heads left out, as cells."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heads = {at - 1 for at, row in enumerate(cells) if set("".join(row)) <= set("-| ")}
    return [row for at, row in enumerate(cells) if at not in heads and at - 1 not in heads]


def names(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def first_names(title: str) -> list[str]:
    """The names in the first column of the section's tables."""
    return [name for row in rows(title) for name in names(row[0])]


TABLES = {
    "server": KEYS["server"],
    "database": KEYS["database"],
    "operator": KEYS["operator.tokens"],
    "integrations": (*COMMON_KEYS, *{key for keys in PROTOCOL_KEYS.values() for key in keys}),
    "currencies": KEYS["currencies"],
    "limits": KEYS["limits"],
    "projections": KEYS["projections"],
    "seals": KEYS["seals"],
    "reports": KEYS["reports"],
    "demo": KEYS["demo"],
}


@pytest.mark.parametrize("table", TABLES)
def test_every_setting_is_documented_in_its_table_and_no_other(table):
    """A key that only one of README and code knows is a key that somebody sets in vain."""
    assert sorted(first_names(table)) == sorted(TABLES[table])


@pytest.mark.parametrize(
    ("table", "defaults"),
    [
        ("server", Server()),
        ("database", Database()),
        ("limits", Limits()),
        ("seals", SealSettings()),
        ("integrations", Policy()),
        ("integrations", IntegrationSettings(name="any", protocol="required")),
    ],
)
def test_the_defaults_that_are_documented_are_those_that_hold(table, defaults):
    """People leave a key out because of the default that they read."""
    for row in rows(table):
        (name,) = names(row[0])
        default = getattr(defaults, name, None)
        if isinstance(default, int | float | str):
            assert row[1].strip('"') in (str(default), str(default).lower()), name


def test_the_example_configuration_is_one_that_loads(tmp_path):
    """It is copied, and whoever copies it trusts every line of it."""
    text = re.findall(r"^```toml\n(.*?)^```$", README, _BLOCK)[0]
    variables = dict.fromkeys(re.findall(r"env:(\w+)", text), "a secret")
    for number, name in enumerate(variables):
        url = f"postgresql://login@host/{number}"
        variables[name] = url if name.endswith("_URL") else f"secret {number}"
    variables["WALLET_LEDGER_SEAL_KEY"] = SEAL_KEY.read_text(encoding="utf-8")
    file = tmp_path / "example.toml"
    file.write_text(text, encoding="utf-8")
    settings = load(file, variables)
    assert settings.warnings == ()
    assert set(tomllib.loads(text)) <= set(KEYS[""])


def test_every_metric_is_documented_and_no_other():
    """An alarm on a metric that does not exist never rings."""
    documented = [name for name in first_names("Metrics") if "*" not in name]
    assert sorted(documented) == sorted(Metrics().names())


def test_every_warning_and_error_of_the_log_is_documented_and_no_other():
    """Whoever is woken by one looks it up; the table is all there is at 3 a.m."""
    levels = {"warning", "error", "exception", "critical"}
    logged = {
        str(call.args[0].value)
        for folder in ("ledger", "projections", "adapters")
        for file in (ROOT / folder).rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in levels
        and getattr(call.func.value, "id", None) in ("log", "_log")
        and isinstance(call.args[0], ast.Constant)
    }
    assert sorted(first_names("Warnings and errors")) == sorted(logged)


def test_every_protocol_is_documented_where_it_is_chosen_and_where_it_refuses():
    """A protocol that a table leaves out is taken for one that is not spoken."""
    (row,) = [row for row in rows("integrations") if names(row[0]) == ["protocol"]]
    assert set(re.findall(r'"(\w+)"', row[2])) == set(PROVIDERS)
    head = section("Refusals").partition("\n|---")[0].splitlines()[-1]
    assert {cell.split()[0] for cell in head.strip("|").split("|")[3:]} == set(PROVIDERS)


def test_every_refusal_is_documented_in_the_order_of_the_checks():
    """The order is part of what is promised: the first that holds is the answer."""
    assert first_names("Refusals") == [refusal.value for refusal in Refusal]


@pytest.mark.parametrize("refusal", Refusal)
def test_what_a_refusal_becomes_is_documented_for_every_protocol(refusal):
    """Support reads a provider's code and has to find the ledger's reason for it."""
    (row,) = [row for row in rows("Refusals") if names(row[0]) == [refusal.value]]
    assert row[2:] == [
        str(REFUSALS[refusal][0]),
        _betbrothers(refusal),
        _marbles(refusal),
        "{} / {} {}".format(*gpas.ERRORS[refusal]),
        _fizzybubbly(refusal),
    ]


def _betbrothers(refusal: Refusal) -> str:
    code = betbrothers.ERRORS[refusal]
    if refusal in betbrothers.BET_ERRORS:
        return f"bet {betbrothers.BET_ERRORS[refusal]}, else {code}"
    return str(code)


def _marbles(refusal: Refusal) -> str:
    status = marbles.STATUSES[refusal]
    if refusal is Refusal.ORIGINAL_NOT_FOUND:
        return f"win {status}; rollback SUCCESS"
    if refusal in marbles.BALANCE_STATUSES:
        return f"balance {marbles.BALANCE_STATUSES[refusal]}, else {status}"
    if refusal in marbles.HTTP_STATUSES:
        return f"HTTP {marbles.HTTP_STATUSES[refusal]}, {status}"
    return status


def _fizzybubbly(refusal: Refusal) -> str:
    text = "{} / {}".format(*fizzybubbly.ERRORS[refusal])
    if refusal in fizzybubbly.ROLLBACK_ERRORS:
        return f"{text}; rollback {fizzybubbly.ROLLBACK_ERRORS[refusal][1]}"
    return text


def test_every_call_of_the_operator_api_is_documented_with_its_role():
    """A right that nobody knows of is given to the wrong people."""
    documented = {names(row[0])[0]: row[1] for row in rows("Operator API") if "/" in row[0]}
    expected = {f"{route.method} /api{route.path}": route.role or "none" for route in ROUTES}
    assert documented == expected


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_field_that_a_call_takes_is_documented(route):
    """A field that has to be guessed is guessed wrong."""
    call = f"`{route.method} /api{route.path}`"
    (row,) = [row for row in rows("Operator API") if row[0] == call]
    assert set(names(row[2])) == set(route.takes.__struct_encode_fields__)


def test_every_further_code_of_a_problem_is_documented():
    """Programs decide by the code."""
    documented = {names(row[0])[0]: row[1] for row in rows("Operator API") if "/" not in row[0]}
    refusals = {refusal.value for refusal in Refusal}
    expected = {code: str(kind[0]) for code, kind in PROBLEMS.items() if code not in refusals}
    assert documented == expected


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=lambda provider: provider.__name__)
def test_every_path_of_a_provider_is_documented(provider):
    """The provider is told these paths, and a firewall is opened for them."""
    protocol = provider.__module__.rpartition(".")[2]
    (row,) = [row for row in rows("Provider paths") if row[0] == protocol]
    routes = provider.routes(object.__new__(provider))
    expected = {f"{route.method} /{protocol}{route.path}" for route in routes}
    assert {name for name in names(row[1]) if "/" in name} == expected


def commands() -> dict[str, click.Command]:
    """Every command by its name."""
    group = cli.Commands()
    found = {name: group.get_command(click.Context(group), name) for name in cli.COMMANDS}
    return {name: command for name, command in found.items() if command is not None}


def test_every_command_is_documented():
    """What is not in the README is not found when it is needed."""
    documented = [names(row[0])[0] for row in rows("Commands") if names(row[0])]
    assert sorted(documented) == sorted(cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_of_a_command_is_documented(name):
    """An option that does not exist costs a maintenance window."""
    (row,) = [row for row in rows("Commands") if names(row[0]) == [name]]
    options = {
        option
        for parameter in commands()[name].params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
        if option.startswith("--")
    }
    documented = {word for word in names(row[2]) if word.startswith("--")}
    assert documented == options - {"--config"}
    assert "`--config`" in section("Commands")


def test_every_exit_code_is_documented():
    """Scripts decide by it."""
    codes = {row[0] for row in rows("Commands") if row[0].isdecimal()}
    assert codes == {str(code) for code in (DONE, DIFFERENCE, WRONG, INTERRUPTED)}


def test_every_field_of_a_calls_log_line_is_documented():
    """Dashboards and searches in a dispute are built on these names."""
    tree = ast.parse(Path(gateway.__file__).read_text(encoding="utf-8"))
    (line,) = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Dict)
        and [getattr(target, "id", "") for target in node.targets] == ["line"]
    ]
    fields = {key.value for key in line.keys if isinstance(key, ast.Constant)}
    assert set(first_names("Log lines")) == fields | {"time", "level", "detail"}


def test_every_kind_of_exception_is_documented():
    """The report is asked for one by its name."""
    (line,) = re.findall(r"The kinds of exceptions: (.*?)\.", section("The reports"), re.DOTALL)
    assert tuple(names(line)) == KINDS


def test_everything_about_reconciliations_is_documented_and_nothing_else():
    """Support decides by a kind what to do; a file is written by this page."""
    documented = first_names("Reconciliation")
    operations = [row for row in rows("Reconciliation") if row[0] in set(WORDS.values())]
    words = {word: row[0] for row in operations for word in names(row[1])}
    assert words == {word: each for word, each in WORDS.items() if each != "rollback"}
    assert documented == [*COLUMNS, *DIFFERENCES, *NOTED]
    runbook = (ROOT / "deploy" / "runbooks" / "reconciliation.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| ([^|]+)", runbook, re.MULTILINE)
    in_runbook = {name for cell in cells for name in names(cell)}
    assert in_runbook == {*DIFFERENCES, *LISTED}


def noted(module: str) -> set[str]:
    """The kinds of exceptions that a module notes on its events: texts, or constants of its own."""
    source = sys.modules[module]
    lines = [line for line in inspect.getsource(source).splitlines() if "exceptions" in line]
    texts = {word for line in lines for word in re.findall(r'"(\w+)"(?![]:])', line)}
    constants = {word for line in lines for word in re.findall(r"\(([A-Z_]+),\)", line)}
    return texts | {getattr(source, name) for name in constants}


def test_every_kind_of_exception_that_is_noted_is_one_that_can_be_asked_for():
    """The report refuses a kind that it does not know."""
    providers = (provider.__module__ for provider in PROVIDERS.values())
    modules = [bets.__name__, reversals.__name__, *providers]
    found = {kind for module in modules for kind in noted(module)}
    assert {"late_win", "amount_mismatch", gpas.UNBOUND_WIN} < found
    assert found < set(KINDS)


def test_every_make_target_that_is_named_exists():
    """The first thing that a newcomer types must work."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE))
    assert {"run", "test"} <= named
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_row_of_a_table_stands_in_one(page):
    """Behind a blank line a row is no row any more, but text full of bars."""
    lines = _FENCE.sub("", page.read_text(encoding="utf-8")).splitlines()
    for is_table, block in groupby(lines, key=lambda line: line.startswith("|")):
        if is_table:
            head, rule = islice(chain(block, [""]), 2)
            assert re.fullmatch(r"\|( *:?-+:? *\|)+", rule), head
            assert rule.count("|") == head.count("|"), head


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = [title for _, title in _HEADING.findall(text)]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    """A dead link is found by the one who needs it most."""
    for target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        other = (page.parent / file).resolve() if file else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target
