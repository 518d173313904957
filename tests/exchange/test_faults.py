"""Faults of connections, of REST and of the clock: each does what it says."""

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from tests.exchange import pages
from tests.exchange.faults import (
    KINDS,
    ClockOff,
    CloseAll,
    CloseAtOnce,
    Drip,
    DropAll,
    FaultBook,
    HalfOpen,
    HandshakeStatus,
    NoHandshake,
    NoPongs,
    Refuse,
    RestDown,
    RestPage,
    RestSlow,
    RestStatus,
    Shutdown,
    Silence,
    Unreachable,
    from_record,
)
from tests.exchange.rules import RULES
from tests.exchange.script import MAKERS, script
from tests.exchange.server import Exchange
from tests.exchange.stories import (
    BUSY,
    BUSY_STREAM,
    STREAM,
    busy_exchange,
    closes,
    get,
    heard,
    listening,
    next_event,
    nothing_comes,
    play,
    played,
)

PAGE = {"symbol": BUSY, "interval": "1m", "limit": 20}


async def closing_code(socket: Any) -> int | None:
    """Return the code of the closing frame, once the connection has ended."""
    try:
        while True:
            await asyncio.wait_for(socket.recv(), 5)
    except ConnectionClosed as ended:
        return None if ended.rcvd is None else ended.rcvd.code


# At the door.


def test_refused_connections_are_counted() -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(Refuse(times=2))
        for _ in range(2):
            with pytest.raises((OSError, InvalidMessage, ConnectionClosed)):
                await connect(exchange.url("futures") + f"/market/ws/{STREAM}")
        async with connect(exchange.url("futures") + f"/market/ws/{STREAM}"):
            pass

    log = played(story).log
    assert (log.count("attempt"), log.count("refused"), log.count("opened")) == (3, 2, 1)


def test_nobody_listens_for_a_while() -> None:
    async def story(exchange: Exchange) -> None:
        port = exchange.doors["futures"]
        exchange.inject(Unreachable(door="futures", seconds=30))
        await exchange.advance(1)
        with pytest.raises(ConnectionRefusedError):
            await connect(exchange.url("futures") + f"/market/ws/{STREAM}")
        await exchange.advance(30)
        async with listening(exchange):
            assert exchange.doors["futures"] == port

    played(story)


def test_a_hand_shake_is_never_answered() -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(NoHandshake())
        with pytest.raises(TimeoutError):
            await connect(exchange.url("spot") + f"/ws/{STREAM}", open_timeout=0.1)

    assert not played(story).log.count("opened")


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_hand_shake_is_answered_with_a_status(status: int) -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(HandshakeStatus(status=status, retry_after=7))
        with pytest.raises(InvalidStatus) as refused:
            await connect(exchange.url("spot") + f"/ws/{STREAM}")
        assert refused.value.response.status_code == status
        assert refused.value.response.headers["Retry-After"] == "7"

    played(story)


# Of one connection.


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012])
def test_a_connection_is_closed_at_once_with_a_code(code: int) -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(CloseAtOnce(code=code))
        async with connect(exchange.url("spot") + f"/ws/{STREAM}") as socket:
            assert await closing_code(socket) == code

    played(story)


@pytest.mark.parametrize("acknowledge", [True, False])
def test_a_silent_connection_brings_no_candle(acknowledge: bool) -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(Silence(acknowledge=acknowledge))
        async with connect(exchange.url("futures") + "/market/ws") as socket:
            await socket.send(json.dumps({"method": "SUBSCRIBE", "params": [STREAM], "id": 1}))
            if acknowledge:
                assert await next_event(socket) == {"result": None, "id": 1}
            await exchange.advance(130)
            await nothing_comes(socket)
            await asyncio.wait_for(await socket.ping(), 5)

    played(story)


def test_a_half_open_connection_answers_nothing_and_stays() -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(HalfOpen(after=2))
        async with listening(exchange, BUSY_STREAM) as socket:
            await exchange.advance(130)
            assert len(await heard(socket)) == 2
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(await socket.ping(), 0.1)
            assert len(exchange.connections) == 1

    play(story, busy_exchange())


def test_pings_are_not_answered_while_candles_flow() -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(NoPongs())
        async with listening(exchange, BUSY_STREAM) as socket:
            pong = asyncio.ensure_future(await socket.ping())
            await exchange.advance(70)
            assert closes(await heard(socket))
            assert not pong.done()
            pong.cancel()

    play(story, busy_exchange())


def test_frames_trickle() -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(Drip(size=32, pause=0.01))
        async with listening(exchange, BUSY_STREAM) as socket:
            began = time.monotonic()
            await exchange.advance(1.5)
            event = await next_event(socket)
        assert event["k"]["s"] == BUSY
        assert time.monotonic() - began > 0.05

    play(story, busy_exchange())


# Of all connections.


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012])
def test_every_connection_is_closed_with_a_code(code: int) -> None:
    async def story(exchange: Exchange) -> None:
        async with listening(exchange) as one, listening(exchange) as other:
            exchange.inject(CloseAll(at=10, code=code))
            await exchange.advance(11)
            assert [await closing_code(socket) for socket in (one, other)] == [code, code]

    exchange = played(story)
    assert exchange.log.count("ended", sent=code) == 2


def test_every_connection_breaks_at_once() -> None:
    async def story(exchange: Exchange) -> None:
        async with listening(exchange) as one, listening(exchange) as other:
            exchange.inject(DropAll())
            await exchange.advance(1)
            assert [await closing_code(socket) for socket in (one, other)] == [None, None]

    played(story)


def test_spot_says_that_it_shuts_down_before_it_does() -> None:
    async def story(exchange: Exchange) -> None:
        async with connect(exchange.url("spot") + "/ws") as socket:
            await exchange.until("opened")
            exchange.inject(Shutdown(venue="spot", grace=5))
            await exchange.advance(1)
            assert (await next_event(socket))["e"] == "serverShutdown"
            await exchange.advance(5)
            assert await closing_code(socket) == 1001

    played(story)


# What the exchange demands.


def test_a_connection_ends_after_24_hours() -> None:
    async def story(exchange: Exchange) -> None:
        exchange.rules["futures"] = replace(RULES["futures"], lifetime=3600)
        async with listening(exchange) as socket:
            await exchange.advance(3601)
            assert await closing_code(socket) == 1001

    assert RULES["futures"].lifetime == RULES["spot"].lifetime == 24 * 3600
    played(story)


@pytest.mark.parametrize(("door", "seconds"), [("futures", 180), ("spot", 20)])
def test_the_exchange_pings_as_documented(door: str, seconds: int) -> None:
    async def story(exchange: Exchange) -> None:
        async with connect(exchange.url(door) + ("/ws" if door == "spot" else "/market/ws")):
            await exchange.until("opened")
            await exchange.advance(seconds + 1)
            await exchange.until("pong", venue=door)

    exchange = played(story)
    (pong,) = exchange.log.of("pong", door)
    assert pong.time - exchange.clock.start == pytest.approx(seconds, abs=1.1)


def test_a_client_without_pongs_is_closed() -> None:
    async def story(exchange: Exchange) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", exchange.doors["spot"])
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await exchange.until("opened")
        await exchange.advance(81)
        await exchange.until("ended")
        writer.close()
        assert b"Pong timeout" in await reader.read()

    assert played(story).log.count("breach", "spot", rule="pong") == 1


def test_a_client_that_says_too_much_is_closed() -> None:
    async def story(exchange: Exchange) -> None:
        async with connect(exchange.url("spot") + "/ws") as socket:
            for number in range(6):
                await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
            assert await closing_code(socket) == 1008

    assert played(story, speed=1.0).log.count("breach", rule="messages") == 1


# Of REST.


@pytest.mark.parametrize(("status", "retry"), [(429, 7), (418, 120), (403, None), (503, None)])
def test_rest_answers_with_a_status(status: int, retry: int | None) -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(RestStatus(status=status, retry_after=retry))
        answer = await get(exchange, "/fapi/v1/klines", **PAGE)
        assert answer.status_code == status
        assert answer.headers.get("Retry-After") == (retry and str(retry))
        assert (await get(exchange, "/fapi/v1/klines", **PAGE)).status_code == 200

    log = play(story, busy_exchange()).log
    assert [entry.facts["status"] for entry in log.of("rest")] == [status, 200]


def test_rest_is_down_while_the_stream_goes_on() -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(RestDown(times=None, seconds=60))
        async with listening(exchange, BUSY_STREAM) as socket:
            with pytest.raises(httpx.TransportError):
                await get(exchange, "/fapi/v1/klines", **PAGE)
            await exchange.advance(65)
            assert closes(await heard(socket))
        assert (await get(exchange, "/fapi/v1/klines", **PAGE)).status_code == 200

    play(story, busy_exchange())


def test_rest_is_slow() -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(RestSlow(delay=0.3, path="time"))
        began = time.monotonic()
        await get(exchange, "/fapi/v1/klines", **PAGE)
        assert not exchange.log.count("fault")
        await get(exchange, "/fapi/v1/time")
        assert time.monotonic() - began > 0.3

    play(story, busy_exchange())


def rows_of(kind: str) -> tuple[Any, Any, Any]:
    """Return an earlier page, a right one, and the same with something wrong."""
    got: list[Any] = []

    async def story(exchange: Exchange) -> None:
        start = int(exchange.clock.start - 3600) * 1000
        for query in ({"startTime": start}, {}):
            got.append((await get(exchange, "/fapi/v1/klines", **PAGE, **query)).json())
        await get(exchange, "/fapi/v1/klines", **PAGE, startTime=start)
        exchange.inject(RestPage(kind=kind))
        got.append((await get(exchange, "/fapi/v1/klines", **PAGE)).json())

    play(story, busy_exchange())
    before, right, wrong = got
    return before, right, wrong


@pytest.mark.parametrize("kind", sorted(pages.KINDS))
def test_a_page_has_something_wrong(kind: str) -> None:
    before, right, wrong = rows_of(kind)
    assert wrong != right
    assert len(right) == 20
    assert wrong == pages.KINDS[kind](right, before, 60_000) or kind == "nan"


def test_wrong_pages_are_wrong_as_their_names_say() -> None:
    before, right, repeated = rows_of("repeated")
    assert repeated == before
    _, right, unsorted = rows_of("unsorted")
    assert unsorted != right == sorted(unsorted)
    _, right, far = rows_of("out_of_range")
    assert far[1:-1] == right
    assert (far[0][0], far[-1][0]) == (right[0][0] - 6e7, right[-1][0] + 6e7)
    assert rows_of("empty")[2] == []


def test_rest_refuses_more_weight_than_a_minute_has() -> None:
    async def story(exchange: Exchange) -> None:
        for _ in range(61):
            answer = await get(exchange, "/fapi/v1/ticker/24hr")
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "60"
        await exchange.advance(60)
        assert (await get(exchange, "/fapi/v1/ticker/24hr")).status_code == 200

    play(story, busy_exchange())


# The clock, and scripts.


def test_the_local_clock_is_off() -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(ClockOff(at=5, offset=-300))
        assert exchange.clock.local() == exchange.clock.now()
        await exchange.advance(6)
        assert exchange.clock.local() == exchange.clock.now() + 300
        said = (await get(exchange, "/fapi/v1/time")).json()["serverTime"]
        assert said == (exchange.clock.start + 6) * 1000

    played(story)


def test_a_fault_strikes_in_its_time_as_often_as_it_may_and_whom_it_should() -> None:
    book = FaultBook()
    book.add(Refuse(times=2, seconds=10, venue="spot"), 100.0)
    moments = [
        (99.0, "spot"),
        (101.0, "futures"),
        (101.0, "spot"),
        (102.0, "spot"),
        (103.0, "spot"),
    ]
    assert [bool(book.take(Refuse, *moment)) for moment in moments] == [False] * 2 + [True] * 2 + [
        False
    ]
    book.add(Refuse(times=None, seconds=10), 100.0)
    assert book.take(Refuse, 109.0)
    assert book.take(Refuse, 110.0) is None


def test_a_script_follows_from_its_seed_and_every_fault_can_be_written_down() -> None:
    assert script(3) == script(3) != script(4)
    many = script(1, many=600)
    assert [from_record(fault.record()) for fault in many] == many
    assert {type(fault).__name__ for fault in many} == set(KINDS) - {"ClockOff"}
    assert len(MAKERS) > 20


def test_a_market_survives_a_script_of_faults() -> None:
    async def story(exchange: Exchange) -> None:
        for fault in script(5, seconds=1800, many=60):
            exchange.inject(fault)
        for _ in range(40):
            try:
                async with connect(
                    exchange.url("futures") + f"/market/ws/{BUSY_STREAM}",
                    max_queue=None,
                    max_size=None,
                    open_timeout=0.1,
                    close_timeout=0.1,
                ):
                    await exchange.advance(60)
            except (OSError, TimeoutError, InvalidMessage, InvalidStatus):
                await exchange.advance(60)
        exchange.book.clear()
        async with listening(exchange, BUSY_STREAM) as socket:
            await exchange.advance(605)
            assert len(set(closes(await heard(socket)))) >= 9

    play(story, busy_exchange())
