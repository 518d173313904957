"""Random faults, by seed: it ends contiguous and true, or says what it lacks."""

import pytest
from pytest_django import Settings

from ingest.models import IngestJob, JobState
from tests.exchange.script import script
from tests.ingest.feeding import BTC, ETH, Feeding, follow

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

SEEDS, LONG_SEEDS = range(20), range(20, 500)
CALM_MINUTES = 25
MOST_PROBES = 40


def all_stream() -> bool:
    """Say whether no feed waits for its next attempt."""
    return not IngestJob.objects.exclude(state=JobState.STREAMING).exists()


def survive(seed: int) -> None:
    """Follow two series through a script of faults, and a while of calm to heal."""

    async def story(feed: Feeding) -> None:
        await feed.minutes(30 + CALM_MINUTES)
        for _ in range(MOST_PROBES):  # what strikes the next attempt may wait for many probes
            if feed.worker.now(all_stream):
                break
            await feed.minutes(5)

    feed = follow(story, BTC, ETH, seed=seed, faults=script(seed, seconds=1800, many=12))

    for series_id in (BTC, ETH):
        if IngestJob.objects.get(series_id=series_id).gaps == "[]":
            feed.require_true(series_id, behind=1)
        else:
            stored = feed.stored(series_id)
            assert set(stored) <= set(feed.true(series_id))
    assert feed.exchange.log.count("breach", "futures") == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_script_of_faults_leaves_only_what_is_true(seed: int, settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True
    survive(seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", LONG_SEEDS)
def test_many_scripts_of_faults_leave_only_what_is_true(seed: int, settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True
    survive(seed)
