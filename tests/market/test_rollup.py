"""Which timeframes can be made from shorter ones, and what their candles are."""

import math
import random
import sys

import numpy as np
import pytest

from market import rollup
from market.candles import Candle, Candles
from market.rollup import BadTimeframesError

DAY = 1_699_920_000


def minutes(*rows: tuple[int, float]) -> Candles:
    """Return candles of these minutes of the day, with these prices."""
    return Candles.from_rows([(DAY + 60 * n, p, p + 2, p - 1, p + 1, p) for n, p in rows])


def test_timeframes_that_divide_the_day_can_be_made() -> None:
    assert rollup.lengths("1m", ["90m", "1440m"]) == {"90m": 5400, "1440m": 86_400}


@pytest.mark.parametrize("timeframe", ["1m", "7m", "36h", "2d", "1w", "", "5", "90s"])
def test_a_timeframe_that_does_not_divide_the_day_is_refused_by_its_name(timeframe: str) -> None:
    with pytest.raises(BadTimeframesError, match=f"^{timeframe}: "):
        rollup.lengths("1m", ["5m", timeframe])


def test_a_timeframe_must_be_a_whole_multiple_of_the_base() -> None:
    with pytest.raises(BadTimeframesError, match=r"^5m, 1h: not whole multiples of 45m"):
        rollup.lengths("45m", ["5m", "90m", "1h"])


def test_a_base_that_is_no_timeframe_is_refused() -> None:
    with pytest.raises(BadTimeframesError, match="'minute'"):
        rollup.lengths("minute", ["5m"])


def test_a_bucket_takes_first_open_last_close_extremes_and_the_sum() -> None:
    base = minutes((0, 5), (1, 9), (2, 3), (3, 4), (4, 6))

    assert rollup.roll_up(base, 60, 300).rows() == [Candle(DAY, 5, 11, 2, 7, 27)]


def test_only_whole_buckets_have_a_candle() -> None:
    base = minutes(*((n, 1.0) for n in range(3, 14)), *((n, 1.0) for n in (15, 16, 17, 19, 20)))

    assert rollup.roll_up(base, 60, 300).time.tolist() == [DAY + 300]


def test_candles_between_the_steps_belong_to_no_bucket() -> None:
    base = Candles.from_rows([(DAY + 60 * n + 20 * (n == 3), 1, 1, 1, 1, 1) for n in range(5)])
    beside = Candles.from_rows([(DAY + 270, 9, 9, 9, 9, 9)])
    whole = minutes(*((n, 1.0) for n in range(5)))

    assert len(rollup.roll_up(base, 60, 300)) == 0
    assert rollup.roll_up(whole.then(beside), 60, 300).rows()[0].high == 3


def test_no_candles_make_none() -> None:
    assert len(rollup.roll_up(Candles.from_rows([]), 60, 300)) == 0


def test_the_sum_of_volumes_is_exact_and_does_not_depend_on_the_order() -> None:
    generator = random.Random(3)  # noqa: S311 (a test's own sequence)
    volumes = [generator.random() * 10 ** generator.randint(-9, 9) for _ in range(1440)]
    shuffled = generator.sample(volumes, len(volumes))

    assert rollup.total(volumes) == rollup.total(shuffled) == math.fsum(volumes)


def test_a_sum_that_no_double_holds_is_the_greatest_double() -> None:
    assert rollup.total([1e308] * 5) == sys.float_info.max


def test_stretches_that_overlap_or_lie_near_are_read_as_one() -> None:
    near = [(np.array([0, 600]), 300), (np.array([0]), 86_400), (np.array([90_000]), 300)]
    far = (np.array([2 * 86_400 + 90_000]), 300)

    assert rollup.spans(near) == [(0, 90_300)]
    assert rollup.spans([*near, far]) == [(0, 90_300), (262_800, 263_100)]


def test_a_forming_candle_is_merged_with_the_closed_ones_of_its_bucket() -> None:
    stored = minutes((3, 50), (4, 60), (5, 5), (6, 9))
    now = Candle(DAY + 7 * 60, 7, 8, 2, 3, 0.5)

    assert rollup.forming(stored, now, 300) == Candle(DAY + 300, 5, 11, 2, 3, 14.5)


def test_a_forming_candle_takes_the_place_of_a_closed_one_of_its_time() -> None:
    stored = minutes((5, 5), (6, 9), (7, 100))

    assert rollup.forming(stored, Candle(DAY + 6 * 60, 7, 8, 2, 3, 0.5), 300).volume == 5.5


def test_a_bucket_begins_to_form_with_its_first_candle() -> None:
    """Row 13 of the feeds' faults."""
    first = Candle(DAY + 300, 7, 8, 2, 3, 0.5)

    assert rollup.forming(minutes((3, 50)), first, 300) == first
