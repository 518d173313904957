"""GET /api/market/top_markets: what is asked of the exchange, kept, and answered."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.test import Client
from pytest_django import Settings

from market import top_markets
from market.ranking import symbols_parsed, tickers_parsed
from market.top_markets import TopMarkets, UpstreamError, Wish

URL = "/api/market/top_markets"
SYMBOLS = [
    {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"},
    {"symbol": "ETHUSDT", "status": "TRADING", "baseAsset": "ETH", "quoteAsset": "USDT"},
    {"symbol": "ETHBTC", "status": "TRADING", "baseAsset": "ETH", "quoteAsset": "BTC"},
    {"symbol": "OLDUSDT", "status": "BREAK", "baseAsset": "OLD", "quoteAsset": "USDT"},
    {"symbol": "NEWUSDT", "status": "TRADING", "baseAsset": "NEW", "quoteAsset": "USDT"},
]
TICKERS: list[dict[str, Any]] = [
    {
        "symbol": "BTCUSDT",
        "lastPrice": "100.0",
        "quoteVolume": "1000.5",
        "priceChangePercent": "1.5",
    },
    {
        "symbol": "ETHUSDT",
        "lastPrice": "10.0",
        "quoteVolume": "2000.0",
        "priceChangePercent": "-2.0",
    },
    {"symbol": "ETHBTC", "lastPrice": "x", "quoteVolume": 5, "priceChangePercent": None},
    {"symbol": "OLDUSDT", "lastPrice": "1", "quoteVolume": "9999", "priceChangePercent": "0"},
    {"symbol": "NEWUSDT", "lastPrice": "1", "quoteVolume": "", "priceChangePercent": "0"},
]
USDT = Wish("spot", "USDT", 20)


class Exchange:
    """An exchange that answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.now = 1000.0
        self.tickers = [dict(row) for row in TICKERS]
        self.answer: Callable[[str], httpx.Response] = self.lists
        self.top = TopMarkets(transport=httpx.MockTransport(self.handle), clock=lambda: self.now)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        return self.answer(request.url.path)

    def lists(self, path: str) -> httpx.Response:
        if path.endswith("/exchangeInfo"):
            return httpx.Response(200, json={"symbols": SYMBOLS})
        return httpx.Response(200, json=self.tickers)

    def fails(self, _: str) -> httpx.Response:
        raise httpx.ConnectError("away")

    def refuses(self, _: str) -> httpx.Response:
        return httpx.Response(418, headers={"Retry-After": "120"})

    def read(self, wish: Wish = USDT, *, force: bool = False) -> dict[str, Any]:
        return asyncio.run(self.top.read(wish, force=force))


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Exchange:
    """Return the exchange that the routes ask."""
    made = Exchange()
    monkeypatch.setattr(top_markets, "TOP", made.top)
    return made


def get(client: Client, status: int = 200, **query: object) -> Any:
    asked = {"market": "spot"} | {name: str(value) for name, value in query.items()}
    answer = client.get(URL, asked)
    assert answer.status_code == status, answer.content
    return answer.json()


def ids(answer: Any) -> list[str]:
    return [item["symbol_id"] for item in answer["items"]]


def test_the_most_traded_come_first_as_documented(client: Client, exchange: Exchange) -> None:
    assert get(client, limit=1) == {
        "exchange": "binance",
        "market": "spot",
        "quote_asset": "USDT",
        "limit": 1,
        "generated_at_ms": 1000000,
        "cached": False,
        "items": [
            {
                "exchange": "binance",
                "market": "spot",
                "symbol": "ETH/USDT",
                "symbol_id": "ETHUSDT",
                "base_asset": "ETH",
                "quote_asset": "USDT",
                "last_price": 10.0,
                "quote_volume": 2000.0,
                "price_change_percent": -2.0,
            }
        ],
    }
    assert exchange.asked == [
        "https://api.binance.com/api/v3/exchangeInfo",
        "https://api.binance.com/api/v3/ticker/24hr",
    ]


def test_only_traded_symbols_with_a_volume_are_listed(client: Client, exchange: Exchange) -> None:
    assert ids(get(client)) == ["ETHUSDT", "BTCUSDT"]


def test_a_quote_asset_is_taken_in_any_case(client: Client, exchange: Exchange) -> None:
    answer = get(client, quote_asset="btc")

    assert (answer["quote_asset"], ids(answer)) == ("BTC", ["ETHBTC"])
    assert answer["items"][0]["last_price"] is None
    assert ids(get(client, quote_asset="none")) == []


def test_futures_are_asked_for_at_their_own_address(
    client: Client, exchange: Exchange, settings: Settings
) -> None:
    settings.TRADE_CANVAS_BINANCE_FUTURES_BASE_URL = "http://127.0.0.1:1"

    get(client, market="futures")

    assert exchange.asked[0] == "http://127.0.0.1:1/fapi/v1/exchangeInfo"


def test_futures_that_expire_are_left_out() -> None:
    row = SYMBOLS[0]
    listed = {
        "symbols": [
            row | {"symbol": "A", "contractType": "PERPETUAL"},
            row | {"symbol": "B", "contractType": "CURRENT_QUARTER"},
            row | {"symbol": "C", "contractType": ""},
            row | {"symbol": "D"},
            row | {"symbol": 5},
            "odd",
        ]
    }

    assert list(symbols_parsed(listed)) == ["A", "C", "D"]


@pytest.mark.parametrize("listed", [None, {}, {"code": -1121}, 5])
def test_what_is_no_list_of_tickers_is_an_error(listed: object) -> None:
    with pytest.raises(TypeError):
        tickers_parsed(listed)


def test_an_answer_is_kept_as_long_as_its_setting_says(
    exchange: Exchange, settings: Settings
) -> None:
    exchange.read()
    exchange.now += 9.9
    assert exchange.read()["cached"] is True
    exchange.now += 0.2
    assert exchange.read()["cached"] is False  # the tickers are new
    assert len(exchange.asked) == 3

    exchange.now += 3600
    exchange.read()

    assert len(exchange.asked) == 5


def test_kept_answers_need_no_event_loop(client: Client, exchange: Exchange) -> None:
    exchange.read()

    assert get(client)["cached"] is True
    assert len(exchange.asked) == 2


def test_while_the_exchange_is_away_what_is_kept_is_good_enough(exchange: Exchange) -> None:
    exchange.read()
    exchange.answer = exchange.fails
    exchange.now += 5000

    answer = exchange.read()

    assert (answer["cached"], ids(answer)) == (True, ["ETHUSDT", "BTCUSDT"])


def test_nothing_kept_and_nobody_there_is_502(client: Client, exchange: Exchange) -> None:
    exchange.answer = exchange.fails

    assert get(client, 502) == {"detail": "upstream_error:away"}


def test_a_failure_is_not_repeated_for_two_seconds(exchange: Exchange) -> None:
    exchange.answer = exchange.fails
    for wait in (0, 1.9, 0.2):
        exchange.now += wait
        with pytest.raises(UpstreamError):
            exchange.read()

    assert len(exchange.asked) == 2


def test_an_exchange_that_says_too_much_is_left_alone(exchange: Exchange) -> None:
    exchange.read()
    exchange.answer = exchange.refuses
    exchange.now += 20
    assert exchange.read()["cached"] is True
    exchange.answer = exchange.lists
    exchange.now += 119
    exchange.read(force=True)
    assert len(exchange.asked) == 4  # the symbols alone, by force

    exchange.now += 2

    assert exchange.read()["cached"] is False


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (httpx.Response(503), "HTTP 503"),
        (httpx.Response(200, text="<html>"), "unexpected answer"),
        (httpx.Response(200, json=[]), "unexpected answer: exchangeInfo is no object"),
    ],
)
def test_an_odd_answer_is_an_upstream_error(
    response: httpx.Response, said: str, exchange: Exchange
) -> None:
    exchange.answer = lambda _: response

    with pytest.raises(UpstreamError, match=said):
        exchange.read()


def test_force_asks_again_but_not_within_two_seconds(client: Client, exchange: Exchange) -> None:
    get(client, force=1)
    assert get(client, 429, force="true") == {"detail": "rate_limited"}
    get(client, force=1, market="futures")
    exchange.now += 2

    assert get(client, force=1)["cached"] is False
    assert len(exchange.asked) == 6


def test_force_from_elsewhere_is_its_own(exchange: Exchange) -> None:
    exchange.top.force_allowed("10.0.0.1", "spot")

    exchange.top.force_allowed("10.0.0.2", "spot")


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ({"exchange": "okx"}, 400, "unsupported exchange"),
        ({"market": "margin"}, 422, ["query", "market"]),
        ({"limit": 0}, 422, ["query", "limit"]),
        ({"limit": 201}, 422, ["query", "limit"]),
        ({"quote_asset": ""}, 422, ["query", "quote_asset"]),
        ({"quote_asset": "A" * 13}, 422, ["query", "quote_asset"]),
        ({"force": "maybe"}, 422, ["query", "force"]),
    ],
)
def test_odd_queries_are_refused(
    query: dict[str, Any], status: int, detail: object, client: Client, exchange: Exchange
) -> None:
    said = get(client, status, **query)["detail"]

    assert said == detail if status == 400 else said[0]["loc"] == detail
    assert exchange.asked == []


def test_the_market_must_be_named(client: Client) -> None:
    assert client.get(URL).status_code == 422


def test_those_who_ask_at_once_share_one_answer(exchange: Exchange) -> None:
    async def crowd() -> list[dict[str, Any]]:
        return await asyncio.gather(*(exchange.top.read(USDT) for _ in range(20)))

    answers = asyncio.run(crowd())

    assert len(exchange.asked) == 2
    assert {len(answer["items"]) for answer in answers} == {2}


def test_who_waits_for_one_that_leaves_asks_anew(exchange: Exchange) -> None:
    async def leave() -> dict[str, Any]:
        first = asyncio.ensure_future(exchange.top.read(USDT))
        second = asyncio.ensure_future(exchange.top.read(USDT))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert ids(asyncio.run(leave())) == ["ETHUSDT", "BTCUSDT"]


def test_threads_that_wait_for_the_exchange_are_few(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top_markets, "ROOM_SECONDS", 0.01)
    monkeypatch.setattr(exchange.top, "_room", threading.BoundedSemaphore(1))
    exchange.top._room.acquire()

    with pytest.raises(UpstreamError, match="busy"):
        exchange.top.read_in_thread(USDT)


def test_the_order_is_made_once_for_each_answer(exchange: Exchange) -> None:
    first, second = exchange.read(), exchange.read(Wish("spot", "USDT", 1))

    assert first["items"][0] is second["items"][0]
