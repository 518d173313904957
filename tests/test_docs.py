"""The documents say what is there: targets, commands, settings, routes, links and examples."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands
from django.test import Client
from django.urls import Resolver404, resolve

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
GUIDE = (ROOT / "README.md").read_text() + (ROOT / "docs" / "development.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
APPS = ("market", "factors", "ledger", "ingest", "tradecanvas")

each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def targets() -> set[str]:
    return set(runpy.run_path(str(ROOT / "dev"))["TARGETS"])


def our_commands() -> set[str]:
    files = [path for app in APPS for path in (ROOT / app).glob("management/commands/[!_]*.py")]
    return {path.stem for path in files}


def setting_names() -> set[str]:
    return set(re.findall(r"^(TRADE_CANVAS_\w+) =", settings_source(), re.MULTILINE))


def settings_source() -> str:
    return (ROOT / "tradecanvas" / "settings.py").read_text()


def example_values() -> dict[str, str]:
    return dict(re.findall(r"^#?([A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def is_route(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True


def test_every_target_is_described() -> None:
    assert {name for name in targets() if f"`./dev {name}" not in GUIDE} == set()


def test_every_management_command_is_described() -> None:
    assert {name for name in our_commands() if f"manage.py {name}" not in GUIDE} == set()


def test_code_names_only_documents_that_exist() -> None:
    files = [path for app in (*APPS, "tests", "bench") for path in (ROOT / app).rglob("*.py")]
    named = {
        (path, name) for path in files for name in re.findall(r"`([\w/.-]+\.md)`", path.read_text())
    }

    assert {str(path) for path, name in named if not (ROOT / name).is_file()} == set()


def test_every_setting_is_read() -> None:
    settings_file = ROOT / "tradecanvas" / "settings.py"
    files = [path for app in APPS for path in (ROOT / app).rglob("*.py") if path != settings_file]
    code = "\n".join(path.read_text() for path in files)

    assert {name for name in setting_names() if not re.search(rf"\b{name}\b", code)} == set()


@each_document
def test_a_document_names_only_targets_and_commands_that_exist(document: Path) -> None:
    text = document.read_text()

    assert set(re.findall(r"\./dev ([a-z][a-z-]*)", text)) <= targets()
    assert set(re.findall(r"manage\.py ([a-z][a-z_]*)", text)) <= set(get_commands())


@each_document
def test_the_links_of_a_document_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s#:]+)(?:#[^)]*)?\)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


@each_document
def test_a_document_names_only_routes_that_exist(document: Path) -> None:
    paths = set(re.findall(r"/api/[a-z_/]+", document.read_text()))

    assert {path for path in paths if not path.endswith("/") and not is_route(path)} == set()


def test_every_setting_is_in_the_example_and_no_other() -> None:
    described = {name for name in example_values() if name.startswith("TRADE_CANVAS_")}

    assert described == setting_names()


def test_every_variable_in_the_example_is_read() -> None:
    assert {name for name in example_values() if f'"{name}"' not in settings_source()} == set()


def written(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return ",".join(value) if isinstance(value, list) else str(value)


# What a newcomer wants, though the default is off (design: live feeds with all that guards them).
TURNED_ON = {
    "TRADE_CANVAS_ENABLE_WHITELIST_INGEST": "1",
    "TRADE_CANVAS_ENABLE_ONDEMAND_INGEST": "1",
    "TRADE_CANVAS_ONDEMAND_MAX_JOBS": "50",
    "TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL": "1",
    "TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES": "1",
    "TRADE_CANVAS_ENABLE_KLINE_HEALTH_V2": "1",
}


def test_the_example_turns_on_what_a_newcomer_wants_and_nothing_else() -> None:
    lines = [line for line in EXAMPLE.splitlines() if line and not line.startswith("#")]

    assert dict(line.split("=", 1) for line in lines) == {"SECRET_KEY": ""} | TURNED_ON


@pytest.mark.parametrize("name", sorted(setting_names() - TURNED_ON.keys()))
def test_the_example_shows_the_default(name: str) -> None:
    shown = example_values()[name]
    default = getattr(settings, name)

    assert not shown or shown == written(default)


@pytest.mark.django_db(transaction=True, databases=["default", "reader"])
def test_the_request_in_the_readme_stores_its_candle(admin_client: Client) -> None:
    command = re.search(r"curl .*?\n```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert command
    words = shlex.split(command[0].removesuffix("\n```"))
    path = next(word for word in words if word.startswith("http")).split(":8000")[1]

    body = words[words.index("--data") + 1]
    answer = admin_client.post(path, body, content_type="application/json")

    assert (answer.status_code, answer.json()["ok"]) == (200, True)
