"""The loop of Binance streams against the exchange of the tests, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from django.db import OperationalError
from pytest_django import Settings

from ingest.circuit_rows import circuit_of
from ingest.models import ExchangeGate, IngestGuardrail, IngestJob
from ledger.advance import CANDLE_STEP, FACTOR_STEP, IngestPipelineError
from ledger.models import LedgerHead
from market.candles import Candle, Candles
from tests.exchange import wire
from tests.exchange.clock import Clock
from tests.exchange.faults import (
    Burst,
    ClockOff,
    CloseAfterNext,
    CloseAll,
    CloseAtOnce,
    Corrected,
    DropAll,
    Fault,
    HalfOpen,
    HandshakeStatus,
    LateClose,
    LostClose,
    NoPongs,
    OldFrames,
    Poison,
    Quiet,
    Refuse,
    RestDown,
    RestPage,
    RestStatus,
    Silence,
    SkippedBar,
    TwiceClose,
    Unreachable,
)
from tests.exchange.poison import KINDS
from tests.exchange.server import Exchange
from tests.ingest.feeding import BTC, ETH, Feeding, follow

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


@pytest.fixture(autouse=True)
def guarded(settings: Settings) -> None:
    """Turn the guardrail on, without chance in its waits."""
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True


def after(
    minutes: float, *faults: Fault, names: tuple[str, ...] = (BTC,), history: int = 300
) -> Feeding:
    """Follow an exchange with these faults for so many minutes."""

    async def story(feed: Feeding) -> None:
        await feed.minutes(minutes)

    return follow(story, *names, faults=faults, history=history)


def attempts(feed: Feeding) -> list[float]:
    """Return when the loop knocked, in seconds since the first time, rounded."""
    times = [entry.time for entry in feed.exchange.log.of("attempt", "futures")]
    return [round(time - times[0], 0) for time in times]


def circuit(series_id: str = BTC) -> Any:
    return circuit_of(IngestGuardrail.objects.get(series_id=series_id))


def test_a_new_series_is_filled_and_then_followed() -> None:
    feed = after(5)

    feed.require_true()
    assert len(feed.stored()) == 305
    job = IngestJob.objects.get(series_id=BTC)
    assert (job.state, job.last_closed_time) == ("streaming", feed.stored()[-1].candle_time)


def test_two_series_share_a_socket() -> None:
    feed = after(4, names=(BTC, ETH))

    feed.require_true(BTC, ETH)
    assert feed.exchange.log.count("opened", "futures") == 1


def test_refused_connections_wait_1_2_4_8() -> None:
    """Row 1 of the feeds' faults."""
    feed = after(3, Refuse(times=4))

    assert attempts(feed) == [0, 1, 3, 7, 15]
    feed.require_true()
    assert (circuit().consecutive_failures, circuit().state) == (0, "closed")


def test_a_connection_that_fails_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    after(0.5, Refuse())

    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    warnings = [text for text in told if text.startswith("ingest.failed")]
    assert len(warnings) == 1
    assert "'kind': 'connect'" in warnings[0]


def test_an_exchange_that_refuses_for_ever_is_tried_now_and_then() -> None:
    """Row 2 of the feeds' faults."""
    feed = after(14, Refuse(times=None))

    assert attempts(feed)[:9] == [0, 1, 3, 7, 15, 45, 105, 225, 465]
    assert circuit().state in {"open", "half_open"}
    assert not feed.stored()


def test_a_socket_that_is_closed_at_once_opens_the_circuit() -> None:
    """Row 3 of the feeds' faults."""
    after(4, CloseAtOnce(times=None, code=1011))

    assert circuit().trips > 0
    assert circuit().state != "closed"


@pytest.mark.parametrize("acknowledge", [False, True])
def test_silence_is_found_out_and_candles_come_by_rest(acknowledge: bool) -> None:
    """Row 5 of the feeds' faults."""
    feed = after(12, Silence(times=None, acknowledge=acknowledge))

    feed.require_true(behind=1)
    assert feed.exchange.log.count("opened", "futures") > 2
    assert IngestGuardrail.objects.get().last_error_kind == "stream"


def test_a_quiet_market_is_no_failure() -> None:
    """Row 6 of the feeds' faults."""
    feed = after(12, Quiet(at=60, seconds=600))

    feed.require_true(behind=1)
    assert feed.exchange.log.count("opened", "futures") == 1
    assert any(candle.volume == 0 for candle in feed.stored()[-12:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_poisoned_frame_is_rejected_and_the_next_good_one_taken(kind: str) -> None:
    """Row 7 of the feeds' faults."""
    feed = after(4, Poison(at=60, kind=kind, times=3))

    feed.require_true()


def test_too_many_bad_frames_count_as_a_failure() -> None:
    feed = after(4, Poison(at=45, kind="not_json", times=60))

    feed.require_true(behind=1)
    assert IngestGuardrail.objects.get().last_error_kind == "parse"


@pytest.mark.parametrize(
    "fault",
    [
        LateClose(at=60, delay=2.0, times=3),
        LostClose(at=60, times=2),
        TwiceClose(at=60, times=3),
        CloseAfterNext(at=60, times=2),
        SkippedBar(at=60, times=2),
        OldFrames(at=0, age=4.0),
        Burst(at=60, bars=1440),
    ],
    ids=["9 late", "10 lost", "11 twice", "13 after the next", "skipped", "47 old", "burst"],
)
def test_every_candle_is_stored_once_with_the_value_of_the_exchange(fault: Fault) -> None:
    """Row 9 of the feeds' faults. Row 10 of the feeds' faults. Row 11 of the feeds' faults.

    Row 13 of the feeds' faults. Row 47 of the feeds' faults.
    """
    feed = after(5, fault)

    feed.require_true()
    assert LedgerHead.objects.get().generation == 0


def test_a_close_that_never_comes_is_brought_after_5_seconds() -> None:
    """Row 10 of the feeds' faults."""
    seen: list[int] = []

    async def story(feed: Feeding) -> None:
        await feed.minutes(1.5)
        seen.append(len(feed.stored()))
        await feed.minutes(10 / 60)

    feed = follow(story, faults=[LostClose(at=60, times=1)])

    feed.require_true()


def test_a_close_that_comes_again_with_another_price_is_a_correction() -> None:
    """Row 12 of the feeds' faults."""
    feed = after(4, Corrected(at=60, times=1))

    feed.require_true()
    assert LedgerHead.objects.get().generation == 1


def test_three_minutes_without_a_connection_are_filled_in_order() -> None:
    """Row 14 of the feeds' faults."""
    feed = after(8, DropAll(at=60), Unreachable(at=60, seconds=180))

    feed.require_true()
    times = [time for batch in feed.commits for time in batch[BTC]]
    assert times == sorted(times)


def test_a_correction_that_no_socket_told_is_asked_for() -> None:
    """A bar that is corrected while the connection is away: the next fill brings its new values."""
    feed = after(8, Corrected(at=60, delay=5), DropAll(at=92), Unreachable(at=92, seconds=120))

    feed.require_true()


def test_a_hole_while_rest_is_down_is_recorded_and_filled_later() -> None:
    """Row 15 of the feeds' faults."""
    held: list[str] = []

    async def story(feed: Feeding) -> None:
        await feed.minutes(6)
        held.append(feed.worker.now(IngestJob.objects.get).gaps)
        await feed.minutes(8)

    feed = follow(
        story,
        faults=[
            DropAll(at=90),
            Unreachable(at=90, seconds=90),
            RestDown(at=90, seconds=400, times=None),
        ],
    )

    feed.require_true()
    assert "unknown" in held[0]
    assert IngestJob.objects.get().gaps == "[]"


def test_what_is_stored_is_no_hole_though_the_exchange_has_it_no_more() -> None:
    """A fill asks again for the newest candles; those that it could not ask for are stored."""

    async def story(feed: Feeding) -> None:
        await feed.minutes(6)
        (hole,) = orjson.loads(feed.worker.now(IngestJob.objects.get).gaps)
        assert hole["start"] in [candle.candle_time for candle in feed.stored()]
        for listing in feed.exchange.market.listings.values():
            listing.forget(hole["start"] + 60)
        await feed.minutes(8)

    follow(
        story,
        faults=[
            DropAll(at=90),
            Unreachable(at=90, seconds=90),
            RestDown(at=90, seconds=400, times=None),
        ],
    )

    assert IngestJob.objects.get().gaps == "[]"


def test_a_long_hole_is_filled_part_by_part_however_often_the_exchange_says_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was brought before a refusal is kept, so that a fill longer than the limit ends."""
    monkeypatch.setattr("ingest.asking.FILL_PAGE", 10)

    async def story(feed: Feeding) -> None:
        await feed.minutes(150)

    feed = follow(
        story,
        faults=[
            DropAll(at=90),
            Unreachable(at=90, seconds=3600),
            *(RestStatus(at=3700 + 65 * n, status=429, retry_after=5) for n in range(5)),
        ],
    )

    feed.require_true()
    assert feed.exchange.log.count("breach", "futures") == 0


def test_a_failed_flush_keeps_its_candles() -> None:
    """Row 16 of the feeds' faults."""

    async def story(feed: Feeding) -> None:
        await feed.minutes(1)
        feed.fail = broken
        await feed.minutes(1)
        feed.fail = lambda: None
        await feed.minutes(2)

    def broken() -> None:
        raise OperationalError("the database is away")

    feed = follow(story)

    feed.require_true()
    assert IngestGuardrail.objects.get().last_error_kind == "pipeline"


def test_a_database_that_is_away_for_20_seconds_loses_nothing() -> None:
    """Row 29 of the feeds' faults."""

    async def story(feed: Feeding) -> None:
        await feed.minutes(1.4)
        feed.worker.is_away = True
        await asyncio.sleep(20)
        feed.worker.is_away = False
        await feed.minutes(2)

    feed = follow(story)

    feed.require_true(behind=1)


@pytest.mark.parametrize("code", [1000, 1001, 1012])
def test_an_orderly_close_is_followed_by_another_connection_at_once(code: int) -> None:
    """Row 17 of the feeds' faults."""
    feed = after(4, CloseAll(at=90, code=code))

    feed.require_true()
    assert attempts(feed)[1] == pytest.approx(91, abs=2)
    assert circuit().consecutive_failures == 0
    assert IngestJob.objects.get().crashes == 0


def test_a_server_that_answers_no_pings_is_left() -> None:
    """Row 19 of the feeds' faults."""
    feed = after(5, NoPongs(at=0), HalfOpen(at=0, after=10))

    feed.require_true(behind=1)
    assert feed.exchange.log.count("opened", "futures") > 1


def test_pings_are_answered_while_the_database_takes_30_seconds() -> None:
    """Row 20 of the feeds' faults."""

    async def story(feed: Feeding) -> None:
        await feed.minutes(1.2)
        feed.worker.delay = 30.0
        await feed.minutes(6)
        feed.worker.delay = 0.0
        await feed.minutes(1)

    feed = follow(story)

    feed.require_true(behind=1)
    log = feed.exchange.log
    assert (log.count("opened", "futures"), log.count("ended", "futures")) == (1, 1)
    assert log.count("pong", "futures") >= 2


def test_after_429_no_process_asks_for_seven_seconds() -> None:
    """Row 21 of the feeds' faults."""
    feed = after(4, RestStatus(at=0, status=429, retry_after=7, times=1))

    asked = [entry.time for entry in feed.exchange.log.of("rest")]
    assert asked[1] - asked[0] >= 7
    feed.require_true()
    assert IngestJob.objects.get().crashes == 0


def test_a_ban_of_rest_lets_streams_go_on() -> None:
    """Row 22 of the feeds' faults."""
    feed = after(5, RestStatus(at=60, status=418, times=None, seconds=200), LostClose(at=61))

    assert ExchangeGate.objects.get(market="futures").blocked_why == "HTTP 418"
    assert feed.exchange.log.count("opened", "futures") == 1


@pytest.mark.parametrize(
    "kind", ["empty", "repeated", "unsorted", "out_of_range", "forming_last", "overlapping"]
)
def test_odd_pages_of_rest_store_only_what_is_true(kind: str) -> None:
    """Row 24 of the feeds' faults."""
    feed = after(5, RestPage(at=0, kind=kind, times=3), history=2100)

    feed.require_true()


@pytest.mark.parametrize("offset", [-10.0, 10.0, 300.0, -300.0])
def test_a_clock_that_is_off_stores_no_candle_that_still_forms(offset: float) -> None:
    """Row 38 of the feeds' faults."""
    feed = after(4, ClockOff(at=0, offset=offset))

    feed.require_true(behind=1)
    assert IngestJob.objects.get().clock_offset_s == pytest.approx(offset, abs=0.5)


def test_without_the_guardrail_every_wait_is_2_seconds(settings: Settings) -> None:
    """Row 39 of the feeds' faults."""
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = False
    feed = after(3, Refuse(times=6))

    assert attempts(feed) == [0, 2, 4, 6, 8, 10, 12]
    row = IngestGuardrail.objects.get()
    assert (row.enabled, row.state, row.consecutive_failures) == (False, "closed", 0)


def test_a_symbol_that_does_not_exist_is_named_and_tried_in_300_s() -> None:
    """Row 43 of the feeds' faults."""
    odd = "binance:futures:NOPE/USDT:1m"

    async def story(feed: Feeding) -> None:
        feed.loop.want({BTC: 1, odd: 1})
        await feed.minutes(4)

    feed = follow(story)

    feed.require_true()
    found = circuit(odd)
    assert (found.state, found.last_error_kind) == ("open", "config")
    assert "NOPEUSDT" in found.last_error
    assert feed.exchange.log.count("opened", "futures") == 1


def test_a_series_that_the_exchange_does_not_have_delays_no_other() -> None:
    odd = "binance:futures:AAA/USDT:1m"

    async def story(feed: Feeding) -> None:
        feed.loop.want({odd: 1, BTC: 1})
        await feed.minutes(3)

    follow(story, markets=("BTCUSDT",)).require_true(behind=1)


def test_bad_frames_of_one_series_stop_that_one_alone() -> None:
    feed = after(4, Poison(at=45, kind="nan", times=60, symbol="ETHUSDT"), names=(BTC, ETH))

    feed.require_true(BTC, ETH, behind=1)
    rows = IngestGuardrail.objects.filter(last_error_kind="parse")
    assert list(rows.values_list("series_id", flat=True)) == [ETH]
    assert feed.exchange.log.count("opened", "futures") == 1


def test_forming_candles_are_shown_and_not_too_often() -> None:
    feed = after(3)

    times = [candle.candle_time for _, candle in feed.formed]
    assert times == sorted(times)
    assert len(set(times)) >= 3
    pairs = pairwise(feed.formed)
    assert all(b[0] - a[0] > 0.24 for a, b in pairs if a[1].candle_time == b[1].candle_time)


def test_a_series_joins_an_open_socket_and_leaves_it() -> None:
    async def story(feed: Feeding) -> None:
        await feed.minutes(2)
        feed.loop.want({BTC: 1, ETH: 2})
        await feed.minutes(3)
        feed.loop.want({ETH: 2})
        await feed.minutes(2)

    feed = follow(story, BTC, markets=("BTCUSDT", "ETHUSDT"))

    feed.require_true(ETH)
    log = feed.exchange.log
    assert (log.count("opened", "futures"), log.count("unsubscribe", "futures")) == (1, 1)


def test_of_a_series_that_was_left_nothing_is_stored() -> None:
    candle = Candle(60, 1.0, 1.0, 1.0, 1.0, 1.0)

    async def story(feed: Feeding) -> None:
        await feed.minutes(1)
        stored = await feed.loop.following.commit({ETH: Candles.from_rows([candle])})
        assert stored == {}
        await feed.minutes(2)

    feed = follow(story, BTC, markets=("BTCUSDT", "ETHUSDT"))

    feed.require_true(BTC)
    assert feed.stored(ETH) == []


def test_a_series_that_is_left_while_it_is_stored_fails_nobody() -> None:
    async def story(feed: Feeding) -> None:
        await feed.minutes(1)
        following = feed.loop.following
        held = {name: feed.pending() for name, feed in following.feeds.items()}
        assert held.keys() == {BTC, ETH}
        held = {name: Candles.from_rows(feed.stored(name)[-1:]) for name in held}
        feed.worker.delay = 1.0
        storing = asyncio.create_task(following.commit(held))
        await asyncio.sleep(0.5)
        following.forget([ETH])
        feed.worker.delay = 0.0
        assert (await storing).keys() == {BTC, ETH}
        await feed.minutes(2)

    follow(story, BTC, ETH).require_true(BTC)


def test_a_feed_that_stores_again_after_a_failure_says_so() -> None:
    left = [1, 2]

    async def story(feed: Feeding) -> None:
        await feed.minutes(3)
        feed.fail = broken
        await feed.minutes(1.2)
        assert not left
        job = feed.worker.now(IngestJob.objects.get)
        assert (job.state, job.last_error, job.crashes) == ("streaming", "", 2)

    def broken() -> None:
        if left:
            left.pop()
            raise IngestPipelineError(CANDLE_STEP, BTC, OperationalError("locked"))

    feed = follow(story)

    feed.require_true()
    assert circuit().consecutive_failures == 0
    assert feed.exchange.log.count("opened", "futures") == 1


def test_what_cannot_be_stored_waits_as_long_as_its_circuit_says() -> None:
    tried: list[float] = []

    async def story(feed: Feeding) -> None:
        def broken() -> None:
            tried.append(feed.exchange.clock.local())
            raise IngestPipelineError(CANDLE_STEP, BTC, OperationalError("locked"))

        await feed.minutes(3)
        feed.fail = broken
        await feed.minutes(1.2)
        job = feed.worker.now(IngestJob.objects.get)
        assert (job.state, job.last_error_kind) == ("waiting", "pipeline")

    follow(story)

    waits = [b - a for a, b in pairwise(tried)][:4]
    assert waits == [pytest.approx(wait, abs=0.5) for wait in (1, 2, 4, 8)]
    assert circuit().state == "open"


def test_rules_that_fail_after_each_candle_open_the_circuit_and_lose_none() -> None:
    async def story(feed: Feeding) -> None:
        with patch.object(feed, "commits", Failing()):
            await feed.minutes(12)

    class Failing(list[Any]):
        """Fails after the candles are stored, as a factor does."""

        def append(self, _: Any) -> None:
            raise IngestPipelineError(FACTOR_STEP, BTC, ValueError("a rule failed"))

    feed = follow(story)

    feed.require_true(behind=1)
    assert circuit().consecutive_failures >= 10
    assert circuit().state == "open"


def test_a_limit_that_is_over_is_not_shown_any_more() -> None:
    states: list[str] = []

    async def story(feed: Feeding) -> None:
        for _ in range(40):
            await asyncio.sleep(10)
            states.append(feed.worker.now(IngestJob.objects.get).state)

    limit = RestStatus(at=100, path="klines", status=429, retry_after=20)
    feed = follow(story, faults=[LostClose(at=100), limit])

    feed.require_true(behind=1)
    assert "rate_limited" in states
    assert set(states[-10:]) == {"streaming"}


def test_a_limited_clock_is_no_trouble_of_a_series() -> None:
    async def story(feed: Feeding) -> None:
        await feed.minutes(6)
        assert (
            feed.worker.now(partial(ExchangeGate.objects.get, market="futures")).blocked_why
            == "HTTP 429"
        )
        assert feed.worker.now(IngestJob.objects.get).state == "streaming"

    follow(story, faults=[RestStatus(at=200, path="time", status=429, retry_after=300)])


async def each_lag(feed: Feeding, seconds: int) -> AsyncIterator[float]:
    """Yield each second by how much the newest stored candle is behind, once there is one."""
    for _ in range(seconds):
        await asyncio.sleep(1)
        if stored := feed.stored():
            yield feed.exchange.clock.now() - stored[-1].candle_time - 60


def job(feed: Feeding, series_id: str = BTC) -> IngestJob:
    found: IngestJob = feed.worker.now(partial(IngestJob.objects.get, series_id=series_id))
    return found


async def delisted(feed: Feeding, minutes: float) -> None:
    """Follow two series for three minutes, then one of which the exchange knows nothing more."""
    await feed.minutes(3)
    del feed.exchange.market.listings["futures", "ETHUSDT"]
    feed.exchange.inject(LostClose(symbol="ETHUSDT", times=None))
    await feed.minutes(minutes)


def test_a_symbol_that_is_delisted_stops_none_but_its_own_series() -> None:
    feed = follow(partial(delisted, minutes=12), BTC, ETH)

    feed.require_true(BTC)
    assert (circuit().state, circuit(ETH).state) == ("closed", "open")
    assert IngestGuardrail.objects.get(series_id=ETH).last_error_kind == "config"
    assert feed.exchange.log.count("opened", "futures") == 1


@pytest.mark.parametrize(
    "info", [{"symbols": None}, {"symbols": [None]}, {"rateLimits": ["x"], "symbols": []}, 5]
)
def test_an_unreadable_list_of_symbols_stops_no_feed(info: Any) -> None:
    async def story(feed: Feeding) -> None:
        await feed.minutes(2)
        get = feed.around.rest._get

        async def answered(path: str, query: dict[str, Any]) -> Any:
            return info if "exchangeInfo" in path else await get(path, query)

        with patch.object(feed.around.rest, "_get", answered):
            feed.loop.want({BTC: 1, ETH: 1})
            await feed.minutes(3)

    feed = follow(story, BTC, markets=("BTCUSDT", "ETHUSDT"))

    feed.require_true(BTC, behind=1)
    feed.require_true(ETH, behind=1)
    assert circuit().consecutive_failures == 0


def test_a_closed_door_is_knocked_at_once() -> None:
    """A refused handshake says for how long, and the gate of the streams keeps it."""

    async def story(feed: Feeding) -> None:
        await feed.minutes(6)
        assert (job(feed).state, job(feed).last_error_kind) == ("rate_limited", "rate_limit")
        await feed.minutes(6)
        assert job(feed).state == "streaming"

    refusal = HandshakeStatus(at=0, status=418, retry_after=600)
    feed = follow(story, faults=[refusal])

    feed.require_true(behind=1)
    assert feed.exchange.log.count("attempt", "futures") == 2
    assert ExchangeGate.objects.get(market="futures streams").blocked_why == "HTTP 418"
    assert circuit().consecutive_failures == 0


@pytest.mark.parametrize(("first", "then"), [(300.0, 0.0), (0.0, 3600.0)], ids=["ahead", "back"])
def test_a_clock_that_jumps_stores_nothing_that_forms_and_waits_for_nothing(
    first: float, then: float
) -> None:
    lags: list[float] = []

    async def story(feed: Feeding) -> None:
        lags.extend([lag async for lag in each_lag(feed, 600)])

    follow(story, faults=[ClockOff(at=0, offset=first), ClockOff(at=100, offset=then)])

    assert min(lags) >= 0
    assert max(lags) < 75
    assert LedgerHead.objects.get().generation == 0


def test_a_clock_that_jumped_while_the_exchange_does_not_tell_the_time_stops_no_feed() -> None:
    async def story(feed: Feeding) -> None:
        await feed.minutes(12)

    silent = RestStatus(at=95, path="time", status=500, times=None)
    faults = [ClockOff(at=0, offset=2.0), silent, ClockOff(at=100, offset=0.0), DropAll(at=130)]
    follow(story, faults=faults).require_true(behind=1)


def test_refusals_long_ago_do_not_make_the_next_one_longer() -> None:
    async def story(feed: Feeding) -> None:
        for _ in range(3):
            feed.exchange.inject(DropAll())
            feed.exchange.inject(HandshakeStatus(status=418))
            await feed.minutes(6)

    feed = follow(story)

    feed.require_true(behind=1)
    times = [entry.time for entry in feed.exchange.log.of("attempt", "futures")]
    assert max(later - earlier for earlier, later in pairwise(times)) < 380


def test_without_circuits_a_symbol_that_is_not_listed_is_asked_for_with_pauses(
    settings: Settings,
) -> None:
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = False

    feed = follow(partial(delisted, minutes=5), BTC, ETH)

    feed.require_true(BTC, behind=1)
    assert job(feed, ETH).crashes < 170


def test_a_limit_that_was_over_is_over_when_the_clock_jumps_back() -> None:
    lags: list[float] = []

    async def story(feed: Feeding) -> None:
        lags.extend([lag async for lag in each_lag(feed, 1800)])

    limit = RestStatus(at=290, path="time", status=429, retry_after=7)
    follow(story, faults=[limit, ClockOff(at=900, offset=3600)])

    assert max(lags) < 75


def test_a_fill_that_fails_is_shown_until_candles_come() -> None:
    async def story(feed: Feeding) -> None:
        await feed.minutes(2.3)
        assert (job(feed).state, job(feed).last_error_kind) == ("backfilling", "connect")
        await feed.minutes(2)
        assert (job(feed).state, job(feed).last_error) == ("streaming", "")

    away = RestDown(at=130, seconds=45, times=None)
    follow(story, faults=[DropAll(at=130), Unreachable(at=130, seconds=2), away]).require_true()


def test_a_candle_that_was_refused_waits_though_the_rules_of_another_series_failed_first() -> None:
    async def story(feed: Feeding) -> None:
        await feed.minutes(2)
        stored = {name: Candles.from_rows(feed.stored(name)[-1:]) for name in (BTC, ETH)}
        fed = feed.loop.following.feeds[ETH]
        fed.keep(stored[ETH].rows())
        with patch.object(feed.loop.following, "_store", failing):
            assert (await feed.loop.following.commit(stored)).keys() == {BTC}
        assert list(fed.buffer) == stored[ETH].time.tolist()
        assert (job(feed).crashes, job(feed, ETH).crashes) == (1, 1)
        await feed.minutes(1)
        assert not fed.buffer

    def failing(*_: Any) -> dict[str, IngestPipelineError]:
        return {
            BTC: IngestPipelineError(FACTOR_STEP, BTC, ValueError("a rule failed")),
            ETH: IngestPipelineError(CANDLE_STEP, ETH, OperationalError("the disk is full")),
        }

    follow(story, BTC, ETH)


def test_a_series_that_waits_for_its_circuit_beside_others_says_so() -> None:
    IngestGuardrail.objects.create(
        series_id=ETH, state="open", open_until=9e9, next_attempt_at=9e9, last_error_kind="connect"
    )

    async def story(feed: Feeding) -> None:
        await feed.minutes(1)
        assert (job(feed).state, job(feed, ETH).state) == ("streaming", "waiting")

    follow(story, BTC, ETH)


def test_own_rotation_opens_the_next_connection_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 18 of the feeds' faults."""
    monkeypatch.setattr("ingest.loop.ROTATE_SECONDS", 100.0)
    feed = after(6)

    feed.require_true()
    times = [time for batch in feed.commits for time in batch[BTC]]
    assert times == sorted(set(times))
    opened = [entry.time for entry in feed.exchange.log.of("opened", "futures")]
    ended = [entry.time for entry in feed.exchange.log.of("ended", "futures")]
    assert len(opened) >= 3
    assert all(ending >= following for ending, following in zip(ended, opened[1:], strict=False))
    assert circuit().consecutive_failures == 0


class Mute:
    """A connection that opens and says nothing."""

    is_closed = False

    async def recv(self) -> str:
        await asyncio.Event().wait()
        return ""

    async def send(self, message: str) -> None:
        raise AssertionError(message)

    async def close(self) -> None:
        self.is_closed = True


def test_a_next_connection_that_is_silent_leaves_the_one_before(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ingest.loop.ROTATE_SECONDS", 130.0)
    monkeypatch.setattr("ingest.loop.ROTATE_AGAIN_SECONDS", 45.0)
    mute = Mute()

    async def story(feed: Feeding) -> None:
        await feed.minutes(1)
        connect = feed.around.connect
        feed.around.connect = lambda _: nullcontext(mute)
        await asyncio.sleep(95)
        assert not mute.is_closed  # it is waited for, and the minute that closed at 150 is stored
        assert feed.stored()[-1].candle_time == int(feed.exchange.clock.local()) // 60 * 60 - 60
        feed.around.connect = connect
        await feed.minutes(2)

    feed = follow(story)

    feed.require_true()
    assert mute.is_closed
    assert caplog.text.count("ingest.not_rotated") == 1
    assert "ingest.failed" not in caplog.text
    assert feed.exchange.log.count("opened", "futures") == 2


@pytest.mark.parametrize("fault", [CloseAtOnce(at=90), Refuse(at=90)], ids=["closed", "refused"])
def test_a_next_connection_that_ends_leaves_the_one_before(
    fault: Fault, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ingest.loop.ROTATE_SECONDS", 100.0)
    monkeypatch.setattr("ingest.loop.ROTATE_AGAIN_SECONDS", 45.0)
    feed = after(4, fault)

    feed.require_true()
    assert caplog.text.count("ingest.not_rotated") == 1
    assert "ingest.failed" not in caplog.text


def test_fifty_series_that_all_lose_their_socket_come_back_together() -> None:
    """Row 46 of the feeds' faults: they share a socket, so they knock once."""
    names = tuple(f"binance:futures:S{number}/USDT:1m" for number in range(50))
    feed = after(4, DropAll(at=60), names=names, history=50)

    feed.require_true(*names)
    assert feed.exchange.log.count("attempt", "futures") == 2
    assert feed.exchange.log.count("breach", "futures") == 0


def test_the_recorded_minute_boundary_is_stored_to_the_digit() -> None:
    """Row 8 of the feeds' faults."""
    frames = wire.frames("futures_kline")
    closed = [one.event["k"] for one in frames if one.event["k"]["x"]]
    names = {f"binance:futures:{k['s'].removesuffix('USDT')}/USDT:1m": k for k in closed}

    async def story(feed: Feeding) -> None:
        await feed.exchange.until("subscribe", venue="futures")
        await asyncio.sleep(1)
        feed.exchange.replay(frames, faster=1.0)
        await feed.minutes(1.5)

    feed = follow(story, *names, exchange=recorded)

    for name, kline in names.items():
        rows = {row.candle_time: row for row in feed.stored(name)}
        numbers = [float(kline[key]) for key in ("o", "h", "l", "c", "v")]
        assert list(rows[kline["t"] // 1000])[1:] == numbers
    shown = [time for time, candle in feed.formed]
    assert shown == sorted(shown)


def recorded() -> Exchange:
    """Return an exchange that knows what was recorded, a little before it was."""
    frames = wire.frames("futures_kline")
    tick = asyncio.get_running_loop().time
    clock = Clock(frames[0].received - 5, 1.0, tick=tick)
    return Exchange(wire.recorded_market(*frames), clock)
