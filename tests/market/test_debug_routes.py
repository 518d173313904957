"""GET /api/market/debug/*: gates, right, how whole a series is, and what a process counted."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client, RequestFactory
from pytest_django import Settings

from market import metrics
from market.api import SeriesHealthView
from market.candles import Candles
from market.store import candles_upsert
from tests.market.factories import SERIES, flat, stored
from tests.market.sockets import connected, play, store

ROUTES = [
    "/api/market/debug/ingest_state",
    f"/api/market/debug/series_health?series_id={SERIES}",
    "/api/market/debug/metrics",
]
HEALTH = "/api/market/debug/series_health"
FIVE = SERIES.replace(":1m", ":5m")


@pytest.fixture
def watcher(settings: Settings, db: None) -> Client:
    """Return a client that may look, with all gates open."""
    settings.TRADE_CANVAS_ENABLE_DEBUG_API = True
    settings.TRADE_CANVAS_ENABLE_RUNTIME_METRICS = True
    metrics.KEPT.clear()
    client = Client()
    client.force_login(User.objects.create_user("researcher", is_staff=True))
    return client


def candles_at(series_id: str, *times: int) -> None:
    with transaction.atomic():
        candles_upsert([(series_id, Candles.from_rows([flat(time) for time in times]))])


def health(client: Client, **query: object) -> Any:
    asked = {"series_id": SERIES} | {name: str(value) for name, value in query.items()}
    return client.get(HEALTH, asked).json()


@pytest.mark.parametrize("route", ROUTES)
def test_a_closed_gate_hides_the_route_from_everybody(
    route: str, watcher: Client, client: Client, settings: Settings
) -> None:
    settings.TRADE_CANVAS_ENABLE_DEBUG_API = False

    for visitor in (watcher, client):
        answer = visitor.get(route)
        assert (answer.status_code, answer.json()) == (404, {"detail": "not_found"})


@pytest.mark.parametrize("route", ROUTES)
def test_only_who_may_write_may_look(route: str, watcher: Client, client: Client) -> None:
    answer = client.get(route)

    assert (answer.status_code, answer.json()) == (401, {"detail": "not_authenticated"})
    assert watcher.get(route).status_code == 200


def test_metrics_are_hidden_while_nothing_is_counted(watcher: Client, settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_RUNTIME_METRICS = False

    assert watcher.get(ROUTES[2]).json() == {"detail": "not_found"}


def test_the_gap_of_the_example_is_found(watcher: Client) -> None:
    candles_at(SERIES, 0 + 60, 60 + 60, 240 + 60)

    found = health(watcher)

    assert (found["candle_count"], found["first_time"], found["head_time"]) == (3, 60, 300)
    assert (found["gap_count"], found["max_gap_seconds"]) == (1, 180)
    assert found["recent_gaps"] == [
        {"prev_time": 120, "next_time": 300, "delta_seconds": 180, "missing_candles": 2}
    ]
    assert found["base_series_id"] == SERIES
    assert found["base_bucket_completeness"] == []


def test_the_newest_gaps_come_first_and_only_so_many(watcher: Client) -> None:
    candles_at(SERIES, 60, 240, 480, 540, 900)

    found = health(watcher, max_recent_gaps=2)

    assert (found["gap_count"], found["max_gap_seconds"]) == (3, 360)
    assert [gap["next_time"] for gap in found["recent_gaps"]] == [900, 480]


def test_a_series_without_candles_has_no_times(watcher: Client) -> None:
    found = health(watcher)

    assert {name: found[name] for name in ("first_time", "head_time", "lag_seconds")} == {
        "first_time": None,
        "head_time": None,
        "lag_seconds": None,
    }
    assert (found["candle_count"], found["gap_count"], found["max_gap_seconds"]) == (0, 0, None)
    assert found["recent_gaps"] == []


def test_buckets_say_how_many_minutes_of_them_are_stored(watcher: Client) -> None:
    candles_at(SERIES, 360, 420, *range(900, 1200, 60), 1200, 1260)

    buckets = health(watcher, series_id=FIVE)["base_bucket_completeness"]

    assert [list(bucket.values()) for bucket in buckets] == [
        [300, 5, 2, 3],
        [600, 5, 0, 5],
        [900, 5, 5, 0],
        [1200, 5, 2, 3],
    ]
    assert list(buckets[0]) == [
        "bucket_open_time",
        "expected_minutes",
        "actual_minutes",
        "missing_minutes",
    ]
    assert (
        health(watcher, series_id=FIVE, recent_base_buckets=2)["base_bucket_completeness"]
        == (buckets[2:])
    )


def test_buckets_are_empty_without_minutes(watcher: Client) -> None:
    candles_at(FIVE, 300, 600)

    found = health(watcher, series_id=FIVE)

    assert (found["base_series_id"], found["base_bucket_completeness"]) == (SERIES, [])


def test_lag_is_measured_from_the_clock(
    watcher: Client, rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    candles_at(SERIES, 60)
    monkeypatch.setattr(SeriesHealthView, "permission_classes", ())

    answer = SeriesHealthView.as_view(clock=lambda: 200.9)(rf.get(HEALTH, {"series_id": SERIES}))

    assert (answer.data["now_time"], answer.data["lag_seconds"]) == (200, 140)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"series_id": "abc"}, 400),
        ({"max_recent_gaps": 0}, 422),
        ({"max_recent_gaps": 51}, 422),
        ({"recent_base_buckets": 49}, 422),
    ],
)
def test_odd_queries_are_refused(query: dict[str, Any], status: int, watcher: Client) -> None:
    assert watcher.get(HEALTH, {"series_id": SERIES} | query).status_code == status


def shown(client: Client) -> Any:
    return client.get(ROUTES[2]).json()


def test_nothing_was_counted_at_first(watcher: Client) -> None:
    assert shown(watcher) == {
        "enabled": True,
        "updated_at_ms": 0,
        "counters": {},
        "gauges": {},
        "timers": {},
    }


def test_counters_gauges_and_timers_add_up(watcher: Client) -> None:
    metrics.count("seen_total", result="ok")
    metrics.count("seen_total", 2, result="ok")
    metrics.gauge("head", 7, series_id=SERIES)
    metrics.gauge("head", None, series_id=SERIES)
    metrics.KEPT.time("done_ms", 2.0)
    metrics.KEPT.time("done_ms", 4.0)

    found = shown(watcher)

    assert found["counters"] == {"seen_total{result=ok}": 3.0}
    assert found["gauges"] == {f"head{{series_id={SERIES}}}": 7.0}
    assert found["timers"] == {
        "done_ms": {"count": 2, "total_ms": 6.0, "max_ms": 4.0, "avg_ms": 3.0}
    }
    assert found["updated_at_ms"] > 1_700_000_000_000


def test_nothing_is_kept_while_it_is_off(watcher: Client, settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_RUNTIME_METRICS = False
    metrics.count("seen_total")
    metrics.gauge("head", 7)
    with metrics.timed("done_ms"):
        pass
    settings.TRADE_CANVAS_ENABLE_RUNTIME_METRICS = True

    assert shown(watcher)["updated_at_ms"] == 0


def test_too_many_labels_are_not_kept(watcher: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_KEYS", 2)

    for series_id in ("a", "b", "c", "a"):
        metrics.count("seen_total", series_id=series_id)

    assert shown(watcher)["counters"] == {
        "seen_total{series_id=a}": 2.0,
        "seen_total{series_id=b}": 1.0,
    }


def test_reads_of_candles_are_counted(watcher: Client) -> None:
    stored(range(3))

    watcher.get("/api/market/candles", {"series_id": SERIES})

    found = shown(watcher)
    assert found["counters"] == {"market_query_candles_requests_total": 1.0}
    assert found["gauges"]["market_query_candles_result_count"] == 3.0
    assert found["gauges"]["market_query_head_time"] == 1700000120.0
    assert found["gauges"]["market_query_head_lag_seconds"] > 0
    assert found["timers"]["market_query_candles_duration_ms"]["count"] == 1


@pytest.mark.django_db(transaction=True)
def test_sockets_are_counted(watcher: Client, settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_ONDEMAND_INGEST = True
    settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS = 1

    async def scenario() -> None:
        await store(range(3))
        async with connected() as socket:
            await socket.subscribe()
            await socket.say(type="subscribe", series_id="a:b:c:1m")
            await socket.hear()
            await socket.say(type="unsubscribe", series_id="a:b:c:1m")
            await socket.heard()

    play(scenario)

    found = shown(watcher)
    assert found["counters"] == {
        "market_ws_subscribe_total{result=ok}": 1.0,
        "market_ws_subscribe_total{result=capacity}": 1.0,
        "market_ws_unsubscribe_total{result=noop}": 1.0,
        "market_ws_catchup_candles_total": 3.0,
        "market_ws_payloads_total": 3.0,
        "market_ws_disconnect_cleanup_total": 1.0,
        "market_ws_disconnect_unsubscribe_total": 1.0,
    }
    assert found["gauges"] == {
        "market_ws_active_subscriptions": 0.0,
        "market_ws_disconnect_cleanup_series_count": 1.0,
        "market_ws_last_catchup_count": 3.0,
        "market_ws_last_payload_count": 3.0,
    }
    assert set(found["timers"]) == {
        "market_ws_subscribe_duration_ms",
        "market_ws_unsubscribe_duration_ms",
    }
