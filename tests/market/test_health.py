"""GET /api/market/health: the lamp that says whether the candles of a series reach up to now."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from pytest_django import Settings

from market.candles import Candles
from market.health import Filling, Looked, kline_health, status, target_time
from market.models import BackfillProgress
from market.store import candles_upsert
from tests.market.factories import SERIES, flat, stored

URL = "/api/market/health"
FIVE = "binance:futures:AAA/USDT:5m"
RUNNING, DONE = Filling(state="running"), Filling(state="succeeded")


@pytest.fixture(autouse=True)
def as_before(settings: Settings) -> None:
    """Open the gate, and give no grace, as the rules were taken over."""
    settings.TRADE_CANVAS_ENABLE_KLINE_HEALTH_V2 = True
    settings.TRADE_CANVAS_KLINE_HEALTH_GRACE_S = 0


def get(client: Client, status: int = 200, **query: object) -> Any:
    asked = {name: str(value) for name, value in query.items()}
    response = client.get(URL, {"series_id": FIVE} | asked)
    assert response.status_code == status
    return response.json()


def candle_at(time: int) -> None:
    with transaction.atomic():
        candles_upsert([(FIVE, Candles.from_rows([flat(time)]))])


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (Looked(None, 600, RUNNING, is_recent=True), ("red", "missing_head")),
        (Looked(900, 600, RUNNING, is_recent=True), ("yellow", "head_ahead_of_closed_window")),
        (Looked(600, 600, RUNNING, is_recent=True), ("green", "up_to_date")),
        (Looked(300, 600, RUNNING, is_recent=False), ("yellow", "backfill_running")),
        (Looked(300, 600, DONE, is_recent=True), ("yellow", "backfill_recent")),
        (Looked(300, 600, DONE, is_recent=False), ("red", "lagging_no_recent_backfill")),
        (
            Looked(300, 600, Filling(state="failed"), is_recent=True),
            ("red", "lagging_no_recent_backfill"),
        ),
        (Looked(300, 600, Filling(), is_recent=False), ("red", "lagging_no_recent_backfill")),
        (Looked(0, 0, Filling(), is_recent=False), ("green", "up_to_date")),
    ],
)
def test_the_first_rule_that_holds_decides(look: Looked, expected: tuple[str, str]) -> None:
    assert status(look) == expected


@pytest.mark.parametrize(
    ("filling", "percent"),
    [
        (Filling(), 100.0),
        (Filling(current_missing_seconds=60), None),
        (Filling(start_missing_seconds=600, current_missing_seconds=150), 75.0),
        (Filling(start_missing_seconds=600, current_missing_seconds=900), 0.0),
        (Filling(start_missing_seconds=600, current_missing_seconds=-60), 100.0),
    ],
)
def test_progress_is_what_was_filled_of_what_was_missing(
    filling: Filling, percent: float | None
) -> None:
    assert filling.progress_pct == percent


@pytest.mark.parametrize(
    ("now", "grace", "head", "expected"),
    [
        (960, 5, 300, 600),
        (904, 5, 300, 300),
        (905, 5, 300, 600),
        (904, 5, 600, 600),
        (904, 5, 900, 600),
        (904, 5, None, 300),
        (904, 0, 300, 600),
        (302, 5, None, 0),
    ],
)
def test_a_candle_that_just_ended_may_be_late_or_there(
    now: int, grace: int, head: int | None, expected: int
) -> None:
    assert target_time(now, 300, grace, head) == expected


@pytest.mark.parametrize("head", [None, 0, 240, 300, 580, 600, 900])
def test_without_grace_the_target_is_the_newest_candle_that_ended(head: int | None) -> None:
    assert {target_time(now, 300, 0, head) for now in range(900, 1200)} == {600}


@pytest.mark.parametrize("now", range(900, 1200, 7))
def test_a_feed_whose_closes_come_four_seconds_late_stays_green(now: int) -> None:
    head = 300 if now < 904 else 600

    lamp = kline_health(
        seconds=300, now=now, head=head, filling=Filling(), grace=5, recent_seconds=120
    )

    assert lamp["status"] == "green"


@pytest.mark.django_db
def test_the_example_of_the_protocol(client: Client) -> None:
    candle_at(300)

    assert get(client, now_time=960) == {
        "series_id": FIVE,
        "timeframe_seconds": 300,
        "now_time": 960,
        "expected_latest_closed_time": 600,
        "head_time": 300,
        "lag_seconds": 660,
        "missing_seconds": 300,
        "missing_candles": 1,
        "status": "red",
        "status_reason": "lagging_no_recent_backfill",
        "backfill": {
            "state": "idle",
            "progress_pct": 100.0,
            "started_at": None,
            "updated_at": None,
            "reason": None,
            "note": None,
            "error": None,
            "recent": False,
            "start_missing_seconds": 0,
            "start_missing_candles": 0,
            "current_missing_seconds": 0,
            "current_missing_candles": 0,
        },
    }


@pytest.mark.django_db
def test_a_series_without_candles_is_red(client: Client) -> None:
    lamp = get(client, now_time=960)

    assert (lamp["status"], lamp["status_reason"]) == ("red", "missing_head")
    assert (lamp["lag_seconds"], lamp["missing_seconds"], lamp["missing_candles"]) == (None,) * 3


@pytest.mark.django_db
def test_the_row_of_a_fill_is_shown_and_counts_while_recent(client: Client) -> None:
    candle_at(300)
    BackfillProgress.objects.create(
        series_id=FIVE,
        state="succeeded",
        reason="tail_coverage",
        note="tail_coverage_partial",
        started_at=datetime.fromtimestamp(900, UTC),
        updated_at=datetime.fromtimestamp(910, UTC),
        start_missing_seconds=600,
        start_missing_candles=2,
        current_missing_seconds=300,
        current_missing_candles=1,
    )

    lamp, later = get(client, now_time=1030), get(client, now_time=1031)

    assert (lamp["status"], lamp["status_reason"]) == ("yellow", "backfill_recent")
    assert (later["status"], later["backfill"]["recent"]) == ("red", False)
    assert lamp["backfill"] == {
        "state": "succeeded",
        "progress_pct": 50.0,
        "started_at": 900,
        "updated_at": 910,
        "reason": "tail_coverage",
        "note": "tail_coverage_partial",
        "error": None,
        "recent": True,
        "start_missing_seconds": 600,
        "start_missing_candles": 2,
        "current_missing_seconds": 300,
        "current_missing_candles": 1,
    }


@pytest.mark.django_db
@pytest.mark.parametrize("gate", ["KLINE_HEALTH_V2", "DEBUG_API"])
def test_either_gate_opens_the_route(gate: str, client: Client, settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_KLINE_HEALTH_V2 = False
    assert get(client, 404) == {"detail": "not_found"}

    setattr(settings, f"TRADE_CANVAS_ENABLE_{gate}", True)

    assert get(client)["series_id"] == FIVE


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("series_id", "said"),
    [
        ("abc", "series_id must be '{exchange}:{market}:{symbol}:{timeframe}'"),
        ("a:b:c:7w", "unsupported timeframe unit: 'w'"),
    ],
)
def test_a_bad_series_id_is_400_with_the_reason(series_id: str, said: str, client: Client) -> None:
    assert get(client, 400, series_id=series_id) == {"detail": said}


@pytest.mark.django_db
def test_a_negative_time_is_422(client: Client) -> None:
    assert get(client, 422, now_time=-1)["detail"][0]["loc"] == ["query", "now_time"]


@pytest.mark.django_db
def test_without_a_time_the_clock_counts(client: Client) -> None:
    stored(range(3), SERIES)

    lamp = get(client, series_id=SERIES)

    assert lamp["now_time"] > 1_700_000_000
    assert lamp["lag_seconds"] == lamp["now_time"] - lamp["head_time"]
