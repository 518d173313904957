"""What the recorded messages show, and that the exchange plays them as they were."""

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.exchange import wire
from tests.exchange.clock import Clock
from tests.exchange.server import Exchange
from tests.exchange.stories import BUSY_STREAM, busy_exchange, get, heard, listening, play

KLINES = ("futures_kline", "spot_kline", "other_venues_kline")
KEYS = ["t", "T", "s", "i", "f", "L", "o", "c", "h", "l", "v", "n", "x", "q", "V", "Q", "B"]
BOUNDARY = "futures_mixed_minute_boundary"


def candles(*names: str) -> list[tuple[wire.Recorded, dict[str, Any]]]:
    """Return the kline frames of these files with their events."""
    found = [frame for name in names for frame in wire.frames(name)]
    return [(frame, frame.event) for frame in found if frame.kind == "kline"]


def by_symbol(*names: str) -> dict[str, list[dict[str, Any]]]:
    """Return the kline events of each venue and symbol, in order."""
    found = defaultdict(list)
    for frame, event in candles(*names):
        found[f"{frame.venue} {event['s']}"].append(event)
    return found


def assert_shape(event: dict[str, Any]) -> None:
    """Assert that a kline event has the fields of the exchange, with their types."""
    candle = event["k"]
    assert list(event) == ["e", "E", "s", "k"]
    assert list(candle) == KEYS
    assert (event["e"], event["s"]) == ("kline", candle["s"])
    assert all(type(candle[key]) is int for key in "tTfLn")
    assert all(type(candle[key]) is str for key in "siochlvqVQB")
    assert type(candle["x"]) is bool
    low, high = float(candle["l"]), float(candle["h"])
    assert low <= min(float(candle["o"]), float(candle["c"]))
    assert high >= max(float(candle["o"]), float(candle["c"]))
    assert candle["n"] == (candle["L"] - candle["f"] + 1 if candle["f"] >= 0 else 0)


def test_recorded_frames_have_the_shape_and_end_one_millisecond_before_the_next() -> None:
    for _, event in candles(*KLINES):
        assert_shape(event)
        assert event["k"]["T"] == event["k"]["t"] + 59_999


def test_made_frames_have_the_shape_of_recorded_ones() -> None:
    async def story(exchange: Exchange) -> None:
        async with listening(exchange, BUSY_STREAM, "busyusdt@kline_5m") as socket:
            await exchange.advance(330)
            events = await heard(socket)
        assert len(events) > 20
        for event in events:
            assert_shape(event)
        assert all(b["E"] >= a["E"] for a, b in pairwise(events))

    play(story, busy_exchange())


def test_closing_frames_are_late_and_come_before_the_next_candle() -> None:
    late = sorted(e["E"] - e["k"]["T"] for _, e in candles("futures_kline") if e["k"]["x"])
    assert late == [204, 792, 2004, 2005]
    for events in by_symbol("futures_kline").values():
        times = [event["k"]["t"] for event in events]
        closing = next(k for k, event in enumerate(events) if event["k"]["x"])
        assert set(times[: closing + 1]) == {times[0]}
        assert set(times[closing + 1 :]) <= {times[0] + 60_000}


def test_a_symbol_without_trades_is_silent_on_futures() -> None:
    gaps = [
        b["E"] - a["E"]
        for events in by_symbol("futures_kline").values()
        for a, b in pairwise(events)
    ]
    assert max(gaps) > 10_000
    assert min(gaps) == 279


def test_other_venues_tell_of_candles_without_a_trade() -> None:
    idle = [event["k"] for _, event in candles("other_venues_kline") if not event["k"]["n"]]
    assert idle
    for candle in idle:
        assert (candle["f"], candle["L"], float(candle["v"])) == (-1, -1, 0)
        assert len({candle[key] for key in "ohlc"}) == 1


def test_clocks_disagree() -> None:
    apart = [round(f.received * 1000 - e["E"]) for f, e in candles(*KLINES)]
    assert min(apart) < 0
    assert max(apart) > 4000


@pytest.mark.parametrize("name", KLINES)
def test_event_times_and_trades_never_go_back(name: str) -> None:
    for events in by_symbol(name).values():
        for a, b in pairwise(events):
            assert b["E"] >= a["E"]
            assert a["k"]["t"] != b["k"]["t"] or b["k"]["L"] >= a["k"]["L"]


def test_trades_of_the_second_minute_give_the_recorded_candles() -> None:
    trades = [frame.event for frame in wire.frames("futures_agg_trade")]
    second = max(event["k"]["t"] for _, event in candles("futures_kline"))
    same = 0
    for _, event in candles("futures_kline"):
        candle = event["k"]
        parts = [t for t in trades if t["s"] == event["s"] and candle["f"] <= t["f"]]
        parts = [t for t in parts if t["l"] <= candle["L"]]
        if candle["t"] != second or not parts or parts[-1]["l"] != candle["L"]:
            continue
        prices = [float(t["p"]) for t in parts]
        assert (prices[0], prices[-1]) == (float(candle["o"]), float(candle["c"]))
        assert (max(prices), min(prices)) == (float(candle["h"]), float(candle["l"]))
        assert sum(float(t["q"]) for t in parts) == pytest.approx(float(candle["v"]))
        same += 1
    assert same == 15


def test_the_last_row_of_recorded_rest_is_forming_and_opens_may_jump() -> None:
    (body,) = (
        r["body"] for r in wire.rows("rest_klines") if r.get("endpoint", "").endswith("v3/klines")
    )
    assert body[-1][8] == 7
    jumps = [(a[4], b[1]) for a, b in pairwise(body) if a[4] != b[1]]
    assert ("60759.65000000", "60762.99000000") in jumps


def test_recorded_exchange_info_is_old_and_scales_differ() -> None:
    futures, spot = wire.exchange_info("futures"), wire.exchange_info("spot")
    assert 36 < (futures["recv_s"] - futures["serverTime"] / 1000) / 3600 < 38
    assert spot["rateLimits"][0]["limit"] == 1200
    texts = {e["k"]["v"] for _, e in candles("futures_kline")}
    assert "3917" in texts
    assert all(len(e["k"]["c"].partition(".")[2]) == 8 for _, e in candles("spot_kline"))


def recorded_exchange() -> tuple[Exchange, list[wire.Recorded]]:
    """Return an exchange of the recorded futures symbols, and the frames of the boundary."""
    frames = wire.frames(BOUNDARY)
    market = wire.recorded_market(*wire.frames("futures_kline"))
    return Exchange(market, Clock(frames[0].received)), frames


def test_recorded_frames_are_played_byte_for_byte_to_a_combined_stream() -> None:
    exchange, frames = recorded_exchange()

    async def story(exchange: Exchange) -> None:
        async with connect(exchange.url("futures") + "/market/stream", max_queue=None) as socket:
            await exchange.until("opened")
            exchange.replay(frames, everything=True)
            await exchange.advance(0.5)
            some = len(await heard(socket))
            await exchange.advance(5)
            rest = await heard(socket)
        assert 0 < some < len(frames)
        assert [json.loads(frame.raw) for frame in frames[some:]] == rest

    play(story, exchange)


def test_a_raw_stream_carries_recorded_events_of_its_own_without_wrapper() -> None:
    exchange, frames = recorded_exchange()

    async def story(exchange: Exchange) -> None:
        async with listening(exchange, "sushiusdt@kline_1m") as socket:
            exchange.replay(frames, faster=100)
            await exchange.advance(5)
            events = await heard(socket)
        assert [f.event for f in frames if f.stream == "sushiusdt@kline_1m"] == events

    play(story, exchange)


def test_rest_of_a_recorded_market_has_the_recorded_closes() -> None:
    exchange, _ = recorded_exchange()
    (closed,) = (
        event["k"]
        for _, event in candles("futures_kline")
        if event["k"]["x"] and event["s"] == "SUSHIUSDT"
    )

    async def story(exchange: Exchange) -> None:
        await exchange.advance(5)
        query = {"symbol": "SUSHIUSDT", "interval": "1m"}
        rows = (await get(exchange, "/fapi/v1/klines", **query)).json()
        assert rows[0][:6] == [closed["t"], *(closed[key] for key in "ohlcv")]
        assert len(rows) == 2

    play(story, exchange)
