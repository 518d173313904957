"""History never moves on real candles: prefixes, batches, restarts and any T give one digest."""

import random
from collections.abc import Iterator
from functools import cache

import pytest

from factors.engine import runner
from factors.engine.rules import make_rules
from factors.engine.runner import Standing
from factors.services import engine_warm
from factors.slices import standing_at
from ingest import pipeline
from market.bundled import SERIES, bundled_candles

RULES = make_rules({})
NAME = str(SERIES)
CANDLES = bundled_candles()


def taken(candles_count: int, lengths: Iterator[int]) -> Iterator[Standing]:
    """Yield where a run stands after each batch; in between it restarts from a checkpoint."""
    standing = runner.start(RULES, NAME)
    while standing.count < candles_count:
        first = runner.reads_from(RULES, standing)
        stop = min(candles_count, standing.count + next(lengths))
        found = runner.advance(RULES, standing, CANDLES.take(slice(first, stop)), SERIES.seconds)
        yield standing
        standing = runner.resume(RULES, found.checkpoints[-1])


def always(length: int) -> Iterator[int]:
    while True:
        yield length


def at_random(seed: int) -> Iterator[int]:
    dice = random.Random(seed)  # noqa: S311 (a test's own sequence)
    longest = dice.choice([2, 20, 200, 2000])
    while True:
        yield dice.randint(1, longest)


def states(standing: Standing) -> dict[str, bytes]:
    return {f.name: f.dump(standing.states[f.name]) for f in RULES.factors}


@cache
def chain(count: int) -> list[tuple[bytes, dict[str, bytes]]]:
    """Return digest and states after each candle, when they come one by one."""
    engine_warm(RULES)
    return [(standing.digest, states(standing)) for standing in taken(count, always(1))]


def random_ordinals(count: int, many: int) -> list[int]:
    dice = random.Random(many)  # noqa: S311 (a test's own sequence)
    return sorted({0, count - 1, *(dice.randrange(count) for _ in range(many))})


def require_prefixes(count: int, many: int) -> None:
    """Compare history up to T, found in one batch, with the chain at T."""
    known = chain(count)
    for ordinal in random_ordinals(count, many):
        (whole,) = taken(ordinal + 1, always(count))
        assert (whole.digest, states(whole)) == known[ordinal], ordinal


def require_splits(count: int, many: int) -> None:
    """Compare any batches and restarts with the chain, at the end of every batch."""
    known = chain(count)
    for seed in range(many):
        for standing in taken(count, at_random(seed)):
            assert standing.digest == known[standing.count - 1][0], (seed, standing.count)
        assert states(standing) == known[count - 1][1]


def require_states(count: int, many: int) -> None:
    """Compare the state that the ledger finds for T with the one from the first candle on."""
    known = chain(count)
    pipeline.run_sync({NAME: CANDLES.take(slice(0, count))})
    for ordinal in random_ordinals(count, many):
        found = standing_at(RULES, SERIES, int(CANDLES.time[ordinal]))
        assert (found.digest, states(found)) == known[ordinal], ordinal


def test_history_at_a_time_is_a_prefix_of_later_history() -> None:
    require_prefixes(2500, 20)


def test_any_splits_and_restarts_give_one_digest() -> None:
    require_splits(2500, 30)


@pytest.mark.django_db
def test_the_state_at_any_time_is_the_state_from_the_first_candle() -> None:
    require_states(2500, 40)


@pytest.mark.long
def test_history_is_a_prefix_on_all_real_candles() -> None:
    require_prefixes(len(CANDLES), 100)


@pytest.mark.long
def test_a_thousand_splits_of_5000_candles_give_one_digest() -> None:
    require_splits(5000, 1000)


@pytest.mark.long
@pytest.mark.django_db
def test_the_state_at_2000_times_of_all_real_candles() -> None:
    require_states(len(CANDLES), 2000)
