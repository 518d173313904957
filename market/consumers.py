"""/ws/market and /ws/debug: the shells around their sessions."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from market import hub, messages
from market.access import socket_may_write
from market.debug import DebugSession
from market.messages import BadRequestError, Unsubscribe
from market.sessions import WRITE, Session

logger = logging.getLogger(__name__)

LONGEST_MESSAGE = 64 * 1024


class MarketConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """One socket: parses what the client says and hands it to the session."""

    # No layer channel of its own: the hub listens for all sockets of the process.
    channel_layer_alias = ""

    session: Session | None = None
    deliveries: asyncio.Task[None] | None = None

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve the socket; however it ends, nothing of it stays behind."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._leave()

    async def connect(self) -> None:
        """Accept, unless this process is closing or full."""
        here = hub.current()
        if not here.has_room():
            await self._refuse()
            return
        extensions = self.scope.get("extensions", {})
        write = {"write": extensions[WRITE]["write"]} if WRITE in extensions else {}
        self.session = Session(here, self._say, self.close, **write)
        here.sockets.add(self.session)
        await self.accept()
        self.deliveries = asyncio.create_task(self.session.run())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Do what a frame asks for; one that is not understood is answered and forgotten."""
        if len((text_data or "").encode()) > LONGEST_MESSAGE:
            await self.close(code=1009)
            return
        try:
            await self._handle(text_data)
        except BadRequestError as error:
            await self.send(messages.error(error.code, error.message))

    async def _handle(self, text: str | None) -> None:
        if self.session is None:
            return
        message = messages.parse(text)
        if isinstance(message, Unsubscribe):
            await self.session.unsubscribe(message.series_id)
        else:
            await self.session.subscribe(message)

    def _say(self, text: str) -> Awaitable[None]:
        """Send a frame by the server's own way: each of ten thousand sockets takes it."""
        sending: Awaitable[None] = self.base_send({"type": "websocket.send", "text": text})
        return sending

    async def _refuse(self) -> None:
        """Refuse the handshake with 503, where the server can say it; else with 403."""
        if "websocket.http.response" not in self.scope.get("extensions", {}):
            await self.close()
            return
        start = {"type": "websocket.http.response.start", "status": 503, "headers": []}
        await self.base_send(start)
        await self.base_send({"type": "websocket.http.response.body", "body": b""})

    async def _leave(self) -> None:
        if self.deliveries is not None:
            self.deliveries.cancel()
        if self.session is not None:
            await self.session.leave()


class DebugConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # as above
    """One socket that hears debug events (`/ws/debug`)."""

    channel_layer_alias = ""

    session: DebugSession | None = None
    deliveries: asyncio.Task[None] | None = None

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve the socket; however it ends, nothing of it stays behind."""
        here = hub.current()
        try:
            await super().__call__(scope, receive, send)
        finally:
            here.sockets.discard(self)
            if self.deliveries is not None:
                self.deliveries.cancel()

    async def connect(self) -> None:
        """Accept who may write, while the gate is open and the process is not closing or full."""
        here = hub.current()
        is_open = settings.TRADE_CANVAS_ENABLE_DEBUG_API and here.has_room()
        if not (is_open and await database_sync_to_async(socket_may_write)(self.scope)):
            await self.close()
            return
        self.session = DebugSession(self.send)
        here.sockets.add(self)
        await self.accept()
        self.deliveries = asyncio.create_task(self._deliver(self.session))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send the snapshot again to who subscribes; all else is ignored."""
        if self.session is not None and _subscribes(text_data or ""):
            await self.session.snapshot()

    async def _deliver(self, session: DebugSession) -> None:
        try:
            await session.run()
        except OSError as error:
            logger.info("socket lost, %s", error)


def _subscribes(text: str) -> bool:
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(frame, dict) and frame.get("type") == "subscribe"
