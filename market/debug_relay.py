"""Debug events of other processes, by way of the channel layer; any of them may be lost."""

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from typing import Any

import orjson
from channels.layers import InMemoryChannelLayer, get_channel_layer

from market import debug_events
from market.debug import RING, Listener, Ring, encoded

logger = logging.getLogger(__name__)

GROUP = "debug.events"
MOST_AT_ONCE = 200
# Between two messages; what more there is than fits falls out of the ring and is not relayed.
SEND_SECONDS = 0.2
RETRY_SECONDS = 5.0
# The layer forgets members of a group after a day.
REJOIN_SECONDS = 3600.0
PATIENCE = 5.0


def is_wanted() -> bool:
    """Say whether there may be other processes, and somebody who watches."""
    return debug_events.wanted() and not isinstance(get_channel_layer(), InMemoryChannelLayer)


class Relay:
    """Sends the events of this process to the others, and keeps theirs."""

    def __init__(self, layer: Any, ring: Ring = RING) -> None:
        self._layer = layer
        self._ring = ring
        self._name = secrets.token_hex(8)
        self._channel = ""

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """Return what has to run all the time."""
        return [self.send_for_ever(), self.hear_for_ever(), self.rejoin_for_ever()]

    async def send_for_ever(self) -> None:
        """Send what is new; begins with what comes from now on."""
        listener = Listener()
        sent, _ = self._ring.after(0)
        self._ring.join(listener)
        try:
            while True:
                await listener.wait()
                sent = await self._send_after(sent)
                await asyncio.sleep(SEND_SECONDS)
        finally:
            self._ring.leave(listener)

    async def hear_for_ever(self) -> None:
        """Keep what others send."""
        while True:
            try:
                await self.join()
                while True:
                    self._hear(await self._layer.receive(self._channel))
            except Exception as error:  # noqa: BLE001 (each layer has its own errors)
                logger.warning("debug events of others not heard, %r", error)
            await asyncio.sleep(RETRY_SECONDS)

    async def join(self) -> None:
        """Become one of those who hear."""
        async with asyncio.timeout(PATIENCE):
            # Of all receivers of a process one waits at Redis, for those of its own prefix alone:
            # so it must be that of the hub.
            self._channel = self._channel or await self._layer.new_channel("market.")
            await self._layer.group_add(GROUP, self._channel)

    async def rejoin_for_ever(self) -> None:
        """Stay one of them."""
        while True:
            await asyncio.sleep(REJOIN_SECONDS)
            try:
                await self.join()
            except Exception as error:  # noqa: BLE001 (as above)
                logger.warning("debug events of others may not be heard, %r", error)

    async def _send_after(self, number: int) -> int:
        newest, events = self._ring.own_after(number)
        if events:
            texts = [orjson.Fragment(encoded(event)) for event in events[-MOST_AT_ONCE:]]
            message = {"type": GROUP, "from": self._name, "events": orjson.dumps(texts).decode()}
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._layer.group_send(GROUP, message)
            except Exception as error:  # noqa: BLE001 (as above)
                logger.warning("debug events not sent to others, %r", error)
        return newest

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("from") != self._name:
            for event in orjson.loads(message["events"]):
                self._ring.add(event, is_own=False)
