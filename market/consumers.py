"""/ws/market: the shell around a session."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from market import hub, messages
from market.messages import BadRequestError, Unsubscribe
from market.sessions import Session

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
        if here.is_closed or len(here.sockets) >= hub.MOST_SOCKETS:
            await self._refuse()
            return
        self.session = Session(here, self.send, self.close)
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
