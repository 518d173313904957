"""A client of /ws/market for tests, and a stage to play a scenario on."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from channels.testing import WebsocketCommunicator

from market import hub
from market.message_types import MESSAGE
from tests.market.factories import SERIES, stored
from tradecanvas.asgi import application

PATIENCE = 10.0
DONE = "are you done?"


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario on an event loop of its own, and close its hub afterwards."""

    async def whole() -> None:
        try:
            await scenario()
        finally:
            await hub.close()

    async_to_sync(whole)()


store = sync_to_async(stored)


class Socket:
    """One open socket."""

    def __init__(self, communicator: WebsocketCommunicator) -> None:
        self._communicator = communicator

    async def say(self, **message: object) -> None:
        """Send a frame."""
        await self._communicator.send_to(text_data=json.dumps(message))

    async def say_raw(self, text: str | None = None, data: bytes | None = None) -> None:
        """Send any text or bytes."""
        message = {"type": "websocket.receive", "text": text, "bytes": data}
        await self._communicator.send_input(message)

    async def hear(self) -> dict[str, Any]:
        """Return the next frame."""
        frame: dict[str, Any] = json.loads(await self.hear_raw())
        return frame

    async def hear_raw(self) -> str:
        """Return the text of the next frame; one of /ws/market is a documented message."""
        text: str = await self._communicator.receive_from(timeout=PATIENCE)
        if not text.startswith('{"type":"debug_'):
            MESSAGE.validate_json(text)
        return text

    async def heard(self) -> list[dict[str, Any]]:
        """Return all frames up to the answer to a frame that no server understands."""
        await self.say(type=DONE)
        frames = [await self.hear()]
        while frames[-1]["type"] != "error":
            frames.append(await self.hear())
        assert frames[-1]["message"] == f"unknown message type: {DONE}"
        return frames[:-1]

    async def subscribe(self, series_id: str = SERIES, **wish: object) -> list[dict[str, Any]]:
        """Subscribe and return the frames of the catch-up."""
        await self.say(type="subscribe", series_id=series_id, **wish)
        return await self.heard()

    async def closed(self) -> tuple[int, str]:
        """Return code and reason with which the server closes."""
        message = await self._communicator.receive_output(timeout=PATIENCE)
        assert message["type"] == "websocket.close"
        return message["code"], message.get("reason", "")


@asynccontextmanager
async def connected(**headers: str) -> AsyncIterator[Socket]:
    """Open a socket, and close it at the end."""
    communicator = communicate(**headers)
    accepted, _ = await communicator.connect(timeout=PATIENCE)
    assert accepted
    try:
        yield Socket(communicator)
    finally:
        await communicator.disconnect(timeout=PATIENCE)


def communicate(**headers: str) -> WebsocketCommunicator:
    """Return a communicator with these headers."""
    named = {"host": "testserver"} | headers
    pairs = [(name.encode(), text.encode()) for name, text in named.items()]
    return WebsocketCommunicator(application, "/ws/market", headers=pairs)


def times(frames: list[dict[str, Any]]) -> list[int]:
    """Return the times of all closed candles in these frames, in their order."""
    found = []
    for frame in frames:
        candles = frame.get("candles", [frame["candle"]] if "candle" in frame else [])
        found += [candle["candle_time"] for candle in candles]
    return found


def kinds(frames: list[dict[str, Any]]) -> list[str]:
    """Return the types of these frames."""
    return [frame["type"] for frame in frames]
