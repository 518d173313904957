"""Hints: after a commit, every process with subscribers of a series hears that it has news.

A hint may be lost, doubled or late; what it says stands in the database. So nothing here waits
for a delivery, and no failure of the channel layer reaches the writer.
"""

import asyncio
import hashlib
import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, get_channel_layer

from market.candles import Candle

logger = logging.getLogger(__name__)

MOST_CANDLES = 500
MOST_WAITING = 1000
LAYER_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Hint:
    """News of one series: its announced head and generation, and the new candles if few."""

    series_id: str
    generation: int
    head: int
    candles: tuple[Candle, ...] = ()

    def message(self) -> dict[str, Any]:
        """Return the hint as the channel layer carries it."""
        candles = self.candles if len(self.candles) <= MOST_CANDLES else ()
        return {
            "type": "series.hint",
            "series_id": self.series_id,
            "generation": self.generation,
            "head": self.head,
            "candles": [list(candle) for candle in candles],
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "Hint":
        """Return the hint that `message` made."""
        candles = tuple(Candle(*row) for row in message["candles"])
        return cls(message["series_id"], message["generation"], message["head"], candles)


@dataclass(frozen=True, slots=True)
class Forming:
    """A candle of a series that still forms, as it is now; nobody stores it."""

    series_id: str
    candle: Candle

    def message(self) -> dict[str, Any]:
        """Return it as the channel layer carries it."""
        return {
            "type": "series.forming",
            "series_id": self.series_id,
            "candle": list(self.candle),
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "Forming":
        """Return what `message` made."""
        return cls(message["series_id"], Candle(*message["candle"]))


News = Sequence[Hint | Forming]


class _Outlet:
    """The event loop that speaks to the channel layer, and how much may still wait there."""

    loop: asyncio.AbstractEventLoop | None = None
    room = threading.BoundedSemaphore(MOST_WAITING)
    turn = asyncio.Lock()


def use_loop(loop: asyncio.AbstractEventLoop | None) -> None:
    """Send the hints of this process on this running loop; None: there is none any more.

    The hub of a web process says so itself; a process without one that announces much, such as
    the supervisor's, says so when its loop starts.
    """
    _Outlet.loop, _Outlet.turn = loop, asyncio.Lock()
    _Outlet.room = threading.BoundedSemaphore(MOST_WAITING)


def group_name(series_id: str) -> str:
    """Return the layer's name for the listeners of a series; it refuses `:` and `/`.

    >>> group_name("binance:futures:BTC/USDT:1m")
    'series.986905cd0b3fcca1ff93d27382d67ac6'
    """
    return "series." + hashlib.sha256(series_id.encode()).hexdigest()[:32]


def announce(hints: Iterable[Hint | Forming]) -> None:
    """Give hints to the channel layer, from any thread, after the commit; never raises."""
    news = list(hints)
    if not news:
        return
    try:
        if _Outlet.loop is not None:
            _hand_over(news, _Outlet.loop)
        elif not isinstance(get_channel_layer(), InMemoryChannelLayer):
            async_to_sync(_send)(news, asyncio.Lock())
    except Exception as error:  # noqa: BLE001 (a hint may be lost; a commit that stands must not fail)
        logger.warning("hints not sent, %s series, %r", len(news), error)


def is_heard(series_id: str) -> bool:
    """Say whether anybody may listen: the layer in memory is of this process alone."""
    layer = get_channel_layer()
    return not isinstance(layer, InMemoryChannelLayer) or group_name(series_id) in layer.groups


def announce_forming(series_id: str, candle: Candle) -> None:
    """Show subscribers a candle that still forms; it may be lost, and never raises."""
    announce([Forming(series_id, candle)])


def _hand_over(news: News, loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop send, without waiting; while the layer hangs, only so many wait there."""
    room = _Outlet.room
    if not room.acquire(blocking=False):
        logger.warning("hints dropped, the channel layer is slow, %s series", len(news))
        return
    sending = _send(news, _Outlet.turn)
    try:
        future = asyncio.run_coroutine_threadsafe(sending, loop)
    except RuntimeError:
        sending.close()
        room.release()
        raise
    future.add_done_callback(lambda _: room.release())


async def _send(news: News, turn: asyncio.Lock) -> None:
    """Send hints in the order in which they were announced."""
    layer = get_channel_layer()
    try:
        async with asyncio.timeout(LAYER_PATIENCE), turn:
            for hint in news:
                await layer.group_send(group_name(hint.series_id), hint.message())
    except Exception as error:  # noqa: BLE001 (whatever the layer raises, the sweep heals it)
        logger.warning("hints not sent, %s series, %r", len(news), error)
