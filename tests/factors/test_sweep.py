"""A grid of parameters gives what single runs give, and refuses what is no grid."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from factors.engine import run
from factors.engine.sweep import outcome
from ingest import pipeline
from market.bundled import bundled_candles
from tests.ledger.reading import SERIES

CANDLES = bundled_candles(3000)


def test_an_outcome_counts_delays_and_survivors() -> None:
    params = {"pivot.window_major": 10, "pivot.window_minor": 3}
    found = run(CANDLES, params, seconds=60)
    pens = found.events["pen.confirmed"]
    visible = np.searchsorted(CANDLES.time, pens["visible_time"])

    measured = outcome(CANDLES, 60, params)

    assert measured.counts["pen.confirmed"] == len(pens["event_key"]) > 50
    assert measured.delay_median == float(np.median(visible - pens["end_idx"]))
    assert measured.candidates > 0
    assert measured.survival is not None
    assert 0 < measured.survival < 1


def test_few_candles_have_no_delay_and_no_survivors() -> None:
    measured = outcome(CANDLES.take(slice(0, 20)), 60, {})

    assert (measured.delay_median, measured.candidates, measured.survival) == (None, 0, None)


@pytest.mark.django_db
def test_the_table_has_a_row_for_each_combination(tmp_path: Path) -> None:
    pipeline.run_sync({SERIES: CANDLES})
    path = tmp_path / "grid.csv"
    grid = ["--window-major", "10:20:10", "--param", "pivot.window_minor=3,5"]

    call_command("sweep", SERIES, *grid, "--csv", str(path), "--jobs", "1", stdout=io.StringIO())
    rows = list(csv.DictReader(io.StringIO(path.read_text())))

    assert [(row["pivot.window_major"], row["pivot.window_minor"]) for row in rows] == [
        ("10", "3"), ("10", "5"), ("20", "3"), ("20", "5"),
    ]  # fmt: skip
    alone = outcome(CANDLES, 60, {"pivot.window_major": 20, "pivot.window_minor": 5})
    assert int(rows[3]["pen.confirmed"]) == alone.counts["pen.confirmed"]
    assert float(rows[3]["survival"]) == alone.survival


@pytest.mark.django_db
def test_what_is_not_swept_is_as_the_settings_say(tmp_path: Path, settings: Any) -> None:
    settings.TRADE_CANVAS_PIVOT_WINDOW_MINOR = 9
    settings.TRADE_CANVAS_EXTRA_FACTORS = ["sr"]
    pipeline.run_sync({SERIES: CANDLES.take(slice(0, 800))})
    path = tmp_path / "grid.csv"

    call_command("sweep", SERIES, "--window-major", "20", "--csv", str(path), "--jobs", "1")
    (row,) = csv.DictReader(io.StringIO(path.read_text()))

    assert row["pivot.window_minor"] == "9"
    assert int(row["sr.snapshot"]) > 0


@pytest.mark.django_db
def test_a_table_that_could_not_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    pipeline.run_sync({SERIES: CANDLES.take(slice(0, 20))})

    with pytest.raises(CommandError, match="there is no such folder"):
        call_command("sweep", SERIES, "--csv", str(tmp_path / "not" / "there.csv"))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no series"], "series_id must be"),
        ([SERIES], "no candles are stored"),
        ([SERIES, "--window-major", "x"], "not numbers"),
        ([SERIES, "--window-major", "9:3:1"], "an empty range"),
        ([SERIES, "--window-major", "1:3:0"], "an empty range"),
        ([SERIES, "--window-major", "0"], "pivot.window_major must be at least 1"),
        ([SERIES, "--param", "pen.size=3"], "pen has no parameter 'size'"),
        ([SERIES, "--window-major", "1:20000:1"], "more than 10000 values"),
        ([SERIES, "--window-major", "1:200:1", "--window-minor", "1:200:1"], "40000 combinations"),
        ([SERIES, "--window-major", "1:inf:1"], "not numbers"),
        ([SERIES, "--window-major", "1:2"], "a range is FIRST:LAST:STEP"),
        ([SERIES, "--candles", "-3"], "a whole number of at least 1"),
    ],
)
def test_what_is_no_grid_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("sweep", *arguments)
