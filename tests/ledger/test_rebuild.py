"""A rebuild gives the same ledger from the same candles, in one piece, and goes on after a cut."""

import io
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from factors.engine.plugins.pen import Pen
from factors.models import FactorEvent, FactorHeadSnapshot
from ingest import pipeline
from ledger import frames, jobs
from ledger.advance import IngestPipelineError
from ledger.alignment import NoDataError, OutOfSyncError
from ledger.models import JobState, LedgerHead, LedgerJob
from ledger.rebuild import RebuildOffError, series_rebuild
from ledger.recovery import recover
from ledger.selectors import ledger_checksum
from ledger.verify import series_verify
from market.candles import Candles
from tests.goldens import candles_of, golden
from tests.ledger.reading import SERIES, on_the_wire, use_golden_windows
from tests.tables import tables_state

pytestmark = pytest.mark.django_db
CASE = golden("box_2_1")
OTHERS = ["test:spot:A/USDT:1m", "test:spot:B/USDT:1m", "test:spot:C/USDT:1m"]


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def candles() -> Any:
    with use_golden_windows(CASE):
        yield candles_of(CASE)


def live(series_id: str) -> Any:
    return on_the_wire(frames.live(series_id=series_id, window_candles=500))


def test_a_rebuild_of_a_sound_ledger_changes_nothing(candles: Candles) -> None:
    for first in range(0, len(candles), 70):
        pipeline.run_sync({SERIES: candles.take(slice(first, first + 70))})
    before, frame = ledger_checksum(SERIES), live(SERIES)

    done = series_rebuild(SERIES)

    assert (done.candles, done.events) == (len(candles), len(CASE["events"]))
    assert (done.is_altered, done.generation) == (False, 0)
    assert (ledger_checksum(SERIES), live(SERIES)) == (before, frame)


def test_a_rebuild_of_a_ledger_that_is_only_behind_alters_nothing(
    candles: Candles, settings: Any
) -> None:
    pipeline.run_sync({SERIES: candles.take(slice(0, 400))})
    settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST = False
    pipeline.run_sync({SERIES: candles.take(slice(400, None))})
    settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST = True

    done = series_rebuild(SERIES)

    assert (done.candles, done.generation) == (len(candles), 0)


def test_a_rebuild_mends_what_was_tampered_with_and_says_so(candles: Candles) -> None:
    pipeline.run_sync({SERIES: candles})
    sound = ledger_checksum(SERIES)
    FactorEvent.objects.filter(series_id=SERIES, factor_name="pen").first().delete()  # type: ignore[union-attr]

    done = series_rebuild(SERIES)

    assert (done.is_altered, done.generation) == (True, 1)
    assert ledger_checksum(SERIES) == sound


def test_a_checkpoint_in_another_place_counts_as_altered(candles: Candles) -> None:
    pipeline.run_sync({SERIES: candles})
    FactorHeadSnapshot.objects.filter(ordinal=0, factor_name="pen").update(seq=1)

    assert series_rebuild(SERIES).is_altered


def test_other_rules_rebuild_without_deleting_a_candle(candles: Candles, settings: Any) -> None:
    pipeline.run_sync({SERIES: candles})
    stored = tables_state()["candles"]
    settings.TRADE_CANVAS_FACTOR_LOGIC_VERSION = "another"
    with pytest.raises(OutOfSyncError):
        live(SERIES)

    done = series_rebuild(SERIES)

    assert (done.is_altered, done.generation) == (True, 1)
    assert tables_state()["candles"] == stored
    assert live(SERIES)["time"]["aligned_time"] == int(candles.time[-1])


def test_other_rules_are_no_reason_where_rebuilding_is_off(candles: Candles, settings: Any) -> None:
    pipeline.run_sync({SERIES: candles.take(slice(0, 400))})
    settings.TRADE_CANVAS_ENABLE_FACTOR_FINGERPRINT_REBUILD = False
    settings.TRADE_CANVAS_FACTOR_LOGIC_VERSION = "another"

    assert live(SERIES)["time"]["aligned_time"] == int(candles.time[399])
    pipeline.run_sync({SERIES: candles})

    assert LedgerHead.objects.get(series_id=SERIES).generation == 0


def test_what_other_rules_went_on_with_is_rebuilt_when_rebuilding_is_on(
    candles: Candles, settings: Any
) -> None:
    settings.TRADE_CANVAS_FACTOR_LOGIC_VERSION = "another"
    pipeline.run_sync({SERIES: candles.take(slice(0, 400))})
    settings.TRADE_CANVAS_FACTOR_LOGIC_VERSION = ""
    with override_settings(TRADE_CANVAS_ENABLE_FACTOR_FINGERPRINT_REBUILD=False):
        pipeline.run_sync({SERIES: candles})

    with pytest.raises(OutOfSyncError):
        live(SERIES)
    assert recover() == []

    assert LedgerHead.objects.get(series_id=SERIES).generation == 1
    assert series_verify(SERIES).is_sound


def test_a_state_of_another_version_is_not_loaded(candles: Candles, settings: Any) -> None:
    pipeline.run_sync({SERIES: candles.take(slice(0, 400))})
    settings.TRADE_CANVAS_ENABLE_FACTOR_FINGERPRINT_REBUILD = False

    with (
        patch.object(Pen, "state_version", 2),
        pytest.raises(IngestPipelineError, match="no state of pen in version 2"),
    ):
        pipeline.run_sync({SERIES: candles})

    assert LedgerHead.objects.get(series_id=SERIES).candle_head == int(candles.time[-1])


def test_a_rule_that_raises_leaves_the_former_ledger(candles: Candles) -> None:
    pipeline.run_sync({SERIES: candles})
    before = ledger_checksum(SERIES)

    with (
        patch.object(Pen, "step", side_effect=ValueError("broken")),
        pytest.raises(IngestPipelineError),
    ):
        series_rebuild(SERIES)

    assert ledger_checksum(SERIES) == before
    assert "broken" in LedgerHead.objects.get(series_id=SERIES).last_error


def test_a_head_that_cannot_be_stored_loses_no_candle(candles: Candles) -> None:
    with (
        patch.object(Pen, "head", lambda *_: {"price": np.float64(1)}),
        pytest.raises(IngestPipelineError, match="not JSON serializable"),
    ):
        pipeline.run_sync({SERIES: candles, OTHERS[0]: candles})

    heads = LedgerHead.objects.order_by("series_id")
    assert [head.candle_head for head in heads] == [int(candles.time[-1])] * 2
    assert ["not JSON serializable" in head.last_error for head in heads] == [True, True]


def test_a_series_without_candles_is_said() -> None:
    with pytest.raises(NoDataError):
        series_rebuild(SERIES)
    with pytest.raises(CommandError, match="no candles are stored"):
        call_command("rebuild", SERIES)
    assert not LedgerHead.objects.exists()


def test_nothing_is_rebuilt_while_factors_are_off(candles: Candles, settings: Any) -> None:
    pipeline.run_sync({SERIES: candles})
    settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST = False
    before = ledger_checksum(SERIES)

    with pytest.raises(RebuildOffError):
        series_rebuild(SERIES)

    assert ledger_checksum(SERIES) == before


def test_a_run_that_was_cut_off_goes_on_where_it_stopped(candles: Candles) -> None:
    pipeline.run_sync(dict.fromkeys(OTHERS, candles))
    rebuilt: list[str] = []
    kills = [OTHERS[1]]

    def work(series_id: str) -> str:
        if series_id in kills:
            kills.remove(series_id)
            raise Killed
        rebuilt.append(series_id)
        return "done"

    def run_all() -> None:
        for job in jobs.jobs_open("rebuild", "rules", OTHERS):
            jobs.job_run(job, work)

    with pytest.raises(Killed):
        run_all()
    run_all()

    assert rebuilt == OTHERS
    assert set(LedgerJob.objects.values_list("state", flat=True)) == {JobState.DONE}


def test_a_run_anew_gives_up_what_was_left(candles: Candles) -> None:
    first = jobs.jobs_open("rebuild", "rules", OTHERS)
    jobs.job_run(first[0], str)

    again = jobs.jobs_open("rebuild", "rules", OTHERS, anew=True)

    assert [job.series_id for job in again] == OTHERS
    assert LedgerJob.objects.filter(state=JobState.GIVEN_UP).count() == 2


def test_a_run_that_goes_on_takes_what_failed_and_what_is_new() -> None:
    first = jobs.jobs_open("rebuild", "rules", OTHERS[:2])
    with pytest.raises(ZeroDivisionError):
        jobs.job_run(first[0], lambda _: 1 // 0)

    again = jobs.jobs_open("rebuild", "rules", OTHERS)

    assert [job.series_id for job in again] == OTHERS


def test_a_run_that_goes_on_leaves_out_what_is_done() -> None:
    first = jobs.jobs_open("rebuild", "rules", OTHERS)
    jobs.job_run(first[0], str)

    assert [job.series_id for job in jobs.jobs_open("rebuild", "rules", OTHERS)] == OTHERS[1:]


def test_other_rules_begin_anew() -> None:
    first = jobs.jobs_open("rebuild", "rules", OTHERS)
    jobs.job_run(first[0], str)

    again = jobs.jobs_open("rebuild", "other rules", OTHERS)

    assert [job.series_id for job in again] == OTHERS
    assert {job.purpose for job in again} == {"other rules"}


def test_the_command_rebuilds_all_and_names_what_failed(candles: Candles) -> None:
    pipeline.run_sync(dict.fromkeys(OTHERS, candles))
    out, err = io.StringIO(), io.StringIO()
    real = series_rebuild

    def failing(series_id: str, progress: Any) -> Any:
        if series_id == OTHERS[0]:
            raise IngestPipelineError("factor.ingest_closed", series_id, ValueError("broken"))
        return real(series_id, progress)

    with (
        patch("ledger.management.commands.rebuild.series_rebuild", failing),
        pytest.raises(CommandError, match=OTHERS[0]),
    ):
        call_command("rebuild", "--all", stdout=out, stderr=err)

    assert "2 series rebuilt, 1 failed" in out.getvalue()
    assert f"{OTHERS[2]}: {len(candles)} candles" in out.getvalue()
    assert "broken" in LedgerJob.objects.get(state=JobState.FAILED).note
