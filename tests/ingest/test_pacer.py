"""How often a process may knock: never more than the rules, whatever it does."""

import random
from itertools import pairwise

import pytest

from ingest.pacer import EVERY, MOST, WITHIN, Pacer

ROUNDING = 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_no_rule_is_ever_broken(seed: int) -> None:
    """One connect a second, 150 in five minutes."""
    dice = random.Random(seed)  # noqa: S311 (a test's own sequence)
    pacer, tick, taken = Pacer(), 0.0, []
    for _ in range(3000):
        wait = pacer.wait(tick)
        assert 0 <= wait <= WITHIN
        if wait == 0:
            taken.append(tick)
        tick += dice.choice((0.0, 0.1, 0.5, wait, wait, 5.0))

    assert len(taken) > MOST
    assert min(b - a for a, b in pairwise(taken)) >= EVERY - ROUNDING
    far = zip(taken, taken[MOST:], strict=False)
    assert min((b - a for a, b in far), default=WITHIN) >= WITHIN - ROUNDING


def test_who_waits_as_told_gets_the_turn() -> None:
    pacer = Pacer()
    for number in range(MOST):
        assert pacer.wait(number * EVERY) == 0
    wait = pacer.wait(MOST * EVERY)

    assert wait == WITHIN - MOST * EVERY
    assert pacer.wait(MOST * EVERY + wait) == 0
