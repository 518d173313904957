"""A small exchange on loopback that plays the bundled candles as a live feed.

It speaks as Binance futures does, streams and REST on one port, so that a demo goes through the
same supervisor, loop and pipeline as real feeds. Recorded candles hold no trades: between open and
close the price goes straight from open over both extremes to the close.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from market.candles import Candle, Candles
from market.clock import DemoClock

SYMBOL, INTERVAL, STEP = "BTCUSDT", "1m", 60
STREAM = "btcusdt@kline_1m"
FRAME_SECONDS = 0.25
MOST_ROWS = 1500


class Demo:
    """The exchange. `candles` are one-minute candles, ascending; `clock` says how far they are."""

    def __init__(self, candles: Candles, clock: DemoClock) -> None:
        self._candles, self._clock = candles, clock
        self.port = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["Demo"]:
        """Listen on a free port of loopback for the block."""
        quiet = logging.getLogger("tradecanvas.demo")
        quiet.setLevel(logging.WARNING)
        async with serve(
            self._play, "127.0.0.1", 0, process_request=self._respond, logger=quiet
        ) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            yield self

    @property
    def settings(self) -> dict[str, str]:
        """The settings that lead feeds here."""
        return {
            "TRADE_CANVAS_BINANCE_FUTURES_WS_BASE": f"ws://127.0.0.1:{self.port}/market",
            "TRADE_CANVAS_BINANCE_FUTURES_REST_BASE": f"http://127.0.0.1:{self.port}",
        }

    def now(self) -> float:
        """Return the time of the recording."""
        return self._clock.at(time.time())

    def has_ended(self) -> bool:
        """Say whether all candles were played."""
        return self.now() >= self._clock.last

    # Streams

    async def _play(self, connection: ServerConnection) -> None:
        """Tell of each candle as it forms and closes; messages of the client are acknowledged."""
        answering = asyncio.create_task(self._acknowledge(connection))
        try:
            told = self.now() // STEP * STEP
            while True:
                now = self.now()
                for frame in self._frames(told, now):
                    await connection.send(frame)
                told = now // STEP * STEP
                await asyncio.sleep(min(FRAME_SECONDS, STEP / self._clock.speed / 4))
        except ConnectionClosed:
            return
        finally:
            answering.cancel()

    async def _acknowledge(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in connection:
                said = orjson.loads(text)
                await connection.send(orjson.dumps({"result": None, "id": said.get("id")}).decode())

    def _frames(self, told: float, now: float) -> Iterable[str]:
        """Return the closes since the candle that was told of last, and the one that forms."""
        first, last = np.searchsorted(self._candles.time, [told, now // STEP * STEP])
        for candle in self._candles.take(slice(int(first), int(last))).rows():
            yield _frame(candle, now, is_closed=True)
        if last < len(self._candles) and self._candles.time[last] <= now:
            (candle,) = self._candles.take(slice(int(last), int(last) + 1)).rows()
            yield _frame(forming(candle, now), now, is_closed=False)

    # REST

    def _respond(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a plain request; None lets a stream be opened."""
        address = urlsplit(request.path)
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        if address.path == "/market/stream":
            return None
        if address.path == "/fapi/v1/time":
            return _json({"serverTime": int(self.now() * 1000)})
        if address.path == "/fapi/v1/exchangeInfo":
            return _json({"symbols": [{"symbol": SYMBOL, "status": "TRADING"}]})
        if address.path == "/fapi/v1/klines":
            return self._rows(query)
        return _json({"code": -1, "msg": "not in this demo"}, HTTPStatus.NOT_FOUND)

    def _rows(self, query: dict[str, str]) -> Response:
        if query.get("symbol") != SYMBOL or query.get("interval") != INTERVAL:
            said = {"code": -1121, "msg": "Invalid symbol."}
            return _json(said, HTTPStatus.BAD_REQUEST)
        start = int(query.get("startTime", 0)) // 1000
        end = min(int(query.get("endTime", 2**62)) / 1000, self.now())
        limit = min(int(query.get("limit", 500)), MOST_ROWS)
        first, last = np.searchsorted(self._candles.time, [start, end])
        found = self._candles.take(slice(int(first), min(int(last), int(first) + limit)))
        return _json([_row(forming(candle, self.now())) for candle in found.rows()])


def forming(candle: Candle, now: float) -> Candle:
    """Return what is known of a candle at a time: all of it when it is over."""
    part = (now - candle.candle_time) / STEP
    if part >= 1:
        return candle
    way = [candle.open, candle.low, candle.high, candle.close]
    if candle.close < candle.open:
        way[1:3] = candle.high, candle.low
    place = max(0.0, part) * (len(way) - 1)
    here = round(float(np.interp(place, range(len(way)), way)), max(map(_decimals, way)))
    seen = [*way[: int(place) + 1], here]
    volume = round(candle.volume * part, _decimals(candle.volume))
    return Candle(candle.candle_time, candle.open, max(seen), min(seen), here, volume)


def _decimals(number: float) -> int:
    """Return how many decimals a recorded number has.

    >>> _decimals(104063.2), _decimals(35.0)
    (1, 0)
    """
    digits = repr(number).partition(".")[2]
    return 0 if digits == "0" or "e" in digits else len(digits)


def _frame(candle: Candle, now: float, *, is_closed: bool) -> str:
    opened = candle.candle_time * 1000
    prices = {key: repr(value) for key, value in zip("ohlcv", candle[1:], strict=True)}
    bar = {"t": opened, "T": opened + STEP * 1000 - 1, "s": SYMBOL, "i": INTERVAL, "x": is_closed}
    event = {"e": "kline", "E": int(now * 1000), "s": SYMBOL, "k": bar | prices}
    return orjson.dumps({"stream": STREAM, "data": event}).decode()


def _row(candle: Candle) -> list[Any]:
    opened = candle.candle_time * 1000
    prices = [repr(value) for value in candle[1:]]
    return [opened, *prices, opened + STEP * 1000 - 1, "0", 0, "0", "0", "0"]


def _json(content: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    body = orjson.dumps(content)
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body))})
    headers["Connection"] = "close"
    return Response(status.value, status.phrase, headers, body)
