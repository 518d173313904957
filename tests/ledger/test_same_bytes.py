"""The same candles give the same bytes, whatever way they came and whatever befell the ledger."""

import re
from dataclasses import dataclass
from unittest.mock import patch

import pytest
from django.test import Client, override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factors.engine import runner
from market.candles import Candle, Candles
from tests.ledger.reading import SERIES, get
from tests.ledger.stored import generation, ledger, require_invariants, reset, straight
from tests.ledger.stories import MOST, Happening, World, stories, walks, windows

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
VERSION = re.compile(rb'"(version_id|id|generation)":(\d+)')
VERSIONS = 1 << 32


@dataclass(frozen=True)
class Told:
    """A story, and where its end is looked at."""

    candles: list[Candle]
    story: list[Happening]
    rules: tuple[int, int]
    past: list[int]
    window: int
    checkpoint_every: int


whole_stories = st.builds(
    Told,
    candles=walks(),
    story=stories,
    rules=windows,
    past=st.lists(st.integers(0, MOST - 1), min_size=20, max_size=20),
    window=st.sampled_from([7, 40, 2000]),
    checkpoint_every=st.sampled_from([16, 16, runner.CHECKPOINT_EVERY]),
)
checks = [HealthCheck.too_slow, HealthCheck.data_too_large]


def answers(times: list[int], window: int) -> list[bytes]:
    """Return the bodies of all reads now, of frames at these times, and of parts at some."""
    client, found = Client(), list[bytes]()
    whole = {"series_id": SERIES, "window_candles": window}
    version = generation() * VERSIONS
    asked: list[tuple[str, dict[str, int]]] = [
        *(("frame/at_time", {"at_time": time}) for time in times),
        *(("factor/slices", {"at_time": time}) for time in times[::4]),
        *(("draw/delta", {"at_time": time}) for time in times[1::4]),
        *(
            ("draw/delta", {"at_time": time, "cursor_version_id": version + 20})
            for time in times[2::4]
        ),
        *(("ledger/digest", {"at_time": time}) for time in times[3::4]),
        *((path, {}) for path in ("frame/live", "draw/delta", "delta/poll", "ledger/digest")),
    ]
    for path, query in asked:
        answer = get(client, path, **whole, **query)
        assert answer.status_code == 200, (path, query, answer.content)
        found.append(answer.content)
    return found


def aside(body: bytes) -> bytes:
    """Return a body with the generation's part of each version taken off."""

    def without(found: re.Match[bytes]) -> bytes:
        number = 0 if found[1] == b"generation" else int(found[2]) % VERSIONS
        return b'"%s":%d' % (found[1], number)

    return VERSION.sub(without, body)


def require_same_bytes(told: Told) -> None:
    """Fail if a story shows in any byte of what is stored or read at its end."""
    candles = told.candles
    times = [candles[number % len(candles)].candle_time for number in told.past]
    major, minor = told.rules
    with (
        patch.object(runner, "CHECKPOINT_EVERY", told.checkpoint_every),
        override_settings(
            TRADE_CANVAS_PIVOT_WINDOW_MAJOR=major,
            TRADE_CANVAS_PIVOT_WINDOW_MINOR=minor,
            TRADE_CANVAS_ENABLE_READ_LEDGER_WARMUP=True,
            MIDDLEWARE=[],  # half of the time, and no byte of a body
        ),
    ):
        reset()
        rows = straight(Candles.from_rows(candles))
        bodies = answers(times, told.window)
        reset()
        world = World(candles)
        for happening in told.story:
            happening.act(world)
            require_invariants(SERIES)
        world.finish()

        assert ledger() == rows
        found = answers(times, told.window)
        if generation():
            bodies, found = [*map(aside, bodies)], [*map(aside, found)]
        assert found == bodies


@given(whole_stories)
@settings(max_examples=50, deadline=None, suppress_health_check=checks)
def test_no_story_shows_in_the_bytes(told: Told) -> None:
    """Row 16 of the ledger's faults."""
    require_same_bytes(told)


@pytest.mark.long
@given(whole_stories)
@settings(max_examples=500, deadline=None, suppress_health_check=checks)
def test_none_of_many_stories_shows_in_the_bytes(told: Told) -> None:
    """Row 16 of the ledger's faults."""
    require_same_bytes(told)
