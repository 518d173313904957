"""The check for look-ahead passes honest factors and names the candle where cheaters moved."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from factors.engine import lookahead
from factors.engine.lookahead import LookAheadError, refute, require_no_lookahead
from factors.engine.rules import Rules, make_rules
from market.bundled import bundled_candles
from market.candles import Candles
from tests.factors import cheaters
from tests.factors.cheaters import ROW, Made, made

CANDLES = bundled_candles(300)
CLOSE = CANDLES.close


def first(found: Iterator[bool]) -> int:
    return next(ordinal for ordinal, is_so in enumerate(found) if is_so)


def judged(rules: Rules, candles: Candles = CANDLES) -> lookahead.Refuted:
    found = refute(rules, "made", candles, 60)
    assert found is not None
    assert found.candle_time == int(candles.time[found.ordinal])
    return found


@pytest.mark.parametrize("name", ["pivot", "pen", "zhongshu", "anchor"])
def test_built_in_factors_know_only_the_past(name: str) -> None:
    rules = make_rules({"pivot": {"window_major": 5, "window_minor": 2}})

    assert refute(rules, name, bundled_candles(1500), 60, splits=5) is None


def test_an_honest_factor_passes() -> None:
    require_no_lookahead(made(cheaters.honest), "made", CANDLES, 60)


def test_a_look_at_later_highs_is_named_where_it_first_shows() -> None:
    found = judged(made(cheaters.future_high))

    highs = CANDLES.high
    expected = first(highs[n] > highs[n + 1 : n + 4].max() for n in range(290))
    assert (found.ordinal, found.alone) == (expected, "nothing")
    assert f"found:{found.candle_time}" in found.found


def test_a_centred_mean_is_named_at_the_first_candle() -> None:
    found = judged(made(cheaters.centred_mean))

    assert found.ordinal == first(
        CLOSE[max(0, n - 2) : n + 1].mean() != CLOSE[max(0, n - 2) : n + 3].mean()
        for n in range(300)
    )


def test_a_state_that_moves_when_the_batch_ends_is_named_where_it_first_shows() -> None:
    found = judged(made(cheaters.end_of_batch))

    assert found.ordinal == first(n > 0 and not CLOSE[n] > CLOSE[n - 1] for n in range(300))
    assert found.alone == "nothing"


def test_a_head_that_is_told_as_history_is_named_where_it_moved() -> None:
    kind = Made.kinds[0]
    told_again = type(kind)(kind.name, kind.history, ROW, lambda _: "highest", kind.payload)

    found = judged(made(cheaters.repainting, kinds=(told_again,)))

    assert found.ordinal == first(n > 0 and CLOSE[n] > CLOSE[:n].max() for n in range(300))
    assert found.way == "saying again what was said before"


def test_a_clock_on_the_wall_is_named_at_the_first_event() -> None:
    found = judged(made(cheaters.wall_clock))

    assert found.way == "at another time of the clock"
    assert found.ordinal == first(n >= 4 and CLOSE[n] > CLOSE[n - 4 : n].max() for n in range(300))


def test_an_event_of_an_earlier_candle_is_named_where_it_was_found() -> None:
    def backdated(candles: Candles, new_from: int, state: Any) -> cheaters.Rows:
        last = len(candles) - 1
        return [cheaters.at(candles, last - 1, 1.0)] if last > 0 else []

    found = judged(made(backdated))

    assert (found.ordinal, "MisdatedEventError" in found.found) == (1, True)


def test_a_state_that_does_not_come_back_from_bytes_is_named() -> None:
    class Forgetful(Made):
        rule = staticmethod(cheaters.repainting)

        def load(self, blob: bytes) -> Any:
            return np.zeros(1, self.state_dtype)

    found = judged(Rules((Forgetful(),), {"made": {}}))

    assert found.alone != found.found


def test_a_memory_outside_the_state_is_named() -> None:
    class Rememberer(Made):
        highest = 0.0

        def start(self) -> Any:
            self.highest = 0.0
            return super().start()

        def rule(self, candles: Candles, new_from: int, state: Any) -> cheaters.Rows:
            found = []
            for row in range(new_from, len(candles)):
                if candles.close[row] > self.highest:
                    self.highest = float(candles.close[row])
                    found.append(cheaters.at(candles, row, self.highest))
            return found

        def step(
            self, state: Any, candles: Candles, new_from: int, upstream: Any, params: Any
        ) -> dict[str, Any]:
            return {"made.found": np.array(self.rule(candles, new_from, state), ROW)}

    found = judged(Rules((Rememberer(),), {"made": {}}))

    assert found.way == lookahead.AGAIN


def test_a_clock_that_only_asks_whether_a_candle_is_over_is_named() -> None:
    def over(candles: Candles, new_from: int, state: Any) -> cheaters.Rows:
        rows = range(new_from, len(candles))
        return [
            cheaters.at(candles, row, 1.0)
            for row in rows
            if time.time() > candles.time[row] + 60 and candles.close[row] > candles.open[row]
        ]

    assert judged(made(over)).way == "at another time of the clock"


def test_candles_that_are_rewritten_are_named() -> None:
    def rounding(candles: Candles, new_from: int, state: Any) -> cheaters.Rows:
        candles.close[new_from:] = candles.close[new_from:].round(-2)
        return []

    found = judged(made(rounding))

    assert (found.ordinal, "ChangedCandlesError" in found.found) == (0, True)
    assert CANDLES.close[0] == bundled_candles(1).close[0]


def test_a_head_that_cannot_be_stored_is_named() -> None:
    class Numpy(Made):
        rule = staticmethod(cheaters.honest)

        def head(self, state: Any, now: int) -> Any:
            return {"price": state["price"][0]}

    assert "TypeError" in judged(Rules((Numpy(),), {"made": {}})).found


def test_the_error_for_packages_names_candle_and_event() -> None:
    with pytest.raises(LookAheadError, match=r"made: history moved at candle \d+, 2025-05-04"):
        require_no_lookahead(made(cheaters.future_high), "made", CANDLES, 60)
