"""A month of twenty feeds with faults of every kind: true, verified, and no larger at the end."""

import asyncio
import gc
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from ingest.models import IngestJob
from ledger.verify import series_verify
from market import selectors
from market.series import timeframe_seconds
from tests.exchange.clock import START, Clock
from tests.exchange.market import Listing, Market, walk
from tests.exchange.script import script
from tests.exchange.server import Exchange
from tests.ingest.feeding import Feeding, follow

pytestmark = [
    pytest.mark.long,
    pytest.mark.django_db(transaction=True, databases=["default", "reader"]),
]

DAY, DAYS = 86_400, 30
FAULTS_A_DAY = 24
FRAMES = {"1m": 2, "5m": 6, "15m": 12, "1h": 20}
TIMEFRAMES = tuple(FRAMES)
NAMES = [f"S{n:02}" for n in range(20)]
SERIES = {
    f"binance:futures:{name}/USDT:{TIMEFRAMES[n % 4]}": (f"{name}USDT", TIMEFRAMES[n % 4])
    for n, name in enumerate(NAMES)
}
HISTORY = 300
# So old a candle is settled: nothing corrects it any more, and recorded holes were filled.
SETTLED = 4 * 3600
MOST_GROWTH = 1.05


def exchange() -> Exchange:
    """Return an exchange with twenty symbols, each in a timeframe of its own."""
    start = int(START)
    listings = []
    for symbol, timeframe in SERIES.values():
        seconds = timeframe_seconds(timeframe)
        first = start // seconds * seconds - HISTORY * seconds
        rows = walk(symbol, first, seconds=seconds)
        listings.append(
            Listing("futures", symbol, rows, interval=timeframe, forming_frames=FRAMES[timeframe])
        )
    clock = Clock(start + 30, 1.0, tick=asyncio.get_running_loop().time)
    faults = script(30, seconds=(DAYS - 1) * DAY, many=FAULTS_A_DAY * DAYS)
    return Exchange(Market(*listings), clock, faults)


class Month:
    """What is checked and measured at the end of each day."""

    def __init__(self, feed: Feeding) -> None:
        self.feed = feed
        self.checked = dict.fromkeys(SERIES, 0)
        self.blocks: list[int] = []
        self.tasks: list[int] = []
        self.began = time.monotonic()

    async def run(self) -> None:
        """Let the days pass."""
        for day in range(1, DAYS + 1):
            await asyncio.sleep(DAY)
            settled = int(self.feed.exchange.clock.now()) - SETTLED
            for series_id in SERIES:
                self.check(series_id, settled)
            self.forget(settled)
            self.measure(day)

    def check(self, series_id: str, settled: int) -> None:
        """Fail unless what is settled is true and whole, but for holes that are recorded."""
        symbol, timeframe = SERIES[series_id]
        end = settled - timeframe_seconds(timeframe)
        since = self.checked[series_id]
        stored = self.feed.worker.now(selectors.candles_between, series_id, since, end).rows()
        since = since or stored[0].candle_time
        true = [
            candle
            for candle in self.feed.exchange.candles("futures", symbol, timeframe, since=since)
            if candle.candle_time <= end
        ]
        missing = {c.candle_time for c in true} - {c.candle_time for c in stored}
        assert missing <= set(self.holes(series_id)), series_id
        assert stored == [c for c in true if c.candle_time not in missing], series_id
        self.checked[series_id] = end + 1

    def holes(self, series_id: str) -> Iterator[int]:
        """Yield the times of recorded holes."""
        feed = self.feed.loop.following.feeds[series_id]
        for hole in feed.holes:
            yield from range(hole.start, hole.end + 1, feed.series.seconds)

    def forget(self, before: int) -> None:
        """Let the exchange and this test remember no more than they need."""
        assert self.feed.exchange.log.count("breach", "futures") == 0
        self.feed.exchange.log.entries.clear()
        self.feed.formed.clear()
        self.feed.commits.clear()
        for listing in self.feed.exchange.market.listings.values():
            listing.forget(before - DAY)  # after a long ban the feed asks far back

    def measure(self, day: int) -> None:
        """Count what lives, and tell how far we are."""
        gc.collect()
        self.blocks.append(sys.getallocatedblocks())
        self.tasks.append(len(asyncio.all_tasks()))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        print(  # noqa: T201 (it takes long; `-s` shows it)
            f"day {day}: {self.blocks[-1]:,} blocks, {pages * 4 // 1024} MB, "
            f"{self.tasks[-1]} tasks, {time.monotonic() - self.began:.0f} s",
            flush=True,
        )


def test_a_month_of_faults_leaves_true_ledgers_and_no_waste(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A month holds 26 million of the loop's looks at its buffers; every tenth will do.
    monkeypatch.setattr("ingest.loop.TEND_SECONDS", 1.0)
    monkeypatch.setattr("ingest.loop.ASK_SECONDS", 2.5)
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True
    # pytest keeps every record that is logged, a month of them.
    monkeypatch.setattr(logging.root.manager, "disable", logging.WARNING)
    months: list[Month] = []

    async def story(feed: Feeding) -> None:
        months.append(Month(feed))
        await months[0].run()

    follow(story, *SERIES, exchange=exchange)

    (month,) = months
    assert IngestJob.objects.exclude(gaps="[]").count() == 0
    assert max(month.blocks[1:]) <= MOST_GROWTH * month.blocks[0]
    assert max(month.tasks) <= month.tasks[0] + 3
    for series_id in SERIES:
        verdict = series_verify(series_id)
        assert verdict.is_sound, (series_id, verdict)
