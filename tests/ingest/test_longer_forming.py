"""The candles of derived series while they form: what is stored of them and what forms now."""

import math

import pytest
from pytest_django import Settings

from ingest.longer import LongerForming
from market.candles import Candle, Candles
from tests.ingest.feeding import BTC, Feeding, follow

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

FIVE = BTC.replace(":1m", ":5m")


@pytest.fixture(autouse=True)
def derived_on(settings: Settings) -> None:
    """Make five minutes, and no other, from one."""
    settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES = True
    settings.TRADE_CANVAS_DERIVED_TIMEFRAMES = ["5m"]


def test_a_longer_candle_forms_with_its_base_and_closes_as_it_was_last_shown() -> None:
    async def story(feed: Feeding) -> None:
        await feed.minutes(16)

    feed = follow(story)

    stored = {candle.candle_time: candle for candle in feed.stored()}
    assert len({candle.candle_time for name, _, candle in feed.longer if name == FIVE}) >= 3
    for name, now, shown in feed.longer:
        assert name == FIVE
        minute = int(now) // 60 * 60
        inside = [stored[t] for t in range(shown.candle_time, minute, 60) if t in stored]
        if len(inside) != (minute - shown.candle_time) // 60 or minute - shown.candle_time >= 300:
            continue  # the close before was not stored yet when this was shown
        assert shown.candle_time == minute // 300 * 300
        if inside:
            assert shown.open == inside[0].open
            assert shown.high >= max(candle.high for candle in inside)
            assert shown.low <= min(candle.low for candle in inside)
            assert shown.volume >= math.fsum(candle.volume for candle in inside) - 1e-9


def test_each_derived_series_is_shown_only_so_often_and_a_new_bucket_at_once() -> None:
    """The throttle is that of the derived series."""
    longer = LongerForming(BTC)
    longer.begin(0, Candles.from_rows([Candle(0, 1.0, 5.0, 1.0, 2.0, 1.0)]))
    forming = Candle(60, 2.0, 3.0, 2.0, 3.0, 1.0)

    assert list(longer.shown(forming, 10.0, 0.25)) == [(FIVE, Candle(0, 1.0, 5.0, 1.0, 3.0, 2.0))]
    assert list(longer.shown(forming, 10.2, 0.25)) == []
    assert len(list(longer.shown(forming, 10.3, 0.25))) == 1
    assert len(list(longer.shown(forming._replace(candle_time=300), 10.31, 0.25))) == 1


def test_every_derived_series_is_shown_from_where_its_candle_opened(settings: Settings) -> None:
    """No timeframe divides the other: at 11:10, 45m opened at 10:30 and 1h at 11:00."""
    settings.TRADE_CANVAS_DERIVED_TIMEFRAMES = ["45m", "1h"]
    longer = LongerForming(BTC)
    forming = Candle(40200, 2.0, 2.0, 2.0, 2.0, 1.0)

    assert longer.lacks(forming) == (37800, 40199)
    longer.begin(37800, Candles.from_rows([Candle(37800, 9.0, 9.0, 9.0, 9.0, 1.0)]))
    shown = dict(longer.shown(forming, 1.0, 0.25))

    assert shown[BTC.replace(":1m", ":45m")] == Candle(37800, 9.0, 9.0, 2.0, 2.0, 2.0)
    assert shown[BTC.replace(":1m", ":1h")] == forming._replace(candle_time=39600)
    assert longer.lacks(forming._replace(candle_time=40500)) == (39600, 40499)


def test_what_is_stored_is_read_once_a_bucket_and_then_kept_up() -> None:
    longer = LongerForming(BTC)
    forming = Candle(660, 2.0, 3.0, 2.0, 3.0, 1.0)

    assert longer.lacks(forming) == (600, 659)
    longer.begin(600, longer.read(600, 659))
    assert longer.lacks(forming) is None
    longer.committed(Candles.from_rows([Candle(600, 9.0, 9.0, 9.0, 9.0, 1.0)]))
    ((_, shown),) = longer.shown(forming, 1.0, 0.25)

    assert shown == Candle(600, 9.0, 9.0, 2.0, 3.0, 2.0)
    assert longer.lacks(forming._replace(candle_time=900)) == (900, 899)
