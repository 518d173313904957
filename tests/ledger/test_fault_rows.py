"""Faults of candles and rules, as they come in over HTTP: what is stored, and what reads say."""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import get_resolver

from factors.engine.plugins.pivot import Pivot
from ingest import pipeline
from ledger import advance
from ledger.advance import IngestPipelineError
from ledger.models import LedgerHead
from ledger.rebuild import series_rebuild
from ledger.recovery import recover
from ledger.repair import ReadRepairService
from market import selectors
from market.candles import PRICES, Candle, Candles
from market.groups import Hint
from tests.goldens import candles_of, golden
from tests.ledger.reading import SERIES, flat, get, use_golden_windows
from tests.ledger.stored import failing, generation, ledger, require_invariants, reset, straight
from tests.tables import tables_state

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parent.parent.parent
OTHER = "test:spot:OTHER/USDT:1m"
CLOSED = "/api/market/ingest/candle_closed"
BATCH = "/api/dev/market/ingest/candles_closed_batch"
FLAGS = (
    "TRADE_CANVAS_ENABLE_INGEST_COMPENSATE_NEW_CANDLES",
    "TRADE_CANVAS_ENABLE_INGEST_COMPENSATE_OVERLAY_ERROR",
)


@pytest.fixture
def case() -> Iterator[Candles]:
    """Return the candles of a golden case whose windows are in use."""
    with use_golden_windows(golden("box_2_1")):
        yield candles_of(golden("box_2_1"))


@pytest.fixture
def hints() -> Iterator[list[Hint]]:
    """Return the hints that are given from now on."""
    given: list[Hint] = []
    everybody = patch.object(advance, "is_heard", lambda _: True)
    with everybody, patch.object(advance, "announce", given.extend):
        yield given


@pytest.fixture
def staff(client: Client) -> Client:
    """Return a client that may write."""
    client.force_login(User.objects.create(username="researcher", is_staff=True))
    return client


def send(client: Client, candle: Candle, series_id: str = SERIES) -> Any:
    body = {"series_id": series_id, "candle": candle._asdict()}
    return client.post(CLOSED, body, content_type="application/json")


@pytest.mark.parametrize("flag", FLAGS)
def test_a_compensate_flag_changes_nothing_and_the_check_says_so(
    flag: str, case: Candles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 7 of the ledger's faults."""
    monkeypatch.setenv(flag, "1")
    said = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    pipeline.run_sync({SERIES: case.take(slice(0, 400))})
    drawn = ledger()

    with patch.object(Pivot, "marks", failing), pytest.raises(IngestPipelineError) as caught:
        pipeline.run_sync({SERIES: case})

    assert f"{flag} has no effect" in said.stderr
    error = caught.value
    assert error.step == "overlay.ingest_closed"
    assert (error.compensated, error.overlay_compensated) == (False, False)
    head = LedgerHead.objects.get()
    assert (head.candle_head, head.factor_head, head.overlay_head) == (
        int(case.time[-1]),
        int(case.time[399]),
        int(case.time[399]),
    )
    assert len(selectors.candles_latest(SERIES, 1000)) == len(case)
    assert ledger()[2:] == drawn[2:]


def test_a_candle_sent_100_times_is_one_row_one_event_set_and_one_hint(
    case: Candles, hints: list[Hint], staff: Client
) -> None:
    """Row 15 of the ledger's faults."""
    newest_event = golden("box_2_1")["events"][-1]["candle_time"]
    *before, last = case.take(case.time <= newest_event).rows()
    expected = straight(Candles.from_rows([*before, last]))
    reset()
    pipeline.run_sync({SERIES: Candles.from_rows(before)})
    hints.clear()

    assert {send(staff, last).status_code for _ in range(100)} == {200}

    assert ledger() == expected
    assert hints == [Hint(SERIES, 0, last.candle_time, (last,))]


def test_off_grid_candles_are_aligned_alike_in_candles_frame_and_slices(
    staff: Client,
) -> None:
    """Row 31 of the ledger's faults."""
    for candle in flat(1, 2, 3, 44).rows():
        assert send(staff, candle).status_code == 200

    candles = get(staff, "market/candles", series_id=SERIES).json()
    frame = get(staff, "frame/live", series_id=SERIES).json()
    first, second = (
        get(staff, "factor/slices", series_id=SERIES, at_time=1700000239) for _ in range(2)
    )

    assert candles["server_head_time"] == candles["candles"][-1]["candle_time"] == 1700000180
    assert frame["time"]["aligned_time"] == 1700000180
    assert first.json()["candle_id"] == frame["time"]["candle_id"] == f"{SERIES}:1700000180"
    assert first.content == second.content


def api_paths() -> list[str]:
    """Return every route under /api that takes no argument."""
    paths = [
        str(each.pattern) for found in get_resolver().url_patterns for each in flattened(found)
    ]
    return sorted(path for path in paths if path.startswith("api/") and "<" not in path)


def flattened(found: Any) -> Iterator[Any]:
    inside = getattr(found, "url_patterns", None)
    yield from [found] if inside is None else inside


NEED_NO_LEDGER = {
    "api/factor/catalog": 200,
    "api/ingest/feed": 200,
    "api/asyncapi": 200,
    "api/factor/health": 200,
    "api/market/candles": 200,
    "api/market/whitelist": 200,
    "api/market/ingest/candle_closed": 405,
    "api/dev/market/ingest/candles_closed_batch": 405,
    "api/dev/repair/overlay": 405,
    "api/replay/prepare": 405,
    "api/market/health": 404,  # these gates are closed
    "api/market/debug/ingest_state": 404,
    "api/market/debug/metrics": 404,
    "api/market/debug/series_health": 404,
    "api/market/ingest/candle_forming": 404,
    "api/market/top_markets": 422,  # of no series
    "api/market/top_markets/stream": 422,
}


def factors_failed(case: Candles) -> None:
    pipeline.run_sync({SERIES: case.take(slice(0, 450))})
    fail_to_take(case)


def history_failed(case: Candles) -> None:
    pipeline.run_sync({SERIES: case.take(slice(1, None))})
    fail_to_take(case)


def made_by_other_rules(case: Candles) -> None:
    with override_settings(TRADE_CANVAS_PIVOT_WINDOW_MAJOR=7):
        pipeline.run_sync({SERIES: case})


def fail_to_take(candles: Candles) -> None:
    with patch.object(Pivot, "step", failing), pytest.raises(IngestPipelineError):
        pipeline.run_sync({SERIES: candles})


@pytest.mark.parametrize("path", api_paths())
@pytest.mark.parametrize("stale", [factors_failed, history_failed, made_by_other_rules])
def test_a_get_of_a_stale_ledger_is_refused_and_changes_no_row(
    stale: Callable[[Candles], None], path: str, case: Candles, staff: Client
) -> None:
    """Row 32 of the ledger's faults: warm-up is off unless it is switched on."""
    stale(case)
    before, last = tables_state(), int(case.time[-1])
    times = {"at_time": last, "from_time": last - 600, "to_time": last}

    answer = get(staff, path.removeprefix("api/"), series_id=SERIES, **times)

    if path == "api/frame/live" and stale is factors_failed:
        # It may show the newest consistent frame, and says which that is.
        assert answer.json()["time"]["aligned_time"] == int(case.time[449])
    else:
        assert answer.status_code == NEED_NO_LEDGER.get(path, 409)
    assert tables_state() == before


def test_a_candle_far_in_the_future_is_stored_and_real_ones_then_come_late(
    case: Candles, staff: Client
) -> None:
    """Row 33 of the ledger's faults: over HTTP."""
    known, later = case.take(slice(0, 480)), case.take(slice(480, None)).rows()
    odd = Candle(int(case.time[-1]) + 10**9, 3.0, 4.0, 2.0, 3.0, 1.0)
    expected = straight(Candles.from_rows([*case.rows(), odd]))
    reset()
    pipeline.run_sync({SERIES: known, OTHER: known})
    other = ledger(OTHER)

    assert send(staff, odd).status_code == 200
    assert [send(staff, candle).status_code for candle in later] == [200] * len(later)

    assert ledger() == expected
    assert (ledger(OTHER), generation(OTHER), generation()) == (other, 0, len(later))
    require_invariants(SERIES, OTHER)


def frames_at(client: Client, times: list[int]) -> list[Any]:
    """Return what is read at these times, the generation's part of version ids aside."""
    return [
        aside(get(client, "frame/at_time", series_id=SERIES, at_time=time, window_candles=300))
        for time in times
    ]


def aside(answer: Any) -> Any:
    assert answer.status_code == 200
    frame = answer.json()
    for holder in (
        frame["draw_state"]["next_cursor"],
        *frame["draw_state"]["instruction_catalog_patch"],
    ):
        holder["version_id"] %= 1 << 32
    return frame


def test_frames_of_the_past_do_not_tell_how_the_ledger_was_made(
    case: Candles, client: Client
) -> None:
    """Row 34 of the ledger's faults."""
    times = random.Random(34).sample(case.time.tolist(), 20)  # noqa: S311 (can be repeated)
    for row in range(len(case)):
        pipeline.run_sync({SERIES: case.take(slice(row, row + 1))})
    expected = frames_at(client, times)
    reset()

    pipeline.run_sync({SERIES: case})
    assert frames_at(client, times) == expected
    ReadRepairService().repair_overlay(series_id=SERIES)
    assert frames_at(client, times) == expected
    with override_settings(TRADE_CANVAS_PIVOT_WINDOW_MAJOR=7):
        series_rebuild(SERIES)
    assert recover() == []

    assert generation() == 2
    assert frames_at(client, times) == expected


GOOD = flat(1).rows()[0]._asdict()
NO_NUMBERS = (float("nan"), float("inf"), float("-inf"), "NaN", "Infinity")
ODD = [
    *(GOOD | {name: number} for name in PRICES for number in NO_NUMBERS),
    GOOD | {"candle_time": 0},
    GOOD | {"candle_time": -60},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_a_candle_of_no_number_or_no_time_is_refused(
    odd: dict[str, Any], staff: Client, settings: Any
) -> None:
    """Row 35 of the ledger's faults."""
    settings.TRADE_CANVAS_ENABLE_DEV_API = True
    pipeline.run_sync({SERIES: flat(1, 2)})
    before = tables_state()

    for path, body in ((CLOSED, {"candle": odd}), (BATCH, {"candles": [GOOD, odd]})):
        text = json.dumps({"series_id": SERIES, **body})
        assert staff.post(path, text, content_type="application/json").status_code == 422

    assert tables_state() == before


@pytest.mark.parametrize(
    "odd", [GOOD | {"high": 0.5, "low": 9.0}, GOOD | {"volume": -1.0}, GOOD | {"close": -5.0}]
)
def test_order_of_prices_and_sign_of_volume_are_not_checked(
    odd: dict[str, Any], staff: Client
) -> None:
    """Row 35 of the ledger's faults: what it leaves to the sender."""
    assert send(staff, Candle(**odd)).status_code == 200
    assert selectors.candles_latest(SERIES, 1).rows() == [Candle(**odd)]
