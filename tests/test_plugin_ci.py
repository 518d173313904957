"""In CI a skipped test has failed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "import pytest\n"
SKIPPED = "def test_it():\n    pytest.skip('no Chromium')\n"
MODULE_SKIPPED = "pytest.skip('no Chromium', allow_module_level=True)\n"
EXPECTED_FAILURE = "@pytest.mark.xfail\ndef test_it():\n    assert False\n"


def status(folder: Path, text: str, **environment: str) -> tuple[int, str]:
    (folder / "test_made_up.py").write_text(BEGIN + text)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n postgres\n redis\n sqlite\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.plugin_ci"]
    clean = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(
        [*command, "-c", str(folder / "pytest.ini"), str(folder)],
        cwd=ROOT,
        env=clean | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("text", [SKIPPED, MODULE_SKIPPED], ids=["test", "module"])
def test_a_skip_fails_and_says_why(tmp_path: Path, text: str) -> None:
    code, output = status(tmp_path, text)

    assert code != 0
    assert "no Chromium" in output


@pytest.mark.parametrize(
    ("marker", "given", "code"),
    [
        ("redis", {"REDIS_URL": ""}, 0),
        ("redis", {"REDIS_URL": "redis://127.0.0.1/0"}, 1),
        ("postgres", {"DATABASE_URL": "sqlite:///a.sqlite3"}, 0),
        ("postgres", {"DATABASE_URL": "postgres://127.0.0.1/a"}, 1),
        ("sqlite", {"DATABASE_URL": "postgres://127.0.0.1/a"}, 0),
        ("sqlite", {"DATABASE_URL": ""}, 1),
    ],
)
def test_a_skip_is_allowed_only_where_the_service_was_not_given(
    tmp_path: Path, marker: str, given: dict[str, str], code: int
) -> None:
    assert status(tmp_path, f"@pytest.mark.{marker}\n{SKIPPED}", **given)[0] == code


def test_an_expected_failure_stays_one(tmp_path: Path) -> None:
    code, _ = status(tmp_path, EXPECTED_FAILURE)

    assert code == 0
