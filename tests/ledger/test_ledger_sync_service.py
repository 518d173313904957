"""LedgerSyncService: aligned time, heads, refresh and readiness, each said in one place."""

from typing import Any
from unittest.mock import patch

import pytest
from django.db import DatabaseError, OperationalError
from django.test import override_settings

from factors.engine.plugins.pivot import Pivot
from ingest import pipeline
from ledger.advance import IngestPipelineError
from ledger.alignment import NoDataError, OutOfSyncError
from ledger.models import LedgerHead
from ledger.sync import AlignedPoint, LedgerSyncService
from tests.ledger.reading import SERIES, START, flat
from tests.tables import tables_state

pytestmark = pytest.mark.django_db
SYNC = LedgerSyncService()
FACTOR, OVERLAY = f"factor.ingest_closed:{SERIES}", f"overlay.ingest_closed:{SERIES}"


def behind() -> None:
    """Store three candles whose ledger is not computed."""
    with override_settings(TRADE_CANVAS_ENABLE_FACTOR_INGEST=False):
        pipeline.run_sync({SERIES: flat(1, 2, 3)})


@pytest.mark.parametrize(
    ("to_time", "requested", "aligned"),
    [
        (None, START + 120, START + 120),
        (START + 119, START + 119, START + 60),
        (START, START, START),
        (START + 9999, START + 9999, START + 120),
    ],
)
def test_a_time_is_aligned_to_the_newest_candle_at_or_before_it(
    to_time: int | None, requested: int, aligned: int
) -> None:
    pipeline.run_sync({SERIES: flat(1, 2, 3)})

    assert SYNC.resolve_aligned_point(SERIES, to_time, "x") == AlignedPoint(requested, aligned)


@pytest.mark.parametrize("to_time", [0, START - 1])
def test_a_time_before_the_first_candle_has_no_data(to_time: int) -> None:
    pipeline.run_sync({SERIES: flat(1)})

    with pytest.raises(NoDataError, match="no_data") as caught:
        SYNC.resolve_aligned_point(SERIES, to_time, "caller.no_data")
    assert caught.value.code == "caller.no_data"


def test_a_series_without_candles_has_no_data() -> None:
    with pytest.raises(NoDataError, match="nothing"):
        SYNC.resolve_aligned_point(SERIES, None, "caller.no_data", "nothing")


def test_a_snapshot_of_heads_never_raises() -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})

    assert SYNC.head_snapshot(SERIES) == (START + 60, START + 60)
    assert SYNC.head_snapshot("a:b:c:1m") == (None, None)
    with patch("ledger.sync.heads_of", side_effect=DatabaseError):
        assert SYNC.head_snapshot(SERIES) == (None, None)


def test_heads_that_cannot_be_read_are_refreshed_and_not_called_ready() -> None:
    """Row 30 of the ledger's faults."""
    pipeline.run_sync({SERIES: flat(1, 2)})

    with patch("ledger.sync.heads_of", side_effect=DatabaseError("gone")):
        assert SYNC.refresh_if_needed(SERIES, START).refreshed
        with pytest.raises(DatabaseError, match="gone"):
            SYNC.require_heads_ready(SERIES, START)


def test_a_refresh_of_a_ledger_behind_runs_both_steps() -> None:
    behind()

    done = SYNC.refresh_if_needed(SERIES, START + 60)

    assert (done.refreshed, done.step_names) == (True, [FACTOR, OVERLAY])
    assert (done.factor_head_time, done.overlay_head_time) == (START + 120, START + 120)


def test_a_ledger_that_is_ready_is_refreshed_only_when_told() -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})
    before = tables_state()

    assert SYNC.refresh_if_needed(SERIES, START + 60).step_names == []
    assert SYNC.refresh(SERIES, START + 60).step_names == [FACTOR, OVERLAY]
    assert tables_state() == before


def test_a_refresh_never_goes_beyond_the_candles() -> None:
    """Row 10 of the ledger's faults: candles that come later are computed."""
    behind()

    SYNC.refresh(SERIES, START + 10**6)
    head = LedgerHead.objects.get(series_id=SERIES)
    assert (head.factor_head, head.overlay_head) == (START + 120, START + 120)

    pipeline.run_sync({SERIES: flat(4, start=START + 180)})
    assert LedgerHead.objects.get(series_id=SERIES).factor_head == START + 180


@pytest.mark.parametrize("facts", [{"dirty_from": START + 60}, {"rules_fingerprint": "another"}])
def test_a_ledger_that_is_to_be_recomputed_is_refreshed(facts: dict[str, Any]) -> None:
    pipeline.run_sync({SERIES: flat(1, 2, 3)})
    LedgerHead.objects.update(**facts)
    with pytest.raises(OutOfSyncError, match="ledger_out_of_sync:factor"):
        SYNC.require_heads_ready(SERIES, START + 120)

    assert SYNC.refresh_if_needed(SERIES, START + 120).refreshed
    SYNC.require_heads_ready(SERIES, START + 120)


@pytest.mark.parametrize(
    ("facts", "detail", "code"),
    [
        ({"factor_head": None}, "ledger_out_of_sync:factor", "f"),
        ({"factor_head": START, "overlay_head": START}, "ledger_out_of_sync:factor", "f"),
        ({"overlay_head": START}, "ledger_out_of_sync:overlay", "o"),
        ({"overlay_head": None}, "ledger_out_of_sync:overlay", "o"),
    ],
)
def test_heads_that_do_not_reach_the_time_are_named_factors_first(
    facts: dict[str, Any], detail: str, code: str
) -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})
    LedgerHead.objects.update(**facts)

    with pytest.raises(OutOfSyncError) as caught:
        SYNC.require_heads_ready(SERIES, START + 60, "f", "o")
    assert (caught.value.detail, caught.value.code) == (detail, code)


def test_a_rule_that_raises_rises_from_a_refresh() -> None:
    behind()

    with (
        patch.object(Pivot, "step", side_effect=ValueError("broken")),
        pytest.raises(IngestPipelineError, match=r"factor\.ingest_closed"),
    ):
        SYNC.refresh(SERIES, START + 120)


def test_the_wait_of_the_caller_is_the_wait_for_the_lock() -> None:
    behind()

    with patch("ledger.advance.database.writing", side_effect=OperationalError) as writing:
        with pytest.raises(OperationalError):
            LedgerSyncService(wait=0.0).refresh(SERIES, START)
        assert writing.call_args.args == (0.0,)
