"""Replay prepare: the one call of the read side that may compute."""

from typing import Any
from unittest.mock import patch

import pytest
from django.db import OperationalError
from django.test import Client, override_settings

from factors.engine.plugins.pivot import Pivot
from ingest import pipeline
from ledger.alignment import NoDataError, OutOfSyncError
from ledger.replay import ReplayPrepareService
from tests.ledger.reading import SERIES, START, flat
from tests.tables import tables_state

pytestmark = pytest.mark.django_db
SERVICE = ReplayPrepareService()


def behind() -> None:
    with override_settings(TRADE_CANVAS_ENABLE_FACTOR_INGEST=False):
        pipeline.run_sync({SERIES: flat(1, 2, 3, 44)})


def post(client: Client, **body: Any) -> Any:
    return client.post("/api/replay/prepare", body, content_type="application/json")


def test_a_ledger_behind_is_computed_once() -> None:
    behind()

    first = SERVICE.prepare(series_id=SERIES, to_time=START + 185)
    second = SERVICE.prepare(series_id=SERIES, to_time=START + 185)

    assert (first.requested_time, first.aligned_time) == (START + 185, START + 180)
    assert (first.computed, second.computed) == (True, False)
    assert first.heads.factor == first.heads.overlay == START + 180


@pytest.mark.parametrize(("asked", "window"), [(None, 2000), (7, 100), (300, 300), (5000, 5000)])
def test_the_window_is_clamped(asked: int | None, window: int) -> None:
    behind()

    assert SERVICE.prepare(series_id=SERIES, window_candles=asked).window_candles == window


def test_without_candles_there_is_no_data() -> None:
    with pytest.raises(NoDataError) as caught:
        SERVICE.prepare(series_id=SERIES)
    assert caught.value.code == "replay_prepare.no_data"


def test_where_no_turn_comes_the_heads_decide() -> None:
    behind()

    with patch("ledger.sync.refresh_series_sync", side_effect=OperationalError("busy")):
        with pytest.raises(OutOfSyncError) as caught:
            SERVICE.prepare(series_id=SERIES)
        assert caught.value.code == "replay_prepare.ledger_out_of_sync.factor"
    pipeline.run_sync({SERIES: flat(5, start=START + 240)})
    with patch("ledger.sync.refresh_series_sync", side_effect=OperationalError("busy")):
        assert not SERVICE.prepare(series_id=SERIES).computed


def test_the_route_answers_as_documented(client: Client) -> None:
    behind()

    answer = post(client, series_id=SERIES, to_time=START + 185)

    assert (answer.status_code, answer.json()) == (
        200,
        {
            "ok": True,
            "series_id": SERIES,
            "requested_time": START + 185,
            "aligned_time": START + 180,
            "window_candles": 2000,
            "factor_head_time": START + 180,
            "overlay_head_time": START + 180,
            "computed": True,
        },
    )
    assert post(client, series_id=SERIES, to_time=START + 185).json()["computed"] is False


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"series_id": SERIES, "to_time": START - 1}, 404, "no_data"),
        ({"series_id": "test:spot:NONE/USDT:1m"}, 404, "no_data"),
        ({"series_id": "a:b:c"}, 400, None),
        ({"series_id": SERIES, "to_time": -1}, 422, None),
        ({"series_id": SERIES, "window_candles": 0}, 422, None),
        ({"series_id": SERIES, "window_candles": 5001}, 422, None),
        ({}, 422, None),
    ],
)
def test_what_cannot_be_prepared_is_refused_and_changes_nothing(
    body: dict[str, Any], status: int, detail: str | None, client: Client
) -> None:
    behind()
    before = tables_state()

    answer = post(client, **body)

    assert answer.status_code == status
    assert detail is None or answer.json() == {"detail": detail}
    assert tables_state() == before


def test_a_rule_that_raises_is_a_500_that_names_the_step(client: Client) -> None:
    behind()

    with patch.object(Pivot, "step", side_effect=ValueError("broken")):
        answer = post(client, series_id=SERIES)

    assert answer.status_code == 500
    assert answer.json()["detail"] == f"ingest_pipeline_failed:factor.ingest_closed:{SERIES}"
