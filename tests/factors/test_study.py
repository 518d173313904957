"""The engine in a notebook: any kind of frame gives the events of the ledger, as such frames."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from factors.engine import run
from factors.engine.study import BadCandlesError
from market.candles import Candles
from tests.goldens import candles_of, golden

CASE = golden("box_2_1")
CANDLES = candles_of(CASE)
OHLC = ("open", "high", "low", "close")
WINDOWS = {"pivot.window_major": 2, "pivot.window_minor": 1}


def columns(candles: Candles = CANDLES) -> dict[str, Any]:
    names = ("candle_time", "open", "high", "low", "close", "volume")
    return dict(zip(names, candles.columns(), strict=True))


def payloads(kind: str) -> list[dict[str, Any]]:
    return [event["payload"] for event in CASE["events"] if event["kind"] == kind]


@pytest.mark.parametrize("kind", ["pivot.major", "pen.confirmed", "zhongshu.dead", "anchor.switch"])
def test_columns_give_the_golden_events(kind: str) -> None:
    frame = run(columns(), WINDOWS).events[kind]

    keys = frame.pop("event_key").tolist()
    rows = [dict(zip(frame, values, strict=True)) for values in zip(*frame.values(), strict=True)]
    assert rows == payloads(kind)
    assert keys == [e["event_key"] for e in CASE["events"] if e["kind"] == kind]


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame])
def test_a_frame_gives_frames_of_its_kind(make: Any) -> None:
    found = run(make(columns()), WINDOWS)

    pens = found.events["pen.confirmed"]
    assert type(pens) is type(found.heads) is make
    assert list(pens["visible_time"]) == [pen["visible_time"] for pen in payloads("pen.confirmed")]


def test_heads_are_those_of_the_last_candle() -> None:
    heads = run(pl.DataFrame(columns()), WINDOWS).heads

    golden_heads = CASE["heads"][-1]["heads"]
    extending = heads.row(by_predicate=pl.col("name") == "extending", named=True)
    assert {name: extending[name] for name in golden_heads["pen"]["extending"]} == golden_heads[
        "pen"
    ]["extending"]
    assert set(heads["visible_time"]) == {int(CANDLES.time[-1])}


def test_heads_of_every_nth_candle_do_not_change_the_events() -> None:
    at_end, often = run(columns(), WINDOWS), run(columns(), WINDOWS, heads_every=7)

    assert set(often.heads["visible_time"][:-1].tolist()) <= set(CANDLES.time.tolist())
    assert len(set(often.heads["visible_time"].tolist())) > 50
    for kind in at_end.events:
        assert {n: c.tolist() for n, c in at_end.events[kind].items()} == {
            n: c.tolist() for n, c in often.events[kind].items()
        }


def test_no_event_gives_an_empty_frame_with_its_times() -> None:
    found = run(columns(CANDLES.take(slice(0, 4))), WINDOWS)

    assert found.events["pen.confirmed"]["visible_time"].tolist() == []
    assert found.heads == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"close": None}, "there is no column 'close'"),
        ({"candle_time": [60, 60]}, "ascending and without duplicates"),
        ({"candle_time": [0, 60]}, "must be positive"),
        ({"open": [1.0, float("nan")]}, "must be finite"),
        ({"open": [1.0]}, "of one length"),
        ({"candle_time": [60]} | {name: [1.0] for name in OHLC}, "give `seconds`"),
    ],
)
def test_what_is_no_candle_is_refused(change: dict[str, Any], said: str) -> None:
    sound: dict[str, Any] = {"candle_time": [60, 120]} | {name: [1.0, 2.0] for name in OHLC}
    given = {name: column for name, column in (sound | change).items() if column is not None}

    with pytest.raises(BadCandlesError, match=said):
        run(given)


@pytest.mark.parametrize(
    "times",
    [
        pd.to_datetime(CANDLES.time, unit="s"),
        pl.Series(CANDLES.time * 1000).cast(pl.Datetime("ms")),
        CANDLES.time.astype(np.float64),
    ],
    ids=["pandas", "polars", "float"],
)
def test_times_of_other_types_mean_the_same(times: Any) -> None:
    make = pl.DataFrame if isinstance(times, pl.Series) else pd.DataFrame
    pens = run(make(columns() | {"candle_time": times}), WINDOWS).events["pen.confirmed"]

    assert list(pens["visible_time"]) == [pen["visible_time"] for pen in payloads("pen.confirmed")]


@pytest.mark.parametrize("times", [["2025-05-04", "2025-05-05"], [60.5, 120.5]])
def test_times_that_are_no_whole_seconds_are_refused(times: list[Any]) -> None:
    given = {"candle_time": times} | {name: [1.0, 2.0] for name in OHLC}

    with pytest.raises(BadCandlesError, match="whole Unix seconds"):
        run(given)


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(ValueError, match="heads_every must be at least 1"):
        run(columns(), heads_every=0)
    with pytest.raises(TypeError, match="a list of names"):
        run(columns(), extra="sr")


def test_a_parameter_may_be_a_number_of_numpy() -> None:
    windows: dict[str, Any] = {name: np.int64(window) for name, window in WINDOWS.items()}

    assert run(columns(), windows).rules.fingerprint == run(columns(), WINDOWS).rules.fingerprint


def test_a_read_only_frame_is_not_changed() -> None:
    given = columns()
    for column in given.values():
        column.flags.writeable = False
    before = {name: column.copy() for name, column in given.items()}

    run(given, WINDOWS)

    assert all(np.array_equal(before[name], given[name]) for name in given)
