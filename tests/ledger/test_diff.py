"""A diff tells all that became known between two candles, and what became of the unsettled."""

import io
import json
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from factors.engine.types import Provisional, StoredEvent
from ingest import pipeline
from ledger import frames
from ledger.diff import fate_of
from tests.goldens import candles_of, golden
from tests.ledger.reading import SERIES, START, flat, get, on_the_wire, use_golden_windows

pytestmark = pytest.mark.django_db
CASES = ["box_2_1", "doji61_2_2", "gaps_2_1", "tinyprice_2_1"]
FATES = {"confirmed", "changed", "gone", "new", "same"}


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Return a golden case, its candles taken in."""
    found = golden(getattr(request, "param", "box_2_1"))
    with use_golden_windows(found):
        pipeline.run_sync({found["series_id"]: candles_of(found)})
        yield found


def diff(client: Client, series_id: str, from_time: int, to_time: int, **query: object) -> Any:
    answer = get(
        client,
        "ledger/diff",
        series_id=series_id,
        from_time=from_time,
        to_time=to_time,
        **query,
    )
    assert answer.status_code == 200
    return answer.json()


def some_times(case: dict[str, Any]) -> list[int]:
    """Return the times of some candles, far from and near to each other."""
    times: list[int] = candles_of(case).time.tolist()
    half = len(times) // 2
    return [times[0], *times[half : half + 3], *times[-2:]]


def things_at(series_id: str, time: int) -> dict[str, Any]:
    """Return what slices call unsettled at a time, by the names of a diff."""
    slices = on_the_wire(frames.slices(series_id=series_id, at_time=time, window_candles=2000))
    heads = {name: snapshot["head"] for name, snapshot in slices["snapshots"].items()}
    things = {
        "pen.extending": heads.get("pen", {}).get("extending"),
        "pen.candidate": heads.get("pen", {}).get("candidate"),
        "zhongshu.alive": (heads.get("zhongshu", {}).get("alive") or [None])[0],
        "anchor.current": heads.get("anchor", {}).get("current_anchor_ref"),
    }
    return {what: thing for what, thing in things.items() if thing}


def expected_fate(what: str, old: Any, new: Any, events: list[dict[str, Any]]) -> str:
    """Return the fate by the words of the protocol."""
    kind, names = ("pen.confirmed", ("start_time", "direction"))
    if what == "zhongshu.alive":
        kind, names = ("zhongshu.dead", ("start_time", "formed_time"))
    payloads = [event["payload"] for event in events if event["kind"] == kind]
    if old and any(all(p[name] == old[name] for name in names) for p in payloads):
        return "confirmed"
    if old and new:
        return "same" if old == new else "changed"
    return "gone" if old else "new"


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_rows_are_what_slices_show_at_both_times_with_their_fate(
    case: dict[str, Any], client: Client
) -> None:
    for first, last in combinations(some_times(case), 2):
        between = [e for e in case["events"] if first < e["candle_time"] <= last]
        old, new = things_at(case["series_id"], first), things_at(case["series_id"], last)

        found = diff(client, case["series_id"], first, last)["provisional"]

        assert {row["what"]: row for row in found} == {
            what: {
                "what": what,
                "at_from": old.get(what),
                "at_to": new.get(what),
                "fate": expected_fate(what, old.get(what), new.get(what), between),
            }
            for what in old.keys() | new.keys()
        }
        assert len(found) == len(old.keys() | new.keys())


@pytest.mark.parametrize("case", ["doji61_2_2"], indirect=True)
def test_every_fate_occurs_and_all_things_can_be_confirmed(
    case: dict[str, Any], client: Client
) -> None:
    times = candles_of(case).time.tolist()[:60]
    pairs = [*pairwise(times), *pairwise(times[::6])]

    rows = [row for pair in pairs for row in diff(client, case["series_id"], *pair)["provisional"]]

    confirmed = {row["what"] for row in rows if row["fate"] == "confirmed"}
    assert {row["fate"] for row in rows} == FATES
    assert confirmed == {"pen.extending", "pen.candidate", "zhongshu.alive", "anchor.current"}


@pytest.mark.parametrize("case", CASES, indirect=True)
def test_events_are_those_of_the_export_after_one_time_up_to_the_other(
    case: dict[str, Any], client: Client
) -> None:
    out = io.StringIO()
    call_command("export_events", case["series_id"], stdout=out)
    exported = [json.loads(line) for line in out.getvalue().splitlines()]

    for first, last in combinations(some_times(case), 2):
        found = diff(client, case["series_id"], first, last)["events"]

        assert found == [e for e in exported if first < e["candle_time"] <= last]


def test_diffs_pieced_together_are_the_events_of_the_whole(
    case: dict[str, Any], client: Client
) -> None:
    times = candles_of(case).time.tolist()[::50]
    parts = [
        event
        for first, last in pairwise(times)
        for event in diff(client, case["series_id"], first, last, window_candles=1)["events"]
    ]

    assert parts == diff(client, case["series_id"], times[0], times[-1])["events"]
    assert len(parts) > 300


def test_a_diff_of_a_candle_with_itself_has_no_events_and_only_the_same(
    case: dict[str, Any], client: Client
) -> None:
    for time in some_times(case):
        found = diff(client, case["series_id"], time, time)

        assert found["from"] == found["to"]
        assert found["events"] == []
        assert {row["fate"] for row in found["provisional"]} <= {"same"}
        assert all(row["at_from"] == row["at_to"] for row in found["provisional"])
    assert len(found["provisional"]) == 4


def test_both_times_mean_the_candle_at_or_before_them(case: dict[str, Any], client: Client) -> None:
    series_id, times = case["series_id"], candles_of(case).time.tolist()
    exact = diff(client, series_id, times[40], times[-1])

    assert diff(client, series_id, times[40] + 59, times[-1] + 10_000) == exact
    assert exact["from"] == {"candle_id": f"{series_id}:{times[40]}", "candle_time": times[40]}
    assert exact["to"] == {"candle_id": f"{series_id}:{times[-1]}", "candle_time": times[-1]}


@pytest.mark.parametrize("window", [1, 5000])
def test_the_window_hides_nothing_between_the_times(
    window: int, case: dict[str, Any], client: Client
) -> None:
    times = candles_of(case).time.tolist()
    whole = diff(client, case["series_id"], times[100], times[-1])

    assert diff(client, case["series_id"], times[100], times[-1], window_candles=window) == whole


def test_a_diff_does_not_tell_how_candles_came(case: dict[str, Any], client: Client) -> None:
    candles = candles_of(case)
    for n in range(0, len(candles), 90):
        pipeline.run_sync({SERIES: candles.take(slice(n, n + 90))})
    times = (int(candles.time[123]), int(candles.time[321]))

    mine = json.dumps(diff(client, SERIES, *times))

    assert mine.replace(SERIES, case["series_id"]) == json.dumps(
        diff(client, case["series_id"], *times)
    )


def test_before_anything_is_known_there_is_nothing_to_tell(client: Client) -> None:
    pipeline.run_sync({SERIES: flat(1, 2, 3, 44)})

    found = diff(client, SERIES, START, START + 180)

    assert (found["events"], found["provisional"]) == ([], [])


def test_a_time_before_the_first_candle_has_no_data(client: Client) -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})

    answer = get(client, "ledger/diff", series_id=SERIES, from_time=START - 1, to_time=START + 60)

    assert (answer.status_code, answer.json()) == (404, {"detail": "no_data"})


def test_times_in_the_wrong_order_are_422_even_within_one_candle(client: Client) -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})

    answer = get(client, "ledger/diff", series_id=SERIES, from_time=START + 9, to_time=START + 8)

    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["loc"] == ["query", "to_time"]
    assert {"type", "msg", "input"} <= set(problem)


def test_a_factor_may_have_unsettled_things_that_no_event_states() -> None:
    gap, other = Provisional("gap.unfilled", "unfilled"), {"price": 2.0}
    events = {"gap.opened": [StoredEvent("gap.opened", 5, '{"price":2.0}')]}

    assert gap.of({"unfilled": None}) is None
    assert fate_of(gap, other, None, events) == "gone"
    assert fate_of(gap, other, other, events) == "same"
