"""Promises about the code itself: who imports whom, what is pure, what locks and files hold."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.market.protocol_9 import BEHAVIOURS

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("tradecanvas", "ingest", "ledger", "factors", "market")
LOCKS = [*sorted(path.name for path in ROOT.glob("requirements*.txt")), "package-lock.json"]
ADDRESS = re.compile(r"https?://|file:|--index-url|--find-links")
RETIRED = "TRADE_CANVAS_ENABLE_LEDGER_SYNC_SERVICE"


def sources() -> list[Path]:
    return [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def says_pure(path: Path) -> bool:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return "no framework" in " ".join(docstring.split())


@cache
def contracts() -> dict[str, dict[str, Any]]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {contract["id"]: contract for contract in config["tool"]["importlinter"]["contracts"]}


def pure_modules() -> list[str]:
    pure = tuple(contracts()["pure"]["source_modules"])
    names = [module_name(path) for path in sources() if path.name != "__init__.py"]
    return [name for name in names if f"{name}.".startswith(tuple(f"{core}." for core in pure))]


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^(\S+==\S+)", (ROOT / lock).read_text(), re.MULTILINE))


def test_the_import_contracts_are_kept() -> None:
    tool = Path(sys.executable).with_name("lint-imports")

    done = subprocess.run(
        [tool, "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout


def test_every_package_file_is_empty_but_the_door_of_the_engine() -> None:
    filled = [path for path in ROOT.glob("[!.]*/**/__init__.py") if path.stat().st_size]

    ours = [path for path in filled if "node_modules" not in path.parts]
    assert ours == [ROOT / "factors" / "engine" / "__init__.py"]


def test_every_module_that_says_it_is_pure_is_under_the_contract() -> None:
    assert {module_name(path) for path in sources() if says_pure(path)} <= set(pure_modules())


def test_the_pure_modules_load_without_a_framework() -> None:
    script = (
        "import sys, importlib\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(*sorted({'django', 'channels', 'rest_framework'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, *pure_modules()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == []


def test_the_models_of_every_app_are_its_own() -> None:
    apps = {app for app in PACKAGES if (ROOT / app / "models.py").exists()}
    own = {(f"{app}-models", (f"{app}.models",), (app,)) for app in apps}

    assert own == {
        (name, tuple(contract["protected_modules"]), tuple(contract["allowed_importers"]))
        for name, contract in contracts().items()
        if name.endswith("-models")
    }


# Whoever calls one of these from elsewhere has a second way to align, refresh or check readiness.
ONE_WAY = {
    "floor_time": {"ledger.sync"},
    "look_at": {"ledger.sync"},
    "require_factor": {"ledger.sync"},
    "require_overlay": {"ledger.sync"},
    "refresh_series_sync": {"ledger.sync"},
    "covers": {"ledger.alignment", "ledger.sync"},
    "works_advance": {"ingest.pipeline", "ledger.advance", "ledger.rebuild"},
    "series_compute": {"ledger.advance", "ledger.verify"},
}


def calls(path: Path) -> set[str]:
    """Return the names of all that a module calls."""
    called = [
        node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    ]
    return {getattr(func, "attr", getattr(func, "id", "")) for func in called}


@pytest.mark.parametrize("name", sorted(ONE_WAY))
def test_there_is_one_way_to_align_refresh_and_check_readiness(name: str) -> None:
    assert {module_name(path) for path in sources() if name in calls(path)} == ONE_WAY[name]


# Each fault of docs/faults.md is played by a test that says so.
FAULTS = ("The ledger's faults", "The feeds' faults")


def rows_of(table: str) -> set[int]:
    """Return the numbers of the rows of a table in docs/faults.md."""
    text = (ROOT / "docs" / "faults.md").read_text()
    section = text.split(f"## {table}\n")[1].split("\n## ")[0]
    return {int(number) for number in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}


def docstrings_of_tests() -> list[str]:
    trees = [ast.parse(path.read_text()) for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    functions = [
        node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    ]
    return [ast.get_docstring(f) or "" for f in functions if f.name.startswith("test_")]


@pytest.mark.parametrize("table", FAULTS)
def test_every_fault_scenario_is_named_by_a_test_that_plays_it(table: str) -> None:
    rows = re.compile(rf"Rows? (\d+(?:(?:,| and) \d+)*) of {table.replace('The', 'the')}")
    named = [row for text in docstrings_of_tests() for row in rows.findall(text)]

    played = {int(number) for row in named for number in re.findall(r"\d+", row)}
    assert (played, len(played) > 30) == (rows_of(table), True)


def test_every_behaviour_of_the_socket_is_named_by_a_test_that_shows_it() -> None:
    name = re.compile(r"\b9\.[a-z]\w*(?:\.\w+)*")

    assert {found for text in docstrings_of_tests() for found in name.findall(text)} == set(
        BEHAVIOURS
    )


def test_the_retired_switch_does_not_occur() -> None:
    files = [*sources(), ROOT / "dev", ROOT / "manage.py", ROOT / ".env.example"]

    assert [path for path in files if RETIRED in path.read_text()] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_holds_no_address(lock: str) -> None:
    assert ADDRESS.findall((ROOT / lock).read_text()) == []


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock.endswith(".txt")])
def test_every_package_of_a_lock_file_is_pinned_with_a_hash(lock: str) -> None:
    text = (ROOT / lock).read_text().replace("\\\n", " ")

    assert [line for line in text.splitlines() if not re.search(r"==.* --hash=sha256:", line)] == []


def test_what_runs_is_what_was_tested() -> None:
    assert pins("requirements.txt")
    assert pins("requirements.txt") <= pins("requirements-dev.txt")
