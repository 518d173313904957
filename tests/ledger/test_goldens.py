"""Slices and drawings of the goldens come out as the canonical answer says."""

from typing import Any

import pytest
from pytest_django import Settings

from ingest import pipeline
from ledger import frames
from tests.goldens import candles_of, canonical, golden, names
from tests.ledger.reading import on_the_wire

WIDE = 5000
# The golden drawings are the origin's stream. Ours differ from it, by design, in three ways only:
# 1. pen.candidate is not drawn a second time where it would equal pen.extending;
# 2. there is no anchor before the first confirmed pen;
# 3. anchor.current shows the anchor of the slice, not the last item of the list of switches; where
#    it shows another one, anchor.history changes with it.
# The times of the second and third, by case, and the ids that only one side draws there:
OTHER_ANCHOR: dict[str, dict[int, set[str]]] = {
    "doji0_3_2": {
        time: {"anchor.current"} for time in (1700010180, 1700013960, 1700017980, 1700018280)
    },
    "doji177_1_2": {
        1700003280: {"anchor.history:1700000700:1700000220:1700000340:1"},
        1700008500: set(),
    },
    "doji31_1_1": {1700002800: set()},
    "doji6_1_1": {1700001420: {"anchor.history:1700001000:1700000700:1700000940:1"}},
    "gaps_2_1": {1700003100: set(), 1700030940: set()},
    "outside_2_1": {1700001420: set(), 1700002800: set()},
    "plateau_2_1": {1700002800: set()},
}


@pytest.fixture
def case(request: pytest.FixtureRequest, settings: Settings) -> dict[str, Any]:
    """Return a golden case whose candles are in the database; its windows cut nothing."""
    found = golden(request.param)
    settings.TRADE_CANVAS_PIVOT_WINDOW_MAJOR = found["params"]["pivot_window_major"]
    settings.TRADE_CANVAS_PIVOT_WINDOW_MINOR = found["params"]["pivot_window_minor"]
    settings.TRADE_CANVAS_OVERLAY_WINDOW_CANDLES = WIDE
    pipeline.run_sync({found["series_id"]: candles_of(found)})
    return found


def frame_at(case: dict[str, Any], time: int) -> dict[str, Any]:
    frame: dict[str, Any] = on_the_wire(
        frames.at_time(series_id=case["series_id"], at_time=time, window_candles=WIDE)
    )
    return frame


def golden_definitions(case: dict[str, Any], point: dict[str, Any]) -> dict[str, Any]:
    """Return the latest definition of each id at a point of the golden stream."""
    return {
        name: definition
        for version, name, _, _, definition in case["versions"]
        if version <= point["last_version_id"]
    }


@pytest.mark.django_db
@pytest.mark.parametrize("case", names("slices_"), indirect=True)
def test_slices_equal_the_golden_at_every_time(case: dict[str, Any]) -> None:
    for expected in case["slices"]:
        found = frames.slices(
            series_id=case["series_id"], at_time=expected["at_time"], window_candles=WIDE
        )
        assert canonical(on_the_wire(found)) == canonical(expected["response"])


@pytest.mark.django_db
@pytest.mark.parametrize("case", names("overlay_"), indirect=True)
def test_drawn_ids_equal_the_golden_at_every_time(case: dict[str, Any]) -> None:
    others = OTHER_ANCHOR.get(case["case"], {})
    for point in case["points"]:
        time, known = point["at_time"], golden_definitions(case, point)
        allowed = set(others.get(time, set()))
        if known.get("pen.candidate", {}).get("points") == known.get("pen.extending", {}).get(
            "points"
        ):
            allowed.add("pen.candidate")

        mine = set(frame_at(case, time)["draw_state"]["active_ids"])

        assert mine ^ set(point["rendered_ids"]) <= allowed


@pytest.mark.django_db
@pytest.mark.parametrize("case", names("overlay_"), indirect=True)
def test_definitions_equal_the_golden_at_every_time(case: dict[str, Any]) -> None:
    others = OTHER_ANCHOR.get(case["case"], {})
    for point in case["points"]:
        known = golden_definitions(case, point)
        drawn = frame_at(case, point["at_time"])["draw_state"]["instruction_catalog_patch"]
        for item in drawn:
            name = item["instruction_id"]
            if point["at_time"] in others and name.startswith("anchor."):
                continue
            assert canonical(item["definition"]) == canonical(known[name]), point["at_time"]


@pytest.mark.django_db
@pytest.mark.parametrize("case", names("overlay_"), indirect=True)
def test_anchor_line_starts_where_the_slice_says(case: dict[str, Any]) -> None:
    for point in case["points"]:
        frame = frame_at(case, point["at_time"])
        anchor = frame["factor_slices"]["snapshots"].get("anchor", {"head": {}})["head"]
        ref = anchor.get("current_anchor_ref")
        lines = {
            item["instruction_id"]: item["definition"]["points"]
            for item in frame["draw_state"]["instruction_catalog_patch"]
            if item["kind"] == "polyline"
        }

        started = lines["anchor.current"][0]["time"] if "anchor.current" in lines else None

        assert started == (ref["start_time"] if ref else None)
