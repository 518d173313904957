"""Support and resistance come out exactly however candles are fed; only what stands is drawn."""

import hashlib
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, repeat
from typing import Any

import numpy as np
import orjson
import pytest
from django.test import Client
from pytest_django import Settings

from factors.engine import lookahead, registry, runner
from factors.engine.plugins.sr import Memory, crossings
from factors.engine.rules import Rules, make_rules
from factors.engine.types import Factor, FactorEvent, Json, View
from ingest import pipeline
from ledger import frames
from market.bundled import bundled_candles
from market.candles import Candles
from tests.goldens import candles_of, canonical, golden, names
from tests.ledger.reading import on_the_wire

WIDE = 5000
SHOWN = ("factor", "kind", "event_key", "candle_time", "payload")
LONG = {"btc1m_head_50_5", "gappy1m_10_3", "walklong_1_1", "xrp5m_6_2"}
CASES = [name for name in names() if golden(name)["sr_events"] is not None]
RUNS = [
    pytest.param(name, way, marks=[pytest.mark.long] if name in LONG else [])
    for name in CASES
    for way in ("one batch", "random batches", "one by one")
    if way != "one by one" or golden(name)["n_candles"] < 1000
]
DRAWN = golden("overlay_plateau_2_1_sr")
DRAWN_TIMES = [point["at_time"] for point in DRAWN["points"]]


@dataclass(frozen=True)
class Found:
    """What a run found: all events, and by ordinal the heads and states of sr."""

    events: list[FactorEvent]
    heads: dict[int, Json | None]
    states: dict[int, bytes]


@cache
def run(name: str, way: str) -> Found:
    """Run a golden case with sr on; between batches the states go through bytes."""
    case = golden(name)
    candles, rules, sizes = candles_of(case), rules_of(case), lengths(name, way)
    standing = runner.start(rules, case["series_id"])
    found = Found([], {}, {})
    while standing.count < len(candles):
        first = runner.reads_from(rules, standing)
        rows = candles.take(slice(first, standing.count + next(sizes)))
        advance = runner.advance(rules, standing, rows, case["tf_s"])
        found.events.extend(advance.events)
        for point in advance.checkpoints:
            found.heads[point.ordinal] = point.heads["sr"]
            found.states[point.ordinal] = point.states["sr"]
        standing = runner.resume(rules, advance.checkpoints[-1])
    return found


def rules_of(case: Json) -> Rules:
    major, minor = case["params"]["pivot_window_major"], case["params"]["pivot_window_minor"]
    return make_rules({"pivot": {"window_major": major, "window_minor": minor}}, extra=["sr"])


def lengths(seed: str, way: str) -> Iterator[int]:
    if way != "random batches":
        return repeat(1 if way == "one by one" else 10**6)
    generator = random.Random(seed)  # noqa: S311 (a test's own sequence)
    return iter(lambda: generator.choice([1, 2, 3, 7, 30, 200, 700]), None)


def sha256(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def the_factor() -> Factor:
    return next(factor for factor in registry.known() if factor.name == "sr")


@pytest.mark.parametrize(("name", "way"), RUNS)
def test_snapshots_equal_the_golden(name: str, way: str) -> None:
    expected = golden(name)["sr_events"]

    found = [event for event in run(name, way).events if event.factor == "sr"]

    assert [
        {
            "kind": event.kind,
            "event_key": event.event_key,
            "candle_time": event.candle_time,
            "n_levels": len(event.payload["levels"]),
            "payload_sha256": sha256(event.payload),
        }
        for event in found
    ] == [{k: v for k, v in event.items() if k != "payload"} for event in expected]
    for event, other in zip(found, expected, strict=True):
        assert canonical(event.payload) == canonical(other.get("payload", event.payload))


@pytest.mark.parametrize(("name", "way"), RUNS)
def test_heads_equal_the_golden(name: str, way: str) -> None:
    case, found = golden(name), run(name, way)
    times = candles_of(case).time.tolist()
    expected = {head["candle_time"]: head["sr_head_sha256"] for head in case["heads"]}

    heads = {times[ordinal]: head for ordinal, head in found.heads.items()}

    both = heads.keys() & expected.keys()
    assert times[-1] in both
    assert {time: heads[time] and sha256(heads[time]) for time in both} == {
        time: expected[time] for time in both
    }


@pytest.mark.parametrize(("name", "way"), RUNS)
def test_the_events_of_the_other_factors_stay(name: str, way: str) -> None:
    found = [
        {name: getattr(event, name) for name in SHOWN}
        for event in run(name, way).events
        if event.factor != "sr"
    ]

    assert canonical(found) == canonical(golden(name)["events"])


@pytest.mark.parametrize(("name", "way"), RUNS)
def test_equal_pasts_give_equal_bytes(name: str, way: str) -> None:
    whole, found = run(name, "one batch").states, run(name, way).states

    both = whole.keys() & found.keys()

    assert {ordinal: found[ordinal] for ordinal in both} == {i: whole[i] for i in both}
    assert len(candles_of(golden(name))) - 1 in both


def extremes(seed: int, count: int) -> Candles:
    """Return candles of the greatest and of small prices, in a random order."""
    generator = random.Random(seed)  # noqa: S311 (a test's own sequence)
    greatest = sys.float_info.max
    prices = [greatest, -greatest, 1e308, -1e308, 5e-324, 0.0, 1.0, 123456.789]
    rows = []
    for n in range(count):
        low, start, close, high = sorted(generator.choice(prices) for _ in range(4))
        rows.append((60 * n, start, high, low, close, 1.0))
    return Candles.from_rows(rows)


@pytest.mark.parametrize("seed", range(4))
def test_the_greatest_prices_keep_every_number_finite(seed: int) -> None:
    rules = make_rules({"pivot": {"window_major": 2, "window_minor": 1}}, extra=["sr"])
    candles = extremes(seed, 200)
    whole = runner.advance(rules, runner.start(rules, "a:b:c:1m"), candles, 60)

    standing = runner.start(rules, "a:b:c:1m")
    for end in range(7, 207, 7):
        rows = candles.take(slice(runner.reads_from(rules, standing), end))
        last = runner.advance(rules, standing, rows, 60).checkpoints[-1]
        standing = runner.resume(rules, last)

    ranges, pivots, _ = orjson.loads(last.states["sr"])
    assert None not in [ranges, *(number for side in pivots for pivot in side for number in pivot)]
    assert last.states["sr"] == whole.checkpoints[-1].states["sr"]
    payloads = [event.payload for event in whole.events if event.factor == "sr"]
    assert any(payload["levels"] for payload in payloads)
    json.dumps(payloads, allow_nan=False)


@pytest.mark.parametrize("seed", range(20))
def test_crossings_are_changes_of_the_side_of_a_line(seed: int) -> None:
    generator = random.Random(seed)  # noqa: S311 (a test's own sequence)
    closes = [generator.randint(0, 6) for _ in range(generator.randint(0, 30))]
    line, width, most = 3, generator.randint(0, 2), generator.randint(1, 5)

    outside = [n for n, close in enumerate(closes) if abs(close - line) > width]
    changes = [
        later
        for earlier, later in pairwise(outside)
        if (closes[earlier] > line) != (closes[later] > line)
    ]

    assert crossings(np.array(closes, np.float64), line, width, most) == changes[:most]


@pytest.mark.parametrize(
    ("count", "windows", "splits"),
    [
        (500, (3, 2), 2),
        pytest.param(3000, (10, 3), 3, marks=pytest.mark.long),
        pytest.param(3000, (3, 2), 3, marks=pytest.mark.long),
    ],
)
def test_only_the_past_is_known(count: int, windows: tuple[int, int], splits: int) -> None:
    major, minor = windows
    rules = make_rules({"pivot": {"window_major": major, "window_minor": minor}}, extra=["sr"])

    assert lookahead.refute(rules, "sr", bundled_candles(count), 60, splits=splits) is None


# What is drawn


@pytest.fixture
def case(settings: Settings) -> Json:
    """Return a golden case whose candles are in the database; its windows cut nothing."""
    settings.TRADE_CANVAS_EXTRA_FACTORS = ["sr"]
    settings.TRADE_CANVAS_PIVOT_WINDOW_MAJOR = 2
    settings.TRADE_CANVAS_PIVOT_WINDOW_MINOR = 1
    settings.TRADE_CANVAS_OVERLAY_WINDOW_CANDLES = WIDE
    found = golden("overlay_plateau_2_1")
    pipeline.run_sync({found["series_id"]: candles_of(found)})
    return found


def frame_at(case: Json, time: int) -> Json:
    frame: Json = on_the_wire(
        frames.at_time(series_id=case["series_id"], at_time=time, window_candles=WIDE)
    )
    return frame


def patch_at(case: Json, time: int) -> Json:
    items = frame_at(case, time)["draw_state"]["instruction_catalog_patch"]
    return {item["instruction_id"]: item["definition"] for item in items}


def is_sr(instruction_id: str) -> bool:
    return instruction_id.startswith("sr.sr.")


@pytest.mark.django_db
def test_slices_hold_the_golden_snapshots(case: Json) -> None:
    events = golden("plateau_2_1")["sr_events"]
    for time in DRAWN_TIMES:
        known = [event["payload"] for event in events if event["candle_time"] <= time]

        shown = frame_at(case, time)["factor_slices"]

        assert ("sr" in shown["factors"]) == bool(known)
        if known:
            assert shown["factors"][-1] == "sr"
            found = shown["snapshots"]["sr"]
            assert canonical(found["history"]) == canonical({"snapshots": known})
            latest = {key: known[-1][key] for key in ("algorithm", "levels", "pivots")}
            assert canonical(found["head"]) == canonical(latest)


def golden_lines(point: Json) -> Json:
    """Return the sr lines of a point of the golden stream: id to definition.

    There the ids of live levels end with the time of the drawing; that end is taken off, for a
    level has one id while it lives. Nothing else differs.
    """
    latest = {
        name: definition
        for version, name, _, _, definition in DRAWN["versions"]
        if version <= point["last_version_id"]
    }
    return {
        name.rpartition(":")[0] if name.startswith("sr.sr.active:") else name: latest[name]
        for name in point["rendered_ids"]
        if is_sr(name)
    }


@pytest.mark.django_db
def test_drawn_lines_equal_the_golden(case: Json) -> None:
    for point in DRAWN["points"]:
        drawn = patch_at(case, point["at_time"])

        mine = {name: one for name, one in drawn.items() if is_sr(name)}

        assert canonical(mine) == canonical(golden_lines(point)), point["at_time"]


@pytest.mark.django_db
def test_what_the_other_factors_draw_stays_and_comes_before(case: Json) -> None:
    for point in case["points"]:
        drawn = list(patch_at(case, point["at_time"]))

        others = [name for name in drawn if not is_sr(name)]

        assert drawn[: len(others)] == others
        assert sorted(others) == sorted(point["rendered_ids"])


@pytest.mark.django_db
def test_a_level_that_is_withdrawn_leaves_the_active_ids(case: Json) -> None:
    gone: set[str] = set()
    before: set[str] = set()
    for time in DRAWN_TIMES:
        frame = frame_at(case, time)
        head = frame["factor_slices"]["snapshots"].get("sr", {"head": {"levels": []}})["head"]
        prices = sorted(f"{level['price']:.8f}" for level in head["levels"])

        active = {name for name in frame["draw_state"]["active_ids"] if is_sr(name)}

        assert sorted(name.split(":")[3] for name in active) == prices
        gone |= before - active
        before = active
    assert len(gone) > 10


@pytest.mark.django_db
def test_the_catalog_lists_sr_last(case: Json, client: Client) -> None:
    entry = client.get("/api/factor/catalog").json()["factors"][-1]

    assert entry == {
        "key": "sr",
        "label": "SR",
        "default_visible": True,
        "sub_features": [
            {"key": "sr.active", "label": "Active", "default_visible": True},
            {"key": "sr.broken", "label": "Broken", "default_visible": False},
        ],
    }


def view(latest: Json | None, from_time: int, at_time: int) -> View:
    return View(at_time, from_time, {"sr": Memory(latest=latest)}, {}, {})


def test_a_level_keeps_one_id_while_it_lives() -> None:
    name = "plateau_2_1"
    times, heads = candles_of(golden(name)).time.tolist(), run(name, "one by one").heads
    ids: dict[tuple[Any, ...], set[str]] = {}
    lives: dict[tuple[Any, ...], int] = {}
    for ordinal, head in heads.items():
        drawn = the_factor().draw(view(head, 0, times[ordinal]))
        for level, line in zip(head["levels"] if head else [], drawn, strict=True):
            place = tuple(level[key] for key in ("status", "level_type", "price", "first_time"))
            ids.setdefault(place, set()).add(line.instruction_id)
            lives[place] = lives.get(place, 0) + 1

    assert max(lives.values()) > 50
    assert all(len(found) == 1 for found in ids.values())


def level(status: str, price: float, first_time: int, death_time: int | None = None) -> Json:
    return {
        "status": status,
        "level_type": "support",
        "price": price,
        "first_time": first_time,
        "death_time": death_time,
    }


LEVELS = {
    "levels": [
        level("active", 2.5, 300),
        level("flip", 3.0, 60, 240),
        level("broken", 4.0, 120, 600),
        level("broken", 5.0, 120, 240),
        level("active", 0.0, 300),
    ]
}


def test_lines_run_to_the_view_or_to_where_they_broke() -> None:
    drawn = the_factor().draw(view(LEVELS, 0, 900))

    assert {
        line.instruction_id: [point["time"] for point in line.definition["points"]]
        for line in drawn
    } == {
        "sr.sr.active:active:support:2.50000000:300": [300, 900],
        "sr.sr.active:flip:support:3.00000000:60": [60, 900],
        "sr.sr.broken:broken:support:4.00000000:120:600": [120, 600],
        "sr.sr.broken:broken:support:5.00000000:120:240": [120, 240],
    }


def test_lines_are_cut_to_the_window_and_keep_their_ids() -> None:
    drawn = the_factor().draw(view(LEVELS, 240, 900))

    assert {
        line.instruction_id: [point["time"] for point in line.definition["points"]]
        for line in drawn
    } == {
        "sr.sr.active:active:support:2.50000000:300": [300, 900],
        "sr.sr.active:flip:support:3.00000000:60": [240, 900],
        "sr.sr.broken:broken:support:4.00000000:120:600": [240, 600],
    }


def test_nothing_is_shown_before_the_first_snapshot() -> None:
    start = view(None, 0, 900)

    assert the_factor().draw(start) == []
    assert not the_factor().appears(start)
    assert the_factor().shown(Memory(), start) == {}
