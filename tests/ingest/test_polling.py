"""Feeds of exchanges that are asked again and again, with a client like those of ccxt."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from pytest_django import Settings

from ingest import ccxt_rest, pipeline
from ingest.binance import UnsupportedSeriesError
from ingest.ccxt_rest import CcxtRest, require_exchange
from ingest.circuits import Circuits
from ingest.following import Errors
from ingest.lease import LeaseLostError, leases_require
from ingest.models import ExchangeGate, IngestGuardrail, IngestJob
from ingest.polling import PollingLoop
from ingest.supervisor import IngestSupervisor
from ledger.advance import IngestPipelineError
from ledger.models import LedgerHead
from ledger.verify import series_verify
from market import selectors
from market.candles import Candle
from market.series import SeriesId
from tests.exchange.server import Exchange
from tests.ingest.feeding import Feeding, exchange_of
from tests.jumping import jump

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

BTC = "okx:spot:BTC/USDT:1m"
ALONE = "okx:spot:NOPE/USDT:1m"


class RateLimitExceeded(Exception):  # noqa: N818 (ccxt's name)
    """Stands for ccxt's error of this name."""


class BadSymbol(Exception):  # noqa: N818 (ccxt's name)
    """Stands for ccxt's error of this name."""


LIMITED = RateLimitExceeded("slow down")


class NetworkError(Exception):
    """Stands for ccxt's error of this name."""


class Client:
    """What ccxt's clients do, on the market of the tests; `fails` is raised instead of answers."""

    has = {"fetchOHLCV": True, "fetchTime": True}
    timeframes = {"1m": "1m", "5m": "5m"}

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.fails: Exception | None = None
        self.asked: list[float] = []
        self.is_closed = False
        self.forming = True

    async def fetch_time(self) -> int:
        self._answer()
        return int(self.exchange.clock.now() * 1000)

    async def load_markets(self) -> dict[str, Any]:
        self._answer()
        return {"BTC/USDT": {"active": True}, "OLD/USDT": {"active": False}}

    async def fetch_ohlcv(
        self, symbol: str, timeframe: str, *, since: int, limit: int
    ) -> list[list[Any]]:
        """Return rows from a time on; the last may still form, as exchanges give them."""
        self._answer()
        name = symbol.replace("/", "")
        rows = self.exchange.candles("spot", name, timeframe, since=since // 1000)[:limit]
        found = [[row.candle_time * 1000, *row[1:]] for row in rows]
        if len(found) < limit and self.forming:
            now = int(self.exchange.clock.now()) // 60 * 60
            found.append([now * 1000, 1.0, 1.0, 1.0, 1.0, 1.0])
        return found

    async def close(self) -> None:
        self.is_closed = True

    def _answer(self) -> None:
        self.asked.append(self.exchange.clock.now())
        if self.fails is not None:
            raise self.fails


Story = Callable[[Feeding, Client], Coroutine[Any, Any, None]]


def poll(story: Story, *names: str, offset: float = 0.0) -> tuple[Feeding, Client]:
    """Play a story of a supervisor that polls, in virtual time; our clock is `offset` behind."""

    async def main() -> tuple[Feeding, Client]:
        exchange = exchange_of("BTCUSDT", history=300)
        exchange.clock.offset = offset
        async with exchange, Feeding.connected(exchange) as feed:
            client = Client(exchange)

            def commit(batches: Any, tokens: Any) -> Errors:
                errors: dict[str, IngestPipelineError] = {}
                pipeline.run_each(batches, errors, fence=partial(leases_require, tokens))
                return errors

            def polling(name: str, market: str) -> PollingLoop:
                station = feed.station
                rest = CcxtRest(name, market, client, station.worker, station.clock)
                return PollingLoop(name, market, rest=rest, station=station, commit=commit)

            supervisor = IngestSupervisor(
                station=feed.station,
                surroundings=lambda _: feed.around,
                polling=polling,
                named=names or (BTC,),
            )
            stop = asyncio.Event()
            running = asyncio.create_task(supervisor.run(stop))
            with patch.object(ccxt_rest, "library", lambda: Known):
                await story(feed, client)
            stop.set()
            await asyncio.wait_for(running, 30)
        return feed, client

    return jump(main())


class Known:
    """Stands for ccxt's module."""

    exchanges = ["okx", "kraken"]


@pytest.fixture(autouse=True)
def guarded(settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True


def stored(feed: Feeding) -> list[Candle]:
    return feed.stored(BTC)


def true(feed: Feeding) -> list[Candle]:
    rows = feed.exchange.candles("spot", "BTCUSDT")
    first = stored(feed)[0].candle_time
    return [row for row in rows if row.candle_time >= first]


def require_true(feed: Feeding, behind: int = 0) -> None:
    found = true(feed)
    assert stored(feed) == found[: len(stored(feed))]
    assert len(found) - len(stored(feed)) <= behind


def test_a_new_series_is_filled_and_then_followed_as_candles_close() -> None:
    lags: list[float] = []

    async def story(feed: Feeding, _: Client) -> None:
        await feed.minutes(1)
        assert len(stored(feed)) >= 300
        for _second in range(240):
            await asyncio.sleep(1)
            head = feed.worker.now(selectors.head_time, BTC) or 0
            lags.append(feed.exchange.clock.now() - head - 60)
        job = feed.worker.now(IngestJob.objects.get)
        assert (job.state, job.source, job.lease_owner) == ("streaming", "ccxt", "test")

    feed, client = poll(story)

    require_true(feed, behind=1)
    assert max(lags) <= 60 + 8
    assert client.is_closed
    assert IngestJob.objects.get().lease_owner == ""
    assert series_verify(BTC).is_sound


def test_nothing_that_forms_is_stored() -> None:
    async def story(feed: Feeding, _: Client) -> None:
        await feed.minutes(3)

    feed, _ = poll(story)

    assert all(candle.close != 1.0 or candle.volume != 1.0 for candle in stored(feed))


def test_an_exchange_that_is_away_is_tried_as_the_guardrail_says() -> None:
    async def story(feed: Feeding, client: Client) -> None:
        await feed.minutes(2)
        client.asked.clear()
        client.fails = NetworkError("away")
        await feed.minutes(5)
        row = feed.worker.now(IngestGuardrail.objects.get)
        assert (row.state, row.last_error_kind) == ("open", "connect")
        assert len(client.asked) <= 12
        client.fails = None
        await feed.minutes(8)

    feed, _ = poll(story)

    require_true(feed, behind=1)
    assert IngestGuardrail.objects.get().state == "closed"


def test_a_rate_limit_closes_the_gate_and_counts_no_failure() -> None:
    async def story(feed: Feeding, client: Client) -> None:
        await feed.minutes(2)
        client.fails = RateLimitExceeded("slow down")
        await feed.minutes(2)
        before = len(client.asked)
        client.fails = None
        await asyncio.sleep(20)
        assert len(client.asked) - before <= 1
        await feed.minutes(3)

    feed, _ = poll(story)

    require_true(feed, behind=1)
    assert ExchangeGate.objects.get(exchange="okx").blocked_why == "HTTP 429"
    assert IngestGuardrail.objects.get().consecutive_failures == 0


def test_a_feed_that_was_away_or_limited_says_when_it_is_well_again() -> None:
    async def story(feed: Feeding, client: Client) -> None:
        await feed.minutes(2)
        for fails, state in ((NetworkError("away"), "waiting"), (LIMITED, "rate_limited")):
            client.fails = fails
            await feed.minutes(1.5)
            assert feed.worker.now(IngestJob.objects.get).state == state
            client.fails = None
            await feed.minutes(3)
            job = feed.worker.now(IngestJob.objects.get)
            assert (job.state, job.last_error) == ("streaming", "")

    feed, _ = poll(story)

    require_true(feed, behind=1)
    assert IngestJob.objects.get().crashes > 0


def test_a_circuit_closes_with_the_next_candle_though_answers_without_any_came_first() -> None:
    async def story(feed: Feeding, client: Client) -> None:
        await feed.minutes(2.5)
        client.fails = NetworkError("maintenance")
        await feed.minutes(2)
        client.fails = None
        with patch.object(client, "fetch_ohlcv", nothing):
            await feed.minutes(1.5)
        await feed.minutes(3)
        assert feed.worker.now(IngestGuardrail.objects.get).state == "closed"

    async def nothing(*_: Any, **__: Any) -> list[Any]:
        return []

    feed, _ = poll(story)

    require_true(feed, behind=1)


def test_an_exchange_that_does_not_tell_the_time_is_followed() -> None:
    async def story(feed: Feeding, client: Client) -> None:
        with patch.object(client, "fetch_time", away):
            await feed.minutes(4)

    async def away() -> int:
        raise NetworkError("no time")

    feed, _ = poll(story)

    require_true(feed, behind=1)
    assert IngestGuardrail.objects.get().consecutive_failures == 0


def test_a_series_that_was_held_and_then_reset_says_that_it_streams() -> None:
    async def story(feed: Feeding, _: Client) -> None:
        await feed.minutes(2)
        for _round in range(2):
            feed.worker.now(Circuits().hold, [BTC], "staff", feed.station.clock())
            await feed.minutes(3)
            assert feed.worker.now(IngestJob.objects.get).state == "waiting"
            feed.worker.now(Circuits().reset, [BTC], "staff", feed.station.clock())
            await feed.minutes(3)
            assert feed.worker.now(IngestJob.objects.get).state == "streaming"

    feed, _ = poll(story)

    require_true(feed, behind=1)


def test_a_clock_that_jumps_ahead_stores_nothing_that_forms() -> None:
    async def story(feed: Feeding, _: Client) -> None:
        await feed.minutes(3)
        feed.exchange.clock.offset = 0.0
        await feed.minutes(4)

    feed, _ = poll(story, offset=90.0)

    require_true(feed, behind=1)
    assert LedgerHead.objects.get(series_id=BTC).generation == 0


def test_a_symbol_that_was_unknown_for_a_moment_is_not_refused_for_ever() -> None:
    async def story(feed: Feeding, client: Client) -> None:
        await feed.minutes(2)
        client.fails = BadSymbol("for a moment")
        await feed.minutes(2)
        client.fails = None
        await feed.minutes(12)
        assert feed.worker.now(IngestGuardrail.objects.get).state == "closed"

    feed, _ = poll(story)

    require_true(feed, behind=1)


@pytest.mark.parametrize("question", ["fetch_time", "load_markets"])
def test_an_answer_that_is_none_ends_no_loop(question: str) -> None:
    async def story(feed: Feeding, client: Client) -> None:
        with patch.object(client, question, nothing):
            await feed.minutes(2)
        await feed.minutes(4)
        assert not client.is_closed

    async def nothing() -> None:
        return None

    feed, _ = poll(story)

    require_true(feed, behind=1)


@pytest.mark.parametrize(
    ("series_id", "said"),
    [
        (ALONE, "okx spot does not list NOPE/USDT"),
        ("okx:spot:OLD/USDT:1m", "does not list OLD/USDT"),
        ("okx:spot:BTC/USDT:3m", "okx has no candles of 3m"),
        ("nowhere:spot:BTC/USDT:1m", "unsupported exchange for realtime ingest: nowhere"),
    ],
)
def test_what_there_is_not_opens_its_circuit_with_the_reason(series_id: str, said: str) -> None:
    async def story(feed: Feeding, _: Client) -> None:
        await feed.minutes(2)
        row = feed.worker.now(partial(IngestGuardrail.objects.get, series_id=series_id))
        assert (row.state, row.last_error_kind) == ("open", "config")
        assert said in row.last_error

    feed, _ = poll(story, BTC, series_id)

    require_true(feed, behind=1)


def test_who_lost_the_lease_writes_nothing_more() -> None:
    async def story(feed: Feeding, _: Client) -> None:
        await feed.minutes(2)
        feed.worker.now(partial(IngestJob.objects.update, lease_owner="another", lease_token=99))
        held = len(stored(feed))
        await feed.minutes(3)
        assert len(stored(feed)) <= held + 1

    poll(story)
    with pytest.raises(LeaseLostError):
        leases_require({BTC: 1})


def test_without_ccxt_the_words_say_how_to_install_it() -> None:
    def missing(_: str) -> None:
        raise ImportError

    with (
        patch.object(ccxt_rest, "import_module", missing),
        pytest.raises(
            UnsupportedSeriesError, match=r"install the optional extra with \./dev venues"
        ),
    ):
        require_exchange("okx")


def test_a_page_holds_only_closed_candles_of_the_window() -> None:
    async def main() -> list[int]:
        exchange = exchange_of("BTCUSDT", history=300)
        async with exchange, Feeding.connected(exchange) as feed:
            station = feed.station
            rest = CcxtRest("okx", "spot", Client(exchange), station.worker, station.clock)
            now = int(rest.now()) // 60 * 60
            found = await rest.page(SeriesId.parse(BTC), now - 600, now + 600)
            return [int(time - now) // 60 for time in found.time]

    assert jump(main()) == list(range(-10, 0))
