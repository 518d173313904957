"""P5: a feed that sends nothing is shown as failing, within two timeframes and five seconds."""

import asyncio

import pytest
from pytest_django import Settings

from market import selectors
from market.health import Filling, kline_health
from tests.exchange.faults import (
    DropAll,
    Fault,
    HalfOpen,
    NeverClosing,
    NoHandshake,
    Refuse,
    RestDown,
    Silence,
    Unreachable,
)
from tests.ingest.feeding import BTC, Feeding, follow

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

STEP, GRACE = 60, 5
SILENT_FROM = 100.0
LATEST = 2 * STEP + GRACE

SILENT: dict[str, list[Fault]] = {
    "accepts and is silent": [Silence(at=SILENT_FROM, times=None)],
    "acknowledges and is silent": [Silence(at=SILENT_FROM, times=None, acknowledge=True)],
    "half open": [HalfOpen(at=SILENT_FROM, times=None)],
    "never closes a candle": [NeverClosing(at=SILENT_FROM, seconds=900, times=None)],
    "refused": [DropAll(at=SILENT_FROM), Refuse(at=SILENT_FROM, times=None)],
    "no answer to the handshake": [
        DropAll(at=SILENT_FROM),
        NoHandshake(at=SILENT_FROM, times=None),
    ],
    "unreachable": [DropAll(at=SILENT_FROM), Unreachable(at=SILENT_FROM, seconds=900)],
}


def lamp(feed: Feeding) -> str:
    """Return the colour of the lamp now."""
    looked = kline_health(
        seconds=STEP,
        now=int(feed.exchange.clock.now()),
        head=feed.worker.now(selectors.head_time, BTC),
        filling=Filling(),
        grace=GRACE,
        recent_seconds=120,
    )
    return str(looked["status"])


@pytest.mark.parametrize("faults", SILENT.values(), ids=SILENT)
def test_the_lamp_is_red_in_time_when_stream_and_rest_are_dead(
    faults: list[Fault], settings: Settings
) -> None:
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True
    seen: list[tuple[float, str, int]] = []

    async def story(feed: Feeding) -> None:
        await asyncio.sleep(SILENT_FROM)
        for _ in range(300):
            await asyncio.sleep(1)
            now = feed.exchange.clock.now()
            seen.append((now, lamp(feed), feed.worker.now(selectors.head_time, BTC) or 0))

    down = RestDown(at=SILENT_FROM, seconds=900, times=None)
    follow(story, faults=[*faults, down])

    newest = max(head for _, _, head in seen)
    red = [now for now, status, _ in seen if status == "red"]
    assert red, "a silent feed looked healthy for ever"
    assert red[0] - (newest + STEP) <= LATEST
    after = [status for now, status, _ in seen if now >= red[0]]
    assert set(after) == {"red"}
    assert all(status == "green" for now, status, _ in seen if now < newest + 2 * STEP)


@pytest.mark.parametrize("faults", list(SILENT.values())[:4], ids=list(SILENT)[:4])
def test_the_lamp_stays_green_while_rest_brings_what_the_stream_does_not(
    faults: list[Fault], settings: Settings
) -> None:
    """Row 5 of the feeds' faults: no alarm without a reason."""
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True
    seen: list[str] = []

    async def story(feed: Feeding) -> None:
        await asyncio.sleep(SILENT_FROM)
        for _ in range(150):
            await asyncio.sleep(1)
            seen.append(lamp(feed))

    follow(story, faults=list(faults))

    assert seen.count("red") <= 10
    assert seen.count("green") >= 140
