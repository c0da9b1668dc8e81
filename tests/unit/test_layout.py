"""Who may import whom: the directions that keep the rules pure and the ledger self-contained."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("ledger", "projections", "adapters")
PURE = ("money", "commands", "events", "wallet", "refusals", "chain")
IMPURE_LIBRARY = {
    "asyncio",
    "io",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
    "uuid",
}
CLOCKS = {"now", "today", "utcnow"}


def modules(package: str) -> list[Path]:
    """Every module of a package."""
    return sorted((ROOT / package).rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """The full names of what a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_module(name: str) -> bool:
    """Whether the name is a module of this repository."""
    return (ROOT / Path(*name.split("."))).with_suffix(".py").exists()


def pure_modules() -> set[str]:
    """The pure modules and every module of the ledger that one of them rests on."""
    found: set[str] = set()
    waiting = [f"ledger.{name}" for name in PURE]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            file = (ROOT / Path(*name.split("."))).with_suffix(".py")
            waiting += [other for other in imported(file) if is_module(other)]
    return found


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [("ledger", ("projections", "adapters")), ("projections", ("adapters",))],
)
def test_dependencies_run_one_way(package, forbidden):
    """The ledger must be usable, testable and auditable without its views and its protocols."""
    for file in modules(package):
        for name in imported(file):
            assert name.partition(".")[0] not in forbidden, f"{file} imports {name}"


def test_product_code_never_imports_the_tests():
    """What is shipped must not need what is not."""
    for package in PACKAGES:
        for file in modules(package):
            assert not any(name.partition(".")[0] == "tests" for name in imported(file)), file


@pytest.mark.parametrize("module", sorted(pure_modules()))
def test_a_pure_module_imports_the_standard_library_and_msgspec_only(module):
    """A decision that can be replayed in ten years rests on nothing that changes under it."""
    file = (ROOT / Path(*module.split("."))).with_suffix(".py")
    for name in imported(file):
        top = name.partition(".")[0]
        assert top in {"msgspec", "ledger"} or top in sys.stdlib_module_names, name
        assert top not in IMPURE_LIBRARY, f"{module} imports {name}: no clock, id or input/output"


@pytest.mark.parametrize("module", sorted(pure_modules()))
def test_a_pure_module_never_asks_for_the_time(module):
    """The time comes in with the command: otherwise a replay would decide differently."""
    file = (ROOT / Path(*module.split("."))).with_suffix(".py")
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in CLOCKS, f"{module}:{node.lineno}"


def test_every_module_says_what_it_is_for():
    """A reader who opens any file must learn from its first line why it exists."""
    for package in PACKAGES:
        for file in modules(package):
            assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))), file


def test_the_top_level_holds_the_packages_and_nothing_else():
    """The whole top level can be taken in at a glance."""
    allowed = {*PACKAGES, "tests", "deploy", "pyproject.toml", "README.md", "Makefile"}
    made = {"var", "build", "mutants"}
    for path in ROOT.iterdir():
        if path.name.startswith(".") or path.suffix == ".egg-info" or path.name in made:
            continue
        assert path.name in allowed, path.name
