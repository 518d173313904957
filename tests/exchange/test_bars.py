"""Bars as the streams tell of them, and what can be wrong with them."""

import asyncio
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.exchange import poison
from tests.exchange.faults import (
    Burst,
    CloseAfterNext,
    Corrected,
    Fault,
    LateClose,
    LostClose,
    NeverClosing,
    OldFrames,
    Poison,
    Quiet,
    SkippedBar,
    TwiceClose,
)
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
    play,
    played,
)

Events = list[dict[str, Any]]
MINUTE = 60


def told(fault: Fault | None, seconds: float, *, stream: str = BUSY_STREAM) -> tuple[Events, int]:
    """Return what a stream tells in that time, the fault in play, and when it began."""
    events: Events = []

    async def story(exchange: Exchange) -> None:
        async with listening(exchange, stream) as socket:
            if fault:
                exchange.inject(fault)
            await exchange.advance(seconds)
            events.extend(await heard(socket))

    exchange = play(story, busy_exchange())
    return events, int(exchange.clock.start)


def test_each_bar_forms_and_closes_before_the_next_begins() -> None:
    events, start = told(None, 5 * MINUTE + 5)

    assert closes(events) == [start + k * MINUTE for k in range(-1, 5)]
    closed: set[int] = set()
    for event in events:
        candle = event["k"]
        assert candle["t"] not in closed
        assert event["E"] >= candle["t"]
        closed |= {candle["t"]} if candle["x"] else set()
    assert [e["E"] for e in events] == sorted(e["E"] for e in events)


def test_a_closing_frame_is_as_late_as_the_recorded_ones() -> None:
    events, _ = told(None, 20 * MINUTE)
    late = [event["E"] - event["k"]["T"] for event in events if event["k"]["x"]]
    assert all(150 <= ms <= 2006 for ms in late)
    assert {ms > 2000 for ms in late} == {True, False}


def test_a_late_close_comes_before_anything_of_the_next_bar() -> None:
    events, start = told(LateClose(at=30, delay=20.0), 2 * MINUTE + 5)
    first = next(event for event in events if event["k"]["t"] == (start + MINUTE) * 1000)
    close = next(e for e in events if e["k"]["x"] and e["k"]["t"] == start * 1000)
    assert close["E"] - close["k"]["T"] > 20_000
    assert events.index(close) < events.index(first)


def test_a_lost_close_is_followed_by_the_next_bar() -> None:
    events, start = told(LostClose(at=30), 2 * MINUTE + 5)
    assert closes(events) == [start - MINUTE, start + MINUTE]


def test_a_close_comes_twice() -> None:
    events, start = told(TwiceClose(at=30), 2 * MINUTE + 5)
    assert closes(events) == [start - MINUTE, start, start, start + MINUTE]


def test_a_close_comes_after_the_first_frame_of_the_next_bar() -> None:
    events, start = told(CloseAfterNext(at=30), 2 * MINUTE + 5)
    times = [event["k"]["t"] // 1000 for event in events]
    assert closes(events) == [start - MINUTE, start, start + MINUTE]
    assert times.index(start + MINUTE) < max(
        k for k, event in enumerate(events) if event["k"]["x"] and times[k] == start
    )


def test_a_correction_is_told_and_is_what_rest_says_from_then_on() -> None:
    async def story(exchange: Exchange) -> None:
        async with listening(exchange, BUSY_STREAM) as socket:
            exchange.inject(Corrected(at=30, delay=5.0, change=0.05))
            await exchange.advance(90)
            events = await heard(socket)
        start = int(exchange.clock.start) * 1000
        query = {"symbol": BUSY, "interval": "1m", "startTime": start, "limit": 1}
        row = (await get(exchange, "/fapi/v1/klines", **query)).json()[0]

        said = [e["k"]["c"] for e in events if e["k"]["x"] and e["k"]["t"] == start]
        assert len(said) == 2
        assert said[0] != said[1] == row[4]

    play(story, busy_exchange())


def test_a_skipped_bar_is_known_to_rest_alone() -> None:
    events, start = told(SkippedBar(at=30), 3 * MINUTE + 5)
    assert closes(events) == [start - MINUTE, start, start + 2 * MINUTE]
    assert start + MINUTE not in {event["k"]["t"] // 1000 for event in events}


def test_a_hidden_bar_comes_to_rest_after_a_while() -> None:
    async def story(exchange: Exchange) -> None:
        start = int(exchange.clock.start)
        query = {"symbol": BUSY, "interval": "1m", "startTime": start * 1000, "limit": 3}
        exchange.inject(SkippedBar(hidden=600))
        async with listening(exchange, BUSY_STREAM) as socket:
            await exchange.advance(3 * MINUTE)
            rows = (await get(exchange, "/fapi/v1/klines", **query)).json()
            assert [row[0] // 1000 - start for row in rows] == [60, 120, 180]
            await exchange.advance(9 * MINUTE)
            rows = (await get(exchange, "/fapi/v1/klines", **query)).json()
            assert [row[0] // 1000 - start for row in rows] == [0, 60, 120]
            assert start not in closes(await heard(socket))

    play(story, busy_exchange())


def test_a_longer_bar_closes_though_nobody_trades_in_its_last_minute() -> None:
    events: Events = []

    async def story(exchange: Exchange) -> None:
        async with listening(exchange, BUSY_STREAM, "busyusdt@kline_5m") as socket:
            exchange.inject(Quiet(seconds=20 * MINUTE, venue="futures"))
            await exchange.advance(10 * MINUTE + 5)
            events.extend(await heard(socket))

    start = int(play(story, busy_exchange()).clock.start)
    longer = [event for event in events if event["k"]["i"] == "5m"]
    assert closes(longer) == [start - 5 * MINUTE, start]
    assert start in closes([event for event in events if event["k"]["i"] == "1m"])


def test_a_bar_that_never_closes_goes_on_forming() -> None:
    events, start = told(NeverClosing(at=30), 5 * MINUTE)
    assert closes(events) == [start - MINUTE]
    assert {event["k"]["t"] // 1000 for event in events} == {start - MINUTE, start}
    assert events[-1]["E"] > (start + 4 * MINUTE) * 1000


def test_nobody_trades_in_a_quiet_market_and_rest_gives_bars_without_a_trade() -> None:
    async def story(exchange: Exchange) -> None:
        async with listening(exchange, BUSY_STREAM) as socket:
            exchange.inject(Quiet(seconds=600))
            await exchange.advance(590)
            events = await heard(socket)
        start = int(exchange.clock.start)
        query = {"symbol": BUSY, "interval": "1m", "startTime": start * 1000, "limit": 10}
        rows = (await get(exchange, "/fapi/v1/klines", **query)).json()

        assert max(event["k"]["t"] // 1000 for event in events) == start
        assert [row[8] > 0 for row in rows] == [True] + [False] * 9
        assert {text for row in rows[1:] for text in row[1:5]} == {rows[0][4]}

    play(story, busy_exchange())


def test_on_spot_a_bar_without_a_trade_is_told_when_it_closes() -> None:
    async def story(exchange: Exchange) -> None:
        exchange.inject(Quiet(seconds=600))
        await exchange.advance(1)
        listing = exchange.market.listings["spot", BUSY]
        (step,) = listing.steps(int(exchange.clock.start) + MINUTE)
        bar = listing.bar(int(exchange.clock.start) + MINUTE)
        assert step.final
        assert bar is not None
        assert (bar.trades, bar.volume) == (0, 0)

    play(story, busy_exchange())


def test_a_burst_tells_of_1440_closed_bars_at_once() -> None:
    events: Events = []

    async def story(exchange: Exchange) -> None:
        async with listening(exchange, BUSY_STREAM) as socket:
            exchange.inject(Burst(bars=1440, venue="futures"))
            await exchange.advance(0.05)
            events.extend(await heard(socket, pause=0.5))

    exchange = play(story, busy_exchange(history=1500))
    start = int(exchange.clock.start)
    assert closes(events) == [start - k * MINUTE for k in range(1440, 0, -1)]


def test_old_frames_come_first_to_a_new_connection() -> None:
    async def story(exchange: Exchange) -> None:
        await exchange.advance(62.5)
        exchange.inject(OldFrames(age=4.0))
        async with listening(exchange, BUSY_STREAM) as socket:
            events = await heard(socket)
        now = exchange.clock.now() * 1000
        assert closes(events) == [int(exchange.clock.start)]
        assert all(now - 4000 <= event["E"] <= now for event in events)

    play(story, busy_exchange())


@pytest.mark.parametrize("kind", sorted(poison.KINDS))
def test_a_poisoned_frame_comes_before_a_good_one(kind: str) -> None:
    async def story(exchange: Exchange) -> None:
        async with listening(exchange, BUSY_STREAM) as socket:
            exchange.inject(Poison(kind=kind))
            await exchange.advance(10)
            bad = await asyncio.wait_for(socket.recv(), 5)
            good = await next_event(socket)
        assert good["k"]["s"] == BUSY
        assert bad != json.dumps(good, separators=(",", ":"))
        assert isinstance(bad, bytes) == (kind == "binary")
        assert (len(bad) > 5_000_000) == (kind == "huge")

    play(story, busy_exchange())


def test_longer_intervals_are_made_of_the_same_bars() -> None:
    async def story(exchange: Exchange) -> None:
        async with listening(exchange, BUSY_STREAM, "busyusdt@kline_5m") as socket:
            await exchange.advance(5 * MINUTE + 5)
            events = await heard(socket)
        start = int(exchange.clock.start) * 1000
        ours = [e["k"] for e in events if e["k"]["x"] and e["k"]["t"] >= start]
        minutes = [candle for candle in ours if candle["i"] == "1m"]
        (five,) = (candle for candle in ours if candle["i"] == "5m")

        assert five["o"] == minutes[0]["o"]
        assert five["c"] == minutes[-1]["c"]
        assert float(five["h"]) == max(float(m["h"]) for m in minutes)
        assert float(five["v"]) == pytest.approx(sum(float(m["v"]) for m in minutes))
        assert five["n"] == sum(m["n"] for m in minutes) == five["L"] - five["f"] + 1

    play(story, busy_exchange())


def test_the_same_seed_gives_the_same_frames() -> None:
    def all_of(seed: int) -> Events:
        events: Events = []

        async def story(exchange: Exchange) -> None:
            async with listening(exchange, STREAM) as socket:
                await exchange.advance(600)
                events.extend(await heard(socket))

        played(story, seed=seed)
        return events

    assert all_of(1) == all_of(1) != all_of(2)


def test_bars_come_by_themselves_where_the_clock_runs() -> None:
    async def story(exchange: Exchange) -> None:
        async with listening(exchange, BUSY_STREAM) as socket:
            while len(times := closes([await next_event(socket)])) < 1:
                pass
            while times[-1] < exchange.clock.start + 40 * MINUTE:
                times += closes([await next_event(socket)])
        whole = list(range(times[0], times[-1] + 1, MINUTE))
        assert times == whole

    exchange = play(story, busy_exchange(speed=1200.0))
    assert exchange.log.count("pong")
    assert not exchange.log.count("breach")


def test_a_closed_exchange_ends_its_connections() -> None:
    async def main() -> None:
        async with Exchange.walking(history=10) as exchange, listening(exchange) as socket:
            await exchange.__aexit__(None, None, None)
            with pytest.raises(ConnectionClosed):
                await socket.recv()

    asyncio.run(main())
