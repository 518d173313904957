"""A sound ledger is never refused: after every candle, at any time of the past, in any window.

What is drawn has to agree with itself as well: `active_ids` name exactly what the patch brings.
"""

import random
from typing import Any

import pytest
from django.test import Client

from factors.services import engine_warm
from ingest import pipeline
from market.bundled import SERIES as BUNDLED
from market.bundled import bundled_candles
from market.candles import Candles
from tests.goldens import candles_of, golden, names
from tests.ledger.reading import get, use_golden_windows

pytestmark = pytest.mark.django_db
WINDOWS = (100, 500, 2000, 5000)
SMALL = 400
QUICK = [name for name in names() if golden(name)["n_candles"] <= SMALL]


@pytest.fixture(autouse=True)
def without_middleware(settings: Any) -> None:
    """Leave out what adds nothing to an answer and takes half of the time."""
    settings.MIDDLEWARE = []


def require_sound(client: Client, path: str, series_id: str, window: int, **query: int) -> None:
    """Fail unless a frame is answered, and draws what it calls active."""
    answer = get(client, path, series_id=series_id, window_candles=window, **query)
    assert answer.status_code == 200, (window, query, answer.content)
    drawn = answer.json()["draw_state"]
    named = sorted(item["instruction_id"] for item in drawn["instruction_catalog_patch"])
    assert named == drawn["active_ids"], (window, query)


@pytest.mark.parametrize("name", QUICK)
def test_a_golden_is_not_refused(name: str) -> None:
    """Live after every candle and at every third of the past; the windows take turns."""
    case, client = golden(name), Client()
    candles, series_id = candles_of(case), case["series_id"]
    with use_golden_windows(case):
        for row in range(len(candles)):
            pipeline.run_sync({series_id: candles.take(slice(row, row + 1))})
            require_sound(client, "frame/live", series_id, WINDOWS[row % 4])
        for row, time in enumerate(candles.time.tolist()[::3]):
            require_sound(client, "frame/at_time", series_id, WINDOWS[row % 4], at_time=time)


def require_never_refused(series_id: str, candles: Candles, window: int) -> None:
    """Fail unless frames are answered: live after each of the last 5,000 candles, then the past.

    Of the past at 2,000 random times, or at all there are.
    """
    client, first = Client(), max(0, len(candles) - 5000)
    if first:
        pipeline.run_sync({series_id: candles.take(slice(0, first))})
    for row in range(first, len(candles)):
        pipeline.run_sync({series_id: candles.take(slice(row, row + 1))})
        require_sound(client, "frame/live", series_id, window)
    times = candles.time.tolist()
    for time in random.Random(409).sample(times, min(2000, len(times))):  # noqa: S311 (repeatable)
        require_sound(client, "frame/at_time", series_id, window, at_time=time)


@pytest.mark.long
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", names())
def test_a_golden_is_not_refused_in_any_window(name: str, window: int) -> None:
    case = golden(name)
    with use_golden_windows(case):
        require_never_refused(case["series_id"], candles_of(case), window)


@pytest.mark.long
@pytest.mark.parametrize("window", WINDOWS)
def test_real_candles_are_not_refused(window: int) -> None:
    engine_warm()
    require_never_refused(str(BUNDLED), bundled_candles(), window)
