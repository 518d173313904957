"""Read repair: what is drawn of a series is made again from its events."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from django.test import Client

from factors.engine.plugins.pivot import Pivot
from ingest import pipeline
from ledger import frames
from ledger.alignment import NoDataError, OutOfSyncError
from ledger.models import LedgerHead, OverlayInstructionVersion
from ledger.repair import OverlayRepairError, ReadRepairService
from ledger.selectors import ledger_checksum
from market.candles import Candles
from tests.goldens import candles_of, golden
from tests.ledger.reading import SERIES, on_the_wire, use_golden_windows
from tests.tables import tables_state

pytestmark = pytest.mark.django_db
CASE = golden("box_2_1")
SERVICE = ReadRepairService()
STEPS = [
    f"factor.ingest_closed:{SERIES}",
    f"overlay.ingest_closed:{SERIES}",
    "overlay.reset_series",
    "overlay.ingest_closed",
]


@pytest.fixture
def candles() -> Iterator[Candles]:
    with use_golden_windows(CASE):
        found = candles_of(CASE)
        pipeline.run_sync({SERIES: found})
        yield found


@pytest.fixture
def open_gates(settings: Any) -> None:
    settings.TRADE_CANVAS_ENABLE_DEV_API = True
    settings.TRADE_CANVAS_ENABLE_READ_REPAIR_API = True


def live() -> Any:
    return on_the_wire(frames.live(series_id=SERIES, window_candles=500))


def post(client: Client, **body: Any) -> Any:
    return client.post("/api/dev/repair/overlay", body, content_type="application/json")


def test_a_repair_that_finds_nothing_changes_nothing(candles: Candles) -> None:
    before, frame = ledger_checksum(SERIES), live()

    done = SERVICE.repair_overlay(series_id=SERIES)

    assert done.steps == STEPS
    assert (ledger_checksum(SERIES), live()) == (before, frame)


def test_a_dead_zone_that_was_deleted_comes_back(candles: Candles) -> None:
    """Row 21 of the ledger's faults."""
    sound, frame = ledger_checksum(SERIES), live()
    rows = OverlayInstructionVersion.objects.filter(instruction_id__startswith="zhongshu.dead")
    rows.filter(pk=rows.order_by("-pk").values("pk")[0]["pk"]).delete()
    with pytest.raises(OutOfSyncError, match="ledger_out_of_sync:overlay"):
        live()

    SERVICE.repair_overlay(series_id=SERIES)

    head = LedgerHead.objects.get(series_id=SERIES)
    assert (ledger_checksum(SERIES), head.generation) == (sound, 1)
    assert live()["draw_state"]["active_ids"] == frame["draw_state"]["active_ids"]


def test_a_repair_at_an_old_time_leaves_the_overlay_head_at_the_factor_head(
    candles: Candles,
) -> None:
    """Row 19 of the ledger's faults."""
    done = SERVICE.repair_overlay(series_id=SERIES, to_time=int(candles.time[50]) + 1)

    assert done.aligned_time == int(candles.time[50])
    assert done.heads.overlay == done.heads.factor == int(candles.time[-1])
    assert live()["time"]["aligned_time"] == int(candles.time[-1])


def test_a_repair_that_fails_keeps_what_was_there(candles: Candles) -> None:
    before = tables_state()

    with (
        patch.object(Pivot, "marks", side_effect=ValueError("broken")),
        pytest.raises(OverlayRepairError, match="broken"),
    ):
        SERVICE.repair_overlay(series_id=SERIES)

    assert tables_state() == before


def test_without_candles_there_is_no_data() -> None:
    with pytest.raises(NoDataError) as caught:
        SERVICE.repair_overlay(series_id=SERIES)
    assert caught.value.code == "read_repair.no_data"


@pytest.mark.usefixtures("open_gates")
def test_the_route_answers_as_documented(candles: Candles, admin_client: Client) -> None:
    last = int(candles.time[-1])

    answer = post(admin_client, series_id=SERIES)

    assert (answer.status_code, answer.json()) == (
        200,
        {
            "ok": True,
            "series_id": SERIES,
            "requested_time": last,
            "aligned_time": last,
            "factor_head_time": last,
            "overlay_head_time": last,
            "refreshed": True,
            "steps": STEPS,
        },
    )


@pytest.mark.usefixtures("open_gates")
def test_a_failing_repair_is_a_500_in_words(candles: Candles, admin_client: Client) -> None:
    with patch.object(Pivot, "marks", side_effect=ValueError("broken")):
        answer = post(admin_client, series_id=SERIES)

    assert (answer.status_code, answer.json()) == (500, {"detail": "overlay_repair_failed:broken"})


@pytest.mark.parametrize(("dev", "repair"), [(True, False), (False, True), (False, False)])
def test_both_gates_must_be_open(
    dev: bool, repair: bool, settings: Any, admin_client: Client
) -> None:
    settings.TRADE_CANVAS_ENABLE_DEV_API = dev
    settings.TRADE_CANVAS_ENABLE_READ_REPAIR_API = repair

    answer = post(admin_client, series_id=SERIES)

    assert (answer.status_code, answer.json()) == (404, {"detail": "not_found"})


@pytest.mark.usefixtures("open_gates")
def test_who_may_not_write_may_not_repair(candles: Candles, client: Client) -> None:
    assert post(client, series_id=SERIES).status_code == 401
