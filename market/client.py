"""A client of /ws/market for programs: an iterator of messages that outlives lost connections.

    async for message in watch("http://127.0.0.1:8000", "binance:futures:BTC/USDT:1m", since=0):
        if isinstance(message, Closed):
            print(message.candle)

It needs `websockets`, `pydantic` and `numpy`, and no server on the same machine.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from market.candles import Candle
from market.message_types import MESSAGE, CandleFields, Message

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
LARGEST_MESSAGE = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed candle; each comes once, in the order of time."""

    candle: Candle


@dataclass(frozen=True, slots=True)
class Forming:
    """A candle as it is now."""

    candle: Candle


@dataclass(frozen=True, slots=True)
class Missing:
    """Candles that the server lacks: from `first` on, up to the one at `before`, which it has."""

    first: int
    before: int


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """History changed: what was read before may be different now."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection was lost for this reason; the client connects again by itself."""

    reason: str


class RefusedError(Exception):
    """The server does not take the subscription; the message is its own."""


Heard = Closed | Forming | Missing | Rebuilt | Lost


async def watch(
    address: str, series_id: str, *, since: int | None = None, forming: bool = False
) -> AsyncGenerator[Heard, None]:
    """Yield what happens to a series, for ever: closed candles after `since`, or the newest.

    A lost connection is yielded as `Lost` and made again, with longer and longer pauses; what
    closed meanwhile follows, so no closed candle is missed or comes twice. With `forming`, candles
    that still form are yielded, too. Raises `RefusedError` where the server does not subscribe.

    Who leaves before the end closes the iterator, and its socket with it: `contextlib.aclosing`.
    """
    cursor, pause = since, FIRST_PAUSE
    url = address.replace("http", "ws", 1).rstrip("/") + "/ws/market"
    while True:
        try:
            async with connect(url, max_size=LARGEST_MESSAGE) as socket:
                await _subscribe(socket, series_id, cursor)
                async for text in socket:
                    for heard in _heard(MESSAGE.validate_json(text)):
                        if isinstance(heard, Closed):
                            cursor = heard.candle.candle_time
                            pause = FIRST_PAUSE
                        if forming or not isinstance(heard, Forming):
                            yield heard
                reason = "the server closed the connection"
        except (OSError, ConnectionClosed, InvalidHandshake) as error:
            reason = str(error) or type(error).__name__
        yield Lost(reason)
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 2)


async def _subscribe(socket: ClientConnection, series_id: str, since: int | None) -> None:
    wish = {"type": "subscribe", "series_id": series_id, "supports_batch": True}
    await socket.send(json.dumps(wish | ({} if since is None else {"since": since})))


def _heard(message: Message) -> list[Heard]:
    """Return what a message says."""
    match message["type"]:
        case "candle_closed":
            return [Closed(_candle(message["candle"]))]
        case "candles_batch":
            return [Closed(_candle(fields)) for fields in message["candles"]]
        case "candle_forming":
            return [Forming(_candle(message["candle"]))]
        case "gap":
            return [Missing(message["expected_next_time"], message["actual_time"])]
        case "system":
            return [Rebuilt()]
        case _:
            raise RefusedError(message["message"])


def _candle(fields: CandleFields) -> Candle:
    return Candle(**fields)
