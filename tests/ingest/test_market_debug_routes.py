"""What the feeds do and what came in, as programs watch it."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from pytest_django import Settings

from factors.engine.plugins.pivot import Pivot
from ingest import pipeline
from ingest.debug import ingest_state
from ingest.models import IngestGuardrail, IngestJob
from ingest.startup_sync import run_startup_kline_sync
from ledger import frames
from ledger.advance import IngestPipelineError
from ledger.alignment import OutOfSyncError
from ledger.warmup import MarketLedgerWarmupService
from market import metrics
from market.debug import RING
from tests.ledger.reading import SERIES, START, flat, get

pytestmark = pytest.mark.django_db

STATE = "/api/market/debug/ingest_state"
CLOSED = "/api/market/ingest/candle_closed"
BATCH = "/api/dev/market/ingest/candles_closed_batch"
CANDLE = {"candle_time": START, "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1}


@pytest.fixture
def watcher(settings: Settings) -> Client:
    """Return a client that may look and write, with all gates open."""
    settings.TRADE_CANVAS_ENABLE_DEBUG_API = True
    settings.TRADE_CANVAS_ENABLE_DEV_API = True
    settings.TRADE_CANVAS_ENABLE_RUNTIME_METRICS = True
    metrics.KEPT.clear()
    RING.clear()
    client = Client()
    client.force_login(User.objects.create_user("researcher", is_staff=True))
    return client


def post(client: Client, path: str, **body: Any) -> Any:
    return client.post(path, orjson.dumps(body), content_type="application/json")


def events() -> list[dict[str, Any]]:
    return [dict(event) for event in RING.after(0)[1]]


def test_without_jobs_the_switches_are_shown(
    watcher: Client, settings: Settings, tmp_path: Path
) -> None:
    settings.TRADE_CANVAS_WHITELIST_PATH = tmp_path / "whitelist.json"
    listed = {"series_ids": ["b:b:b:1m", "a:a:a:1m"]}
    settings.TRADE_CANVAS_WHITELIST_PATH.write_bytes(orjson.dumps(listed))
    settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS = 7

    assert watcher.get(STATE).json() == {
        "jobs": [],
        "whitelist_series_ids": ["a:a:a:1m", "b:b:b:1m"],
        "ondemand_max_jobs": 7,
        "whitelist_ingest_enabled": False,
        "ingest_role_guard_enabled": False,
        "ingest_role": "hybrid",
        "ingest_jobs_enabled": True,
        "loop_guardrail_enabled": False,
    }

    settings.TRADE_CANVAS_WHITELIST_PATH.write_text("{")
    assert watcher.get(STATE).json()["whitelist_series_ids"] == ["a:a:a:1m", "b:b:b:1m"]


def test_a_process_for_readers_runs_no_jobs(watcher: Client, settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_INGEST_ROLE_GUARD = True
    settings.TRADE_CANVAS_INGEST_ROLE = "read"

    assert watcher.get(STATE).json()["ingest_jobs_enabled"] is False


def test_jobs_come_by_name_and_run_while_their_lease_lasts(watcher: Client) -> None:
    soon, past = Now() + timedelta(seconds=30), Now() - timedelta(seconds=1)
    IngestJob.objects.create(series_id="b", state="streaming", lease_expires_at=past)
    IngestJob.objects.create(
        series_id="a", state="streaming", refcount=2, started_at=5.5, lease_expires_at=soon
    )
    IngestJob.objects.create(series_id="c", refcount=-1)

    jobs = watcher.get(STATE).json()["jobs"]

    assert [(job["series_id"], job["running"]) for job in jobs] == [
        ("a", True),
        ("b", False),
        ("c", False),
    ]
    assert [job["refcount"] for job in jobs] == [2, 0, -1]
    assert (jobs[0]["source"], jobs[0]["started_at"]) == ("binance_ws", 5.5)
    assert {job["guardrail"] for job in jobs} == {None}
    assert {"last_zero_at", "crashes", "last_crash_at", "gaps", "state"} <= set(jobs[0])


def test_a_circuit_is_shown_with_the_failures_of_its_window(settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True
    IngestJob.objects.create(series_id="a")
    IngestGuardrail.objects.create(
        series_id="a",
        state="open",
        failures="[930.0, 939.9, 940.0, 999.0]",
        consecutive_failures=4,
        last_failure_at=999.0,
        last_error="refused",
        last_backoff_s=8.0,
        open_until=1020.0,
    )

    (job,) = ingest_state(1000.0)["jobs"]

    assert job["guardrail"] == {
        "enabled": True,
        "state": "open",
        "window_failures": 2,
        "consecutive_failures": 4,
        "last_failure_at": 999.0,
        "last_error": "refused",
        "last_backoff_s": 8.0,
        "next_retry_in_s": 20.0,
        "config": {
            "crash_budget": 5,
            "budget_window_s": 60.0,
            "backoff_initial_s": 1.0,
            "backoff_max_s": 15.0,
            "open_cooldown_s": 30.0,
            "open_cooldown_max_s": 300.0,
            "config_cooldown_s": 300.0,
            "config_cooldown_max_s": 3600.0,
            "probe_timeout_s": 60.0,
            "stable_after_s": 30.0,
            "jitter_ratio": 0.0,
        },
        "trips": 0,
        "last_error_kind": None,
        "held": False,
        "next_attempt_in_s": 20.0,
        "open_until": 1020.0,
        "next_attempt_at": None,
        "probe_owner": None,
        "probe_at": None,
        "last_success_at": None,
    }


def test_a_job_without_a_circuit_row_has_a_closed_one(settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True
    IngestJob.objects.create(series_id="a")

    circuit = ingest_state(1000.0)["jobs"][0]["guardrail"]

    assert (circuit["state"], circuit["window_failures"], circuit["next_retry_in_s"]) == (
        "closed",
        0,
        0.0,
    )


def test_a_candle_is_counted_and_told(watcher: Client) -> None:
    post(watcher, CLOSED, series_id=SERIES, candle=CANDLE).json()

    found = metrics.KEPT.shown()
    assert found["counters"] == {"market_ingest_closed_requests_total{result=ok}": 1.0}
    last = f"market_ingest_last_candle_time{{series_id={SERIES}}}"
    assert found["gauges"] == {last: float(START)}
    assert found["timers"]["market_ingest_closed_duration_ms"]["count"] == 1
    told = {event["event"]: event for event in events()}
    done = told["write.http.ingest_candle_closed_done"]
    assert told["write.http.ingest_candle_closed_start"]["data"] == {"candle_time": START}
    assert (done["pipe"], done["level"], done["series_id"]) == ("write", "info", SERIES)
    assert done["data"]["factor_rebuilt"] is False
    assert [step["name"] for step in done["data"]["steps"]] == [
        f"store.upsert_many_closed:{SERIES}",
        f"factor.ingest_closed:{SERIES}",
        f"overlay.ingest_closed:{SERIES}",
    ]
    assert abs(done["ts_ms"] - time.time() * 1000) < 60_000


def test_many_candles_are_counted_and_told(watcher: Client) -> None:
    later = CANDLE | {"candle_time": START + 60}

    post(watcher, BATCH, series_id=SERIES, candles=[later, CANDLE])

    counters = metrics.KEPT.shown()["counters"]
    assert counters == {"market_ingest_closed_batch_requests_total{result=ok}": 1.0}
    done = next(event for event in events() if event["event"].endswith("_batch_done"))
    assert done["event"] == "write.http.ingest_candles_closed_batch_done"
    assert {name: done["data"][name] for name in ("count", "publish_ws")} == {
        "count": 2,
        "publish_ws": False,
    }
    assert (done["data"]["first_candle_time"], done["data"]["last_candle_time"]) == (
        START,
        START + 60,
    )


def test_a_failed_step_is_counted_and_told(watcher: Client) -> None:
    with patch.object(Pivot, "step", side_effect=ValueError("odd")):
        answer = post(watcher, CLOSED, series_id=SERIES, candle=CANDLE)

    assert answer.status_code == 500
    assert metrics.KEPT.shown()["counters"] == {
        "market_ingest_closed_requests_total{result=error,step=factor.ingest_closed}": 1.0
    }
    failed = events()[-1]
    assert (failed["event"], failed["level"]) == ("write.http.ingest_candle_closed_error", "error")
    assert failed["data"] == {
        "step": "factor.ingest_closed",
        "series_id": SERIES,
        "error": "odd",
        "compensated": False,
        "overlay_compensated": False,
        "candle_compensated_rows": 0,
        "compensation_error": None,
        "candle_time": START,
    }


def test_reads_are_told(watcher: Client) -> None:
    post(watcher, CLOSED, series_id=SERIES, candle=CANDLE)
    RING.clear()

    watcher.get("/api/market/candles", {"series_id": SERIES})
    watcher.get("/api/frame/live", {"series_id": SERIES})
    get(watcher, "frame/at_time", series_id=SERIES, at_time=START + 5)
    watcher.get("/api/draw/delta", {"series_id": SERIES})
    get(watcher, "draw/delta", series_id=SERIES, cursor_version_id=9)
    watcher.get("/api/delta/poll", {"series_id": SERIES})
    post(watcher, "/api/replay/prepare", series_id=SERIES)

    told = {event["event"]: event["data"] for event in events()}
    times = {"aligned_time": START, "candle_id": f"{SERIES}:{START}"}
    assert told == {
        "read.http.market_candles": {
            "since": None,
            "limit": 500,
            "count": 1,
            "last_time": START,
            "server_head_time": START,
        },
        "read.http.world_frame_live": {"at_time": START} | times,
        "read.http.world_frame_at_time": {"at_time": START + 5} | times,
        "read.http.draw_delta": {
            "cursor_version_id": 9,
            "at_time": None,
            "next_version_id": 0,
            "to_time": START,
            "patch_len": 0,
            "active_len": 0,
        },
        "read.http.replay_prepare": {
            "requested_time": START,
            "aligned_time": START,
            "window_candles": 2000,
            "factor_head_time": START,
            "overlay_head_time": START,
            "computed": False,
        },
    }


def test_nothing_is_kept_while_the_gate_is_closed(watcher: Client, settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_DEBUG_API = False

    post(watcher, CLOSED, series_id=SERIES, candle=CANDLE)
    watcher.get("/api/frame/live", {"series_id": SERIES})

    assert events() == []


def test_drawings_that_are_refused_are_told(watcher: Client) -> None:
    post(watcher, CLOSED, series_id=SERIES, candle=CANDLE)
    RING.clear()
    refused = OutOfSyncError("ledger_out_of_sync:overlay", "draw_read.ledger_out_of_sync.overlay")

    with patch.object(frames, "delta", side_effect=refused):
        assert get(watcher, "draw/delta", series_id=SERIES, at_time=START).status_code == 409

    (event,) = events()
    assert (event["event"], event["level"]) == (
        "read.http.draw_delta.overlay_out_of_sync",
        "warn",
    )
    reason = "draw_read.ledger_out_of_sync.overlay"
    assert event["data"] == {
        "at_time": START,
        "strict_mode": True,
        "checks": [{"plugin": "overlay", "should_rebuild": True, "reason": reason}],
    }


def test_a_repair_is_told(watcher: Client, settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_READ_REPAIR_API = True
    post(watcher, CLOSED, series_id=SERIES, candle=CANDLE)
    RING.clear()

    post(watcher, "/api/dev/repair/overlay", series_id=SERIES)

    told = {event["event"]: event["data"] for event in events()}
    repaired = told["read.http.overlay_repair"]
    assert (repaired["aligned_time"], repaired["overlay_head_time"]) == (START, START)
    assert repaired["steps"][-2:] == ["overlay.reset_series", "overlay.ingest_closed"]


def test_a_warm_up_is_told_with_the_heads_before_and_after(
    watcher: Client, settings: Settings
) -> None:
    settings.TRADE_CANVAS_ENABLE_READ_LEDGER_WARMUP = True
    settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST = False
    pipeline.run_sync({SERIES: flat(1, 2)})
    settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST = True

    MarketLedgerWarmupService().ensure_ledgers_warm(SERIES, START + 60)

    found, drawn, event = events()
    assert found["event"] == "write.factor.ingest_done"
    assert {name: found["data"][name] for name in ("up_to_candle_time", "events_planned")} == {
        "up_to_candle_time": START + 60,
        "events_planned": 0,
    }
    assert drawn["event"] == "write.overlay.ingest_done"
    assert drawn["data"]["db_changes"] == 0
    assert event["event"] == "read.http.market_candles_ledger_warmup"
    assert event["data"] == {
        "target_time": START + 60,
        "factor_head_before": None,
        "overlay_head_before": None,
        "steps": [f"factor.ingest_closed:{SERIES}", f"overlay.ingest_closed:{SERIES}"],
        "factor_head_after": START + 60,
        "overlay_head_after": START + 60,
    }


def test_a_warm_up_that_fails_is_a_warning(watcher: Client, settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_READ_LEDGER_WARMUP = True
    with patch.object(Pivot, "step", side_effect=ValueError("odd")):
        with pytest.raises(IngestPipelineError):
            pipeline.run_sync({SERIES: flat(1, 2)})
        MarketLedgerWarmupService().ensure_ledgers_warm(SERIES, START + 60)

    (event,) = events()
    assert event["level"] == "warn"
    assert "odd" in event["data"]["error"]


def test_a_start_up_sync_is_told_series_by_series(watcher: Client) -> None:
    run_startup_kline_sync(
        backfill=lambda series, candles, to_time: 0,
        series_ids=[SERIES, "odd"],
        enabled=True,
        target_candles=100,
        now_time=START,
    )

    first, second, last = events()
    assert (first["series_id"], first["level"]) == ("odd", "error")
    assert first["data"]["error"] == "invalid_series_timeframe"
    assert (second["series_id"], second["data"]["lagging"]) == (SERIES, True)
    assert second["data"]["error"] is None
    assert (last["event"], last["data"]["series_errors"]) == ("write.startup.kline_sync.done", 1)
