"""Settings that do nothing, or leave a server open, are named by the checks."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingest.apps import check_feeds, check_settings_without_effect
from tests.exchange.running import ROOT


def test_a_setting_without_effect_is_named_by_the_check(settings: Any) -> None:
    assert check_settings_without_effect() == []

    settings.SETTINGS_WITHOUT_EFFECT = ["TRADE_CANVAS_ENABLE_INGEST_COMPENSATE_NEW_CANDLES"]

    (warning,) = check_settings_without_effect()
    assert "TRADE_CANVAS_ENABLE_INGEST_COMPENSATE_NEW_CANDLES has no effect" in warning.msg


def test_a_server_without_guardrail_or_limit_is_warned(settings: Any) -> None:
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = False
    settings.TRADE_CANVAS_ENABLE_ONDEMAND_INGEST = True
    settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS = 0
    assert [warning.id for warning in check_feeds()] == ["ingest.W002", "ingest.W003"]

    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True
    settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS = 50

    assert check_feeds() == []


def test_a_program_that_a_test_starts_does_not_read_the_file_of_settings(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tradecanvas", tmp_path / "tradecanvas")
    (tmp_path / ".env").write_text("TRADE_CANVAS_ONDEMAND_MAX_JOBS=7\nSECRET_KEY=x\n")
    outside = {name: value for name, value in os.environ.items() if name != "PYTEST_VERSION"}

    said = [setting_in(tmp_path, around) for around in (os.environ | {"SECRET_KEY": "x"}, outside)]

    assert said == ["0", "7"]


def setting_in(folder: Path, environment: Mapping[str, str]) -> str:
    """Return what a program in this folder takes the limit of jobs for."""
    script = "from tradecanvas import settings; print(settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS)"
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
