"""Which candles count as closed by the clock."""

import pytest

from market.candles import Candles
from market.closing import closed_only, closed_time, expected_closed_time
from tests.market.factories import flat

NOW = 3601.0
EXPECTED = 3540


def shown(*times: int) -> list[int]:
    candles = Candles.from_rows([flat(time) for time in times])
    return [candle.candle_time for candle in closed_only(candles, NOW, 60).rows()]


@pytest.mark.parametrize(("seconds", "expected"), [(60, 3540), (300, 3300), (3600, 0), (86400, 0)])
def test_expected_candle_is_the_last_that_is_over(seconds: int, expected: int) -> None:
    assert expected_closed_time(NOW, seconds) == expected


def test_candle_that_is_not_over_is_left_out() -> None:
    assert shown(EXPECTED, EXPECTED + 60) == [EXPECTED]
    assert shown(EXPECTED, EXPECTED + 120) == [EXPECTED]


def test_candles_far_in_the_future_pass() -> None:
    times = [EXPECTED, EXPECTED + 60, EXPECTED + 121]
    assert shown(*times) == times


def test_no_candles_stay_none() -> None:
    assert shown() == []


def test_time_beyond_the_border_is_not_lowered() -> None:
    assert closed_time(EXPECTED + 120, NOW, 60) == EXPECTED
    assert closed_time(EXPECTED + 121, NOW, 60) == EXPECTED + 121
    assert closed_time(-5, NOW, 60) == -5
