"""Candles of Binance over HTTP: only closed ones, within the limits that the exchange states."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import httpx
import pytest
from asgiref.sync import async_to_sync

from ingest.binance import UnsupportedSeriesError
from ingest.gate import RateLimitedError, gate_answered, gate_limit, gate_wait
from ingest.history import closed_between
from ingest.models import ExchangeGate
from ingest.rest import BinanceRest, RestError
from market.candles import Candles
from market.series import SeriesId
from tests.ingest.inline import Inline

pytestmark = pytest.mark.django_db

SERIES = SeriesId.parse("binance:futures:BTC/USDT:1m")
START = 1_700_000_040
NOW = START + 600.0
Handler = Callable[[httpx.Request], httpx.Response]
T = TypeVar("T")


def row(minute: int, close: float = 1.0) -> list[Any]:
    """Return a row as the exchange gives it."""
    price = f"{close:.8f}"
    time = (START + 60 * minute) * 1000
    return [time, price, price, price, price, "2.0", time + 59_999, "2.0", 3, "1.0", "1.0", "0"]


def answering(*pages: Any, status: int = 200, headers: Any = None) -> Handler:
    """Return a server that gives these bodies one after another, the last one for ever."""
    left = list(pages)

    def handle(request: httpx.Request) -> httpx.Response:
        body = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(status, json=body, headers=headers)

    return handle


def asked(
    handler: Handler,
    work: Callable[[BinanceRest], Coroutine[Any, Any, T]],
    clock: Callable[[], float] = lambda: NOW,
) -> T:
    """Return what a client of this server is told."""

    async def ask() -> T:
        transport = httpx.MockTransport(handler)
        async with httpx.AsyncClient(transport=transport, base_url="https://test") as client:
            return await work(BinanceRest("futures", client, Inline(), clock))

    return async_to_sync(ask)()


def klines(handler: Handler, first: int, last: int) -> Candles:
    return asked(
        handler, lambda rest: closed_between(rest, SERIES, START + 60 * first, START + 60 * last)
    )


def minutes(candles: Candles) -> list[int]:
    return [(time - START) // 60 for time in candles.time.tolist()]


def test_a_candle_that_still_forms_is_left_out() -> None:
    """Row 23 of the feeds' faults."""
    assert minutes(klines(answering([row(8), row(9), row(10)], []), 8, 30)) == [8, 9]


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([[]], []),
        ([[row(1), row(2)], [row(1), row(2)], []], [1, 2]),
        ([[row(1), row(2)]] * 3, [1, 2]),
        ([[row(3), row(1), row(2), row(1)], []], [1, 2, 3]),
        ([[row(-5), row(2), row(7)], []], [2]),
        ([[row(1), "junk", None, [1], row(2)], []], [1, 2]),
    ],
    ids=["empty", "repeated", "repeated for ever", "unsorted", "out of range", "junk"],
)
def test_odd_pages_end_and_give_the_right_rows(pages: list[Any], expected: list[int]) -> None:
    """Row 24 of the feeds' faults."""
    assert minutes(klines(answering(*pages), 1, 6)) == expected


def test_pages_follow_each_other_until_the_end() -> None:
    seen = []

    def handle(request: httpx.Request) -> httpx.Response:
        start = (int(request.url.params["startTime"]) // 1000 - START) // 60
        seen.append(start)
        return httpx.Response(200, json=[row(n) for n in range(start, min(start + 3, 10))])

    assert minutes(klines(handle, 0, 8)) == list(range(9))
    assert seen == [0, 3, 6]


def test_numbers_are_the_doubles_of_their_text() -> None:
    candles = klines(answering([row(1, 60759.65)], []), 1, 1)

    assert candles.rows()[0] == (START + 60, 60759.65, 60759.65, 60759.65, 60759.65, 2.0)


def test_a_symbol_that_does_not_exist_is_named() -> None:
    """Row 43 of the feeds' faults."""
    unknown = answering({"code": -1121, "msg": "Invalid symbol."}, status=400)

    with pytest.raises(UnsupportedSeriesError, match=r"Invalid symbol.*BTCUSDT"):
        klines(unknown, 1, 2)


@pytest.mark.parametrize(
    "handler",
    [
        answering({"code": -1, "msg": "down"}, status=503),
        answering({"rows": []}),
        lambda request: httpx.Response(200, text="<html>"),
        lambda request: (_ for _ in ()).throw(httpx.ConnectError("refused")),
    ],
    ids=["5xx", "no list", "no JSON", "refused"],
)
def test_an_exchange_that_does_not_answer_is_an_error_in_words(handler: Handler) -> None:
    with pytest.raises(RestError):
        klines(handler, 1, 2)


def test_after_429_nobody_asks_until_the_time_is_over() -> None:
    """Row 21 of the feeds' faults."""
    calls = []

    def limited(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(429, json={}, headers={"Retry-After": "7"})

    for _ in range(2):
        with pytest.raises(RateLimitedError) as caught:
            klines(limited, 1, 2)

    assert (len(calls), caught.value.wait) == (1, 7.0)
    assert gate_wait("binance", "futures", NOW + 6.9) > 0
    assert gate_wait("binance", "futures", NOW + 7.1) == 0
    assert gate_wait("binance", "spot", NOW) == 0


@pytest.mark.parametrize(
    ("status", "headers", "waits"),
    [
        (429, {}, [60, 60]),
        (418, {}, [120, 240]),
        (418, {"retry-after": "9"}, [9, 9]),
        (403, {}, [300, 300]),
    ],
)
def test_each_refusal_has_its_wait(status: int, headers: Any, waits: list[int]) -> None:
    """Row 22 of the feeds' faults: what the gate shows."""
    for wait in waits:
        with pytest.raises(RateLimitedError) as caught:
            gate_answered("binance", "spot", status, headers, NOW)
        assert caught.value.wait == wait
    assert ExchangeGate.objects.get().blocked_why == f"HTTP {status}"


def test_an_answer_ends_the_doubling_of_bans() -> None:
    for _ in range(2):
        with pytest.raises(RateLimitedError):
            gate_answered("binance", "spot", 418, {}, NOW)
    gate_answered("binance", "spot", 200, {}, NOW + 300)
    with pytest.raises(RateLimitedError) as caught:
        gate_answered("binance", "spot", 418, {}, NOW + 400)

    assert caught.value.wait == 120


def test_nobody_asks_above_80_percent_of_the_weight_of_a_minute() -> None:
    gate_limit("binance", "futures", 1000)
    minute = NOW // 60 * 60
    gate_answered("binance", "futures", 200, {"x-mbx-used-weight-1m": "799"}, minute + 10)
    assert gate_wait("binance", "futures", minute + 11) == 0

    gate_answered("binance", "futures", 200, {"x-mbx-used-weight-1m": "800"}, minute + 12)

    assert gate_wait("binance", "futures", minute + 15) == 45
    assert gate_wait("binance", "futures", minute + 60) == 0


INFO = {
    "serverTime": 5,
    "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "limit": 2400}],
    "symbols": [
        {"symbol": "BTCUSDT", "status": "TRADING"},
        {"symbol": "OLDUSDT", "status": "BREAK"},
    ],
}


def test_only_symbols_that_trade_are_followed() -> None:
    asked(answering(INFO), lambda rest: rest.require_listed(SERIES))
    assert ExchangeGate.objects.get().limit_1m == 2400
    gone = SeriesId.parse("binance:futures:OLD/USDT:1m")

    with pytest.raises(UnsupportedSeriesError, match="does not list OLDUSDT"):
        asked(answering(INFO), lambda rest: rest.require_listed(gone))


@pytest.mark.parametrize("ahead", [-300.0, -10.0, 0.0, 10.0, 300.0])
def test_what_is_closed_is_judged_by_the_clock_of_the_exchange(ahead: float) -> None:
    """Row 38 of the feeds' faults."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/fapi/v1/time":
            return httpx.Response(200, json={"serverTime": int((NOW + ahead) * 1000)})
        return httpx.Response(200, json=[row(n) for n in range(30)])

    async def both(rest: BinanceRest) -> Candles:
        await rest.sync_clock()
        return await closed_between(rest, SERIES, START, START + 60 * 29)

    closed = int(NOW + ahead - START) // 60
    assert minutes(asked(handle, both)) == list(range(closed))


@pytest.mark.parametrize("back", [0.0, 0.4, 2.0])
def test_a_slow_answer_about_the_time_closes_no_candle_early(back: float) -> None:
    """The answer has been under way for any part of the round trip, also for all of it."""
    ours = [NOW - 2.5]

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/fapi/v1/time":
            there = ours[0] = ours[0] + 2.0 - back
            ours[0] += back
            return httpx.Response(200, json={"serverTime": int(there * 1000)})
        return httpx.Response(200, json=[row(n) for n in range(30)])

    async def both(rest: BinanceRest) -> Candles:
        await rest.sync_clock()
        assert rest.now() <= ours[0]
        return await closed_between(rest, SERIES, START, START + 60 * 29)

    # It is half a second before the end of candle 9.
    assert minutes(asked(handle, both, lambda: ours[0])) == list(range(9))


def test_questions_take_turns() -> None:
    at_once, most = [0], [0]

    async def handle(request: httpx.Request) -> httpx.Response:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        await asyncio.sleep(0.01)
        at_once[0] -= 1
        return httpx.Response(200, json=[])

    async def many(rest: BinanceRest) -> None:
        await asyncio.gather(*(closed_between(rest, SERIES, START, START + 60) for _ in range(5)))

    asked(handle, many)  # type: ignore[arg-type]
    assert most == [1]
