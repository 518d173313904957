"""Events and heads of the goldens come out exactly, however the candles are fed."""

import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django import Settings

from factors.engine import runner
from factors.engine.rules import make_rules
from factors.models import FactorHeadSnapshot
from market.candles import Candles
from tests.goldens import candles_of, canonical, golden, names

HEADER = "candle_time,open,high,low,close,volume\n"
QUICK = {"box_1_1", "doji0_3_2", "doji177_1_2", "doji2_1_2", "flat_2_1", "gaps_2_1", "short5_2_1"}
CASES = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.long]) for name in names()]


def use_windows(settings: Settings, case: dict[str, Any]) -> None:
    settings.TRADE_CANVAS_PIVOT_WINDOW_MAJOR = case["params"]["pivot_window_major"]
    settings.TRADE_CANVAS_PIVOT_WINDOW_MINOR = case["params"]["pivot_window_minor"]


def feed(folder: Path, series_id: str, candles: Candles, sizes: Iterator[int]) -> None:
    """Import the candles file by file, each as long as the next size says."""
    first = 0
    while first < len(candles):
        part = candles.take(slice(first, first + next(sizes)))
        path = folder / "part.csv"
        lines = (",".join(map(repr, row)) for row in part.rows())
        path.write_text(HEADER + "\n".join(lines) + "\n")
        call_command("import_candles", series_id, str(path), stdout=io.StringIO())
        first += len(part)


def exported(series_id: str) -> list[dict[str, Any]]:
    """Return what `export_events` prints, line by line."""
    out = io.StringIO()
    call_command("export_events", series_id, stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def always(size: int) -> Iterator[int]:
    while True:
        yield size


def at_random(seed: str) -> Iterator[int]:
    generator = random.Random(seed)  # noqa: S311 (a test's own sequence)
    while True:
        yield generator.choice([1, 2, 3, 7, 30, 200, 700])


@pytest.mark.django_db
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("way", ["one batch", "random batches"])
def test_imported_candles_give_the_golden_events(
    name: str, way: str, settings: Settings, tmp_path: Path
) -> None:
    case = golden(name)
    use_windows(settings, case)
    sizes = always(10**6) if way == "one batch" else at_random(name)

    feed(tmp_path, case["series_id"], candles_of(case), sizes)

    assert canonical(exported(case["series_id"])) == canonical(case["events"])


@pytest.mark.django_db
@pytest.mark.parametrize("name", CASES)
def test_candles_one_by_one_give_the_golden_events_and_heads(
    name: str, settings: Settings, tmp_path: Path
) -> None:
    case = golden(name)
    use_windows(settings, case)
    expected = {head["candle_time"]: head["heads"] for head in case["heads"]}
    candles = candles_of(case)

    for first in range(len(candles)):
        feed(tmp_path, case["series_id"], candles.take(slice(first, first + 1)), always(1))
        time = int(candles.time[first])
        if time in expected:
            assert canonical(stored_heads(case["series_id"], time)) == canonical(expected[time])

    assert canonical(exported(case["series_id"])) == canonical(case["events"])


def stored_heads(series_id: str, time: int) -> dict[str, Any]:
    """Return the heads that the ledger keeps for its newest candle."""
    rows = FactorHeadSnapshot.objects.filter(series_id=series_id, candle_time=time)
    heads = {row.factor_name: json.loads(row.head_json) for row in rows}
    return {name: head for name, head in heads.items() if head is not None}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", [case for case in names() if golden(case)["n_candles"] < 1000])
def test_engine_restarted_at_any_candle_gives_the_golden_events(name: str) -> None:
    case = golden(name)
    candles = candles_of(case)
    rules = make_rules(
        {
            "pivot": {
                "window_major": case["params"]["pivot_window_major"],
                "window_minor": case["params"]["pivot_window_minor"],
            }
        }
    )
    sizes, standing, events = at_random(name), runner.start(rules, case["series_id"]), []

    while standing.count < len(candles):
        first = runner.reads_from(rules, standing)
        rows = candles.take(slice(first, standing.count + next(sizes)))
        found = runner.advance(rules, standing, rows, case["tf_s"])
        events += found.events
        standing = runner.resume(rules, found.checkpoints[-1])

    assert canonical([shape(event) for event in events]) == canonical(case["events"])


def shape(event: Any) -> dict[str, Any]:
    names = ("factor", "kind", "event_key", "candle_time", "payload")
    return {name: getattr(event, name) for name in names}
