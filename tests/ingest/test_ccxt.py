"""ccxt itself, pointed at the exchange of the tests."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from importlib.util import find_spec
from typing import Any, TypeVar

import pytest
from asgiref.sync import async_to_sync

from ingest.binance import UnsupportedSeriesError
from ingest.ccxt_rest import CcxtRest, client_of, require_exchange
from ingest.gate import RateLimitedError
from ingest.history import closed_between
from ingest.rest import RestError
from market.series import SeriesId
from tests.exchange.clock import START
from tests.exchange.faults import RestDown, RestStatus
from tests.exchange.running import InThread
from tests.exchange.server import Exchange
from tests.ingest.inline import Inline

pytestmark = [
    pytest.mark.ccxt,
    pytest.mark.django_db,
    pytest.mark.skipif(find_spec("ccxt") is None, reason="ccxt is not installed"),
]

SERIES = SeriesId.parse("binanceusdm:futures:BTC/USDT:1m")
T = TypeVar("T")


@pytest.fixture
def exchange() -> Iterator[InThread]:
    """Return an exchange that stands still."""
    with InThread(Exchange.walking("BTCUSDT", seed=3, speed=None)) as running:
        yield running


def through(exchange: InThread, work: Callable[[CcxtRest], Coroutine[Any, Any, T]]) -> T:
    """Let ccxt ask the exchange of the tests."""

    async def main() -> T:
        client = client_of("binanceusdm", "futures")
        rest = exchange.exchange.settings["TRADE_CANVAS_BINANCE_FUTURES_REST_BASE"]
        for name in [n for n in client.urls["api"] if n.startswith("fapi")]:
            version = name.removeprefix("fapiPublic").removeprefix("fapiPrivate").lower() or "v1"
            client.urls["api"][name] = f"{rest}/fapi/{version}"
        client.options["fetchMarkets"] = {"types": ["linear"]}
        asking = CcxtRest("binanceusdm", "futures", client, Inline(), lambda: START + 30)
        try:
            await asking.sync_clock()
            return await work(asking)
        finally:
            await asking.close()

    return async_to_sync(main)()


def test_its_candles_are_those_of_the_exchange(exchange: InThread) -> None:
    newest = int(START) // 60 * 60 - 60

    found = through(
        exchange, lambda rest: closed_between(rest, SERIES, newest - 1999 * 60, newest + 600)
    )

    true = exchange.exchange.candles("futures", "BTCUSDT")
    assert found.rows() == [c for c in true if newest - 1999 * 60 <= c.candle_time <= newest]


def test_it_lists_what_the_exchange_lists(exchange: InThread) -> None:
    through(exchange, lambda rest: rest.require_listed(SERIES))
    nope = SeriesId.parse("binanceusdm:futures:NOPE/USDT:1m")

    with pytest.raises(UnsupportedSeriesError, match="does not list NOPE/USDT:USDT"):
        through(exchange, lambda rest: rest.require_listed(nope))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (RestStatus(path="klines", status=429), RateLimitedError),
        (RestStatus(path="klines", status=503, times=None), RestError),
        (RestDown(path="klines", times=None), RestError),
    ],
    ids=["429", "503", "down"],
)
def test_its_errors_are_ours(exchange: InThread, fault: Any, expected: type[Exception]) -> None:
    exchange.inject(fault)
    newest = int(START) // 60 * 60 - 60

    with pytest.raises(expected):
        through(exchange, lambda rest: rest.page(SERIES, newest - 600, newest))


@pytest.mark.parametrize("name", ["kraken", "okx", "bybit", "coinbase"])
def test_well_known_exchanges_give_candles(name: str) -> None:
    require_exchange(name)
    client = client_of(name, "spot")

    assert "1m" in client.timeframes
    asyncio.run(client.close())
