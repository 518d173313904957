"""A fill ends with all that the exchange has, asks for nothing twice, and says how far it is."""

import asyncio
from collections.abc import Callable, Coroutine
from io import StringIO
from typing import Any, TypeVar

import pytest
from django.core.management import call_command
from django.db.models.functions import Now

from ingest import live
from ingest.backfill import PART, Backfill, DerivedSeriesError, Filled
from ingest.binance import UnsupportedSeriesError
from ingest.filler import Filler
from ingest.rest import RestError
from market import filling, selectors
from market.models import BackfillProgress
from market.progress import STALE, BusyError, Window, progress_refused, progress_wanted
from tests.exchange.clock import START
from tests.exchange.faults import RestDown, RestPage, RestStatus
from tests.exchange.pages import KINDS
from tests.ingest.feeding import BTC, Feeding, exchange_of
from tests.jumping import jump

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

T = TypeVar("T")
Story = Callable[[Feeding, Backfill], Coroutine[Any, Any, T]]
HISTORY = 3000


def ago(minutes: int) -> int:
    """Return the time of the candle so many minutes before the newest that closed."""
    return int(START) // 60 * 60 - 60 - 60 * minutes


def window(first: int, last: int = 0, series_id: str = BTC) -> Window:
    return Window(series_id, ago(first), ago(last), "test")


def filling_from(story: "Story[T]", *, owner: str = "test", **how: Any) -> T:
    """Play a story of somebody who fills from an exchange, in virtual time."""

    async def main() -> T:
        async with (
            exchange_of("BTCUSDT", history=HISTORY, **how) as exchange,
            Feeding.connected(exchange) as feed,
        ):
            fill = Backfill(feed.around.rest, feed.worker, live.store, owner=owner, tell=hear)
            return await story(feed, fill)

    waits.clear()
    return jump(main())


waits: list[float] = []


def hear(state: Filled) -> None:
    waits.append(state.waits)


def progress() -> BackfillProgress:
    return BackfillProgress.objects.get(series_id=BTC)


def asked(feed: Feeding) -> int:
    return feed.exchange.log.count("rest", "futures", path="/fapi/v1/klines")


def require_verified() -> None:
    call_command("verify_ledger", "--all", stdout=StringIO())


def test_a_window_is_filled_and_the_row_says_so() -> None:
    async def story(feed: Feeding, fill: Backfill) -> Filled:
        done = await fill.fill(window(2999))
        feed.require_true(BTC)
        return done

    done = filling_from(story)

    assert (done.wanted, done.lacked, done.lacks, done.covered) == (3000, 3000, 0, 3000)
    row = progress()
    assert (row.state, row.note, row.error) == ("succeeded", "tail_coverage_done", "")
    assert (row.start_missing_candles, row.current_missing_candles) == (3000, 0)
    assert (row.window_start, row.window_end) == (ago(2999), ago(0))
    require_verified()


def test_what_is_stored_is_not_asked_for_again() -> None:
    async def story(feed: Feeding, fill: Backfill) -> list[int]:
        counts = []
        for first in (99, 99, 199):
            before = asked(feed)
            await fill.fill(window(first))
            counts.append(asked(feed) - before)
        feed.require_true(BTC)
        return counts

    assert filling_from(story)[1] == 0
    require_verified()


def test_a_hole_in_the_middle_is_all_that_is_asked_for() -> None:
    async def story(feed: Feeding, fill: Backfill) -> Filled:
        await fill.fill(window(300, 200))
        await fill.fill(window(100, 50))
        done = await fill.fill(window(300, 0))
        feed.require_true(BTC)
        return done

    done = filling_from(story)

    assert (done.wanted, done.lacked, done.lacks) == (301, 149, 0)
    require_verified()


def test_candles_before_the_first_are_one_new_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older candles move every ordinal after them; readers hear of that once."""
    monkeypatch.setattr("ingest.backfill.PART", 500)
    from ledger.models import LedgerHead

    async def story(feed: Feeding, fill: Backfill) -> None:
        await fill.fill(window(50))
        await fill.fill(window(2999))
        feed.require_true(BTC)

    filling_from(story)

    assert LedgerHead.objects.get(series_id=BTC).generation == 1
    require_verified()


def test_the_candle_that_forms_is_not_stored() -> None:
    """Row 23 of the feeds' faults, in a fill whose end lies ahead."""

    async def story(_: Feeding, fill: Backfill) -> Filled:
        return await fill.fill(Window(BTC, ago(10), ago(-10), "test"))

    assert filling_from(story).window.end == ago(0)
    assert selectors.head_time(BTC) == ago(0)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_odd_pages_end_and_store_only_what_is_true(kind: str) -> None:
    """Row 24 of the feeds' faults."""
    # The rows that nobody asked for are a thousand candles away.
    first = 900 if kind == "out_of_range" else 2500

    async def story(feed: Feeding, fill: Backfill) -> None:
        feed.exchange.inject(RestPage(kind=kind, times=1))
        done = await fill.fill(window(first))
        if done.lacks:
            await fill.fill(window(first))
        feed.require_true(BTC)

    filling_from(story)
    require_verified()


def test_the_exchange_is_left_alone_as_long_as_it_wants() -> None:
    """Row 21 of the feeds' faults."""

    async def story(feed: Feeding, fill: Backfill) -> float:
        feed.exchange.inject(RestStatus(path="klines", status=429, retry_after=70, times=1))
        began = asyncio.get_running_loop().time()
        await fill.fill(window(2999))
        feed.require_true(BTC, behind=2)
        assert feed.exchange.log.count("breach", "futures") == 0
        return asyncio.get_running_loop().time() - began

    assert filling_from(story) >= 70
    assert 70.0 in waits
    assert progress().state == "succeeded"


def test_a_short_failure_is_tried_again_and_a_long_one_is_said() -> None:
    async def story(feed: Feeding, fill: Backfill) -> None:
        feed.exchange.inject(RestDown(path="klines", times=2))
        await fill.fill(window(100))
        feed.exchange.inject(RestDown(path="klines", times=99))
        with pytest.raises(RestError):
            await fill.fill(window(200))

    filling_from(story)

    row = progress()
    assert row.state == "failed"
    assert row.error
    assert row.current_missing_candles == 100


def test_a_fill_that_was_cut_off_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.backfill.PART", 500)

    async def story(feed: Feeding, fill: Backfill) -> tuple[Filled, int]:
        def cut_off(state: Filled) -> None:
            if feed.stored():
                raise asyncio.CancelledError

        first = Backfill(feed.around.rest, feed.worker, live.store, owner="test", tell=cut_off)
        with pytest.raises(asyncio.CancelledError):
            await first.fill(window(2999))
        assert feed.worker.now(progress).state == "failed"
        stored = len(feed.stored())
        return await fill.fill(window(2999)), stored

    done, stored = filling_from(story)

    assert 0 < stored < 3000
    assert (done.lacked, done.lacks) == (3000 - stored, 0)
    require_verified()


def test_two_do_not_fill_one_series_and_a_dead_one_is_in_nobodys_way() -> None:
    async def story(feed: Feeding, fill: Backfill) -> Filled:
        def another(**fields: Any) -> None:
            BackfillProgress.objects.update_or_create(
                series_id=BTC, defaults={"state": "running", "owner": "another", **fields}
            )

        feed.worker.now(another, updated_at=Now())
        with pytest.raises(BusyError):
            await fill.fill(window(10))
        feed.worker.now(another, updated_at=Now() - 2 * STALE)
        assert feed.worker.now(filling.filling_read, BTC).state == "failed"
        return await fill.fill(window(10))

    assert filling_from(story).lacks == 0


def test_what_the_exchange_does_not_list_is_refused() -> None:
    async def story(_: Feeding, fill: Backfill) -> None:
        with pytest.raises(UnsupportedSeriesError, match="does not list NOPEUSDT"):
            await fill.fill(window(10, series_id="binance:futures:NOPE/USDT:1m"))

    filling_from(story)


def test_a_derived_series_is_filled_through_its_base(settings: Any) -> None:
    settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES = True

    async def story(_: Feeding, fill: Backfill) -> None:
        with pytest.raises(DerivedSeriesError, match="BTC/USDT:1m"):
            await fill.fill(window(10, series_id=BTC.replace(":1m", ":5m")))

    filling_from(story)


# Requests of readers


def serving(story: Callable[[Feeding], Coroutine[Any, Any, None]], settings: Any) -> None:
    """Play a story beside a process that serves requests."""
    settings.TRADE_CANVAS_ENABLE_CCXT_BACKFILL = True

    async def told_so(feed: Feeding, _: Backfill) -> None:
        from contextlib import asynccontextmanager

        @asynccontextmanager
        async def history(*_: str) -> Any:
            yield feed.around.rest

        stop = asyncio.Event()
        task = asyncio.create_task(Filler(feed.station, history, live.store).run(stop))
        await story(feed)
        stop.set()
        await task

    filling_from(told_so)


def test_a_reader_that_wants_the_tail_is_served(settings: Any) -> None:
    async def story(feed: Feeding) -> None:
        assert feed.worker.now(filling.tail_wanted, BTC, 500, float(START))
        await asyncio.sleep(5)
        assert len(feed.stored()) == 500
        feed.require_true(BTC)
        assert not feed.worker.now(filling.tail_wanted, BTC, 500, float(START))
        assert feed.worker.now(progress).requested_at is None

    serving(story, settings)
    assert progress().reason == "tail_coverage"


def test_the_tail_is_bounded(settings: Any) -> None:
    settings.TRADE_CANVAS_MARKET_AUTO_TAIL_BACKFILL_MAX_CANDLES = 50

    async def story(feed: Feeding) -> None:
        feed.worker.now(filling.tail_wanted, BTC, 500, float(START))
        await asyncio.sleep(5)
        assert len(feed.stored()) == 50

    serving(story, settings)


def test_a_gap_is_filled_as_far_back_as_may_be_read(settings: Any) -> None:
    settings.TRADE_CANVAS_MARKET_GAP_BACKFILL_READ_LIMIT = 100

    async def story(feed: Feeding) -> None:
        feed.worker.now(filling.gap_wanted, BTC, ago(2000), ago(10))
        await asyncio.sleep(5)
        assert [c.candle_time for c in feed.stored()] == list(range(ago(109), ago(9), 60))

    serving(story, settings)


def test_a_gap_of_a_derived_series_wants_all_of_its_last_candle(settings: Any) -> None:
    settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES = True

    filling.gap_wanted(BTC.replace(":1m", ":5m"), 300, 600)

    assert (progress().wanted_start, progress().wanted_end) == (300, 840)


def test_a_request_makes_the_one_that_waits_wider() -> None:
    filling.gap_wanted(BTC, 6000, 6600)
    filling.gap_wanted(BTC, 9000, 9600)
    assert (progress().wanted_start, progress().wanted_end) == (6000, 9600)

    BackfillProgress.objects.update(requested_at=None)
    filling.gap_wanted(BTC, 12000, 12600)
    assert (progress().wanted_start, progress().wanted_end) == (12000, 12600)


def test_a_request_that_came_while_another_failed_stays() -> None:
    filling.gap_wanted(BTC, 6000, 6600)
    (served,) = progress_wanted()
    filling.gap_wanted(BTC, 9000, 9600)
    progress_refused(served, "away")
    (waiting,) = progress_wanted()
    assert (waiting.start, waiting.end) == (6000, 9600)

    progress_refused(waiting, "away")
    assert progress_wanted() == []
    assert (progress().state, progress().error) == ("failed", "away")


def test_a_request_that_cannot_be_served_ends_with_the_reason(settings: Any) -> None:
    name = "binance:futures:NOPE/USDT:1m"

    async def story(feed: Feeding) -> None:
        feed.worker.now(filling.tail_wanted, name, 500, float(START))
        await asyncio.sleep(5)

    serving(story, settings)
    row = BackfillProgress.objects.get(series_id=name)
    assert (row.state, row.requested_at) == ("failed", None)
    assert "does not list NOPEUSDT" in row.error


def test_nothing_is_fetched_unless_that_is_on(settings: Any) -> None:
    async def story(feed: Feeding) -> None:
        settings.TRADE_CANVAS_ENABLE_CCXT_BACKFILL = False
        feed.worker.now(filling.tail_wanted, BTC, 500, float(START))
        await asyncio.sleep(5)
        assert feed.stored() == []

    serving(story, settings)


def test_a_part_is_more_than_one_answer_holds() -> None:
    assert PART > 1500
