"""A factor in one file: the worked example, the skeleton, packages, parameters and extra ones."""

import importlib.util
import io
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from factors.apps import FactorsConfig
from factors.engine import registry, run
from factors.engine.lookahead import require_no_lookahead
from factors.engine.registry import FactorGraphError
from factors.engine.rules import BadParameterError, by_factor, make_rules
from factors.engine.types import Factor, Param
from ingest import pipeline
from ledger import frames
from market.bundled import bundled_candles
from market.candles import Candles
from tests.ledger.reading import SERIES, on_the_wire

ROOT = Path(__file__).resolve().parent.parent.parent
GUIDE = (ROOT / "docs" / "factors.md").read_text()


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a test registers be gone after it."""
    monkeypatch.setattr(registry, "_factors", dict(registry._factors))


def loaded(path: Path) -> ModuleType:
    """Run a file as a module of its name."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def gap(own_registry: None, tmp_path: Path) -> ModuleType:
    """Return the worked example of the guide, run as the module that it is."""
    source = re.search(r'```python\n("""Gaps.*?)```', GUIDE, re.DOTALL)
    assert source
    (tmp_path / "gap.py").write_text(source[1])
    return loaded(tmp_path / "gap.py")


def columns(*opens: float, spread: float = 1.0) -> dict[str, Any]:
    """Return candles that open where asked and reach one further up and down."""
    price = np.array(opens)
    times = 1_700_000_000 + 60 * np.arange(len(price))
    return {
        "candle_time": times,
        "open": price,
        "high": price + spread,
        "low": price - spread,
        "close": price,
    }


def test_every_factor_has_its_section() -> None:
    titles = {line[4:-1] for line in GUIDE.splitlines() if line.startswith("## `")}

    assert titles == {factor.name for factor in registry.known()}


def test_the_worked_example_finds_gaps(gap: ModuleType) -> None:
    found = run(columns(10, 10.5, 14, 14.2, 9))

    opened = found.events["gap.opened"]
    assert opened["price"].tolist() == [14.0, 9.0]
    assert opened["visible_time"].tolist() == [1_700_000_120, 1_700_000_240]
    assert 11.5 not in found.heads["name"].tolist()


def test_the_worked_example_knows_only_the_past(gap: ModuleType) -> None:
    require_no_lookahead(make_rules({}), "gap", bundled_candles(1500), seconds=60, splits=5)


@pytest.mark.django_db
def test_the_worked_example_reaches_slices_and_drawings(gap: ModuleType, settings: Any) -> None:
    settings.TRADE_CANVAS_FACTOR_PARAMS = {"gap.least": 0.2}
    given = columns(10, 10.5, 14, 14.2, 9, 9.1)
    rows = zip(*given.values(), given["close"], strict=True)
    pipeline.run_sync({SERIES: Candles.from_rows(rows)})

    frame = on_the_wire(frames.live(series_id=SERIES, window_candles=600))

    slice_of_gap = frame["factor_slices"]["snapshots"]["gap"]
    opened = {"visible_time": 1_700_000_240, "price": 9.0, "direction": -1}
    assert slice_of_gap["history"]["opened"] == [opened]
    assert slice_of_gap["head"] == {"unfilled": {"start_time": 1_700_000_240, "price": 13.2}}
    assert frame["draw_state"]["active_ids"] == ["gap.unfilled", "opened:1700000240"]


def test_a_factor_of_an_installed_package_is_found(tmp_path: Path) -> None:
    call_command("startfactor", "far_off", "--package", str(tmp_path), stdout=io.StringIO())
    made = tmp_path / "far_off-0.1.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Name: far-off\nVersion: 0.1\n")
    (made / "entry_points.txt").write_text("[trade_canvas.factors]\nfar_off = far_off\n")
    script = (
        "from factors.engine import registry; registry.load();"
        "print(*[factor.name for factor in registry.ordered()])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == ["pivot", "pen", "zhongshu", "anchor", "far_off"]
    assert 'far_off = "far_off"' in (tmp_path / "pyproject.toml").read_text()


def test_the_skeleton_passes_its_own_tests(
    tmp_path: Path, settings: Any, own_registry: None
) -> None:
    settings.BASE_DIR = tmp_path
    call_command("startfactor", "fresh", "--needs", "pen,pivot", stdout=io.StringIO())

    module = loaded(tmp_path / "factors" / "engine" / "plugins" / "fresh.py")
    tests = loaded(tmp_path / "tests" / "factors" / "test_fresh.py")

    assert module.Fresh.needs == ("pen", "pivot")
    tests.test_a_close_above_those_before_it_is_found()
    tests.test_fresh_knows_only_the_past()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Gap"], "no name for a factor"),
        (["class"], "no name for a factor"),
        (["../x"], "no name for a factor"),
        (["pen"], "there is a factor 'pen' already"),
        (["new", "--needs", "pen,nothing"], "no factor 'nothing'"),
    ],
)
def test_a_name_that_cannot_be_is_refused(
    arguments: list[str], said: str, tmp_path: Path, settings: Any
) -> None:
    settings.BASE_DIR = tmp_path

    with pytest.raises(CommandError, match=said):
        call_command("startfactor", *arguments)

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("mine")

    with pytest.raises(CommandError, match="is there already; nothing was written"):
        call_command("startfactor", "mine", "--package", str(tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == ["test_mine.py"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"pivot.window_major": 0}, "pivot.window_major must be at least 1, was 0"),
        ({"pivot.window_major": 1.5}, "must be a whole number"),
        ({"pivot.window": 5}, "pivot has no parameter 'window'"),
        ({"nothing.window": 5}, "no factor 'nothing' takes part"),
        ({"window_major": 5}, "is named as in 'pivot.window_major'"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(params: dict[str, Any], said: str) -> None:
    with pytest.raises(BadParameterError, match=said):
        make_rules(by_factor(params))


def test_a_parameter_over_its_most_is_named(own_registry: None) -> None:
    bounded = type("Bounded", (Factor,), {"name": "bounded", "params": (Param("size", 0.5, 0, 1),)})
    registry.register(bounded)

    with pytest.raises(BadParameterError, match=r"bounded.size must be at least 0 and at most 1"):
        make_rules({"bounded": {"size": 1.5}})
    assert make_rules({"bounded": {"size": 1}}).params["bounded"] == {"size": 1}


def test_a_factor_that_is_off_runs_only_when_asked_for(own_registry: None) -> None:
    off = type("Off", (Factor,), {"name": "off", "default_on": False})
    registry.register(off)

    assert "off" not in make_rules({}).names
    assert make_rules({}, extra=["off"]).names[-1] == "off"


def test_an_extra_factor_that_does_not_exist_is_refused() -> None:
    with pytest.raises(FactorGraphError, match="missing_factor:nothing"):
        make_rules({}, extra=["nothing"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRADE_CANVAS_EXTRA_FACTORS", ["nothing"]),
        ("TRADE_CANVAS_FACTOR_PARAMS", {"pivot.nothing": 1}),
    ],
)
def test_a_setting_that_no_factor_takes_stops_the_start(
    name: str, value: Any, settings: Any
) -> None:
    setattr(settings, name, value)

    with pytest.raises(ImproperlyConfigured, match=name):
        FactorsConfig.create("factors").ready()
