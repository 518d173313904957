"""The ASGI application: HTTP and sockets, and what is checked before either."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradecanvas.settings")
django.setup(set_prefix=False)

# Everything below needs the apps, which the line above has set up.
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402
from django.http.request import split_domain_port, validate_host  # noqa: E402
from django.urls import re_path  # noqa: E402

from market.access import origin_allowed  # noqa: E402
from market.routing import websocket_urlpatterns as market_sockets  # noqa: E402
from tradecanvas.handler import OneThreadHandler  # noqa: E402

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[..., Awaitable[None]]

# The largest body that any route takes; Django would write a larger one to the disk first.
MOST_BODY = 8 * 1024 * 1024
# A client hears the answer only when its body was read; beyond this it is cut off instead.
MOST_DISCARDED = 64 * 1024 * 1024


class BoundedBody:
    """Answers 413 to a body that no route would take, and keeps nothing of it."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        body = _CountedBody(receive)
        length = _headers(scope).get("content-length", "0")
        if length.isdecimal() and int(length[:20]) <= MOST_BODY:
            await self.application(scope, body.receive, send)
            if not body.is_too_large:
                return
        await body.discard()
        await _too_large(send)


class _CountedBody:
    """A body that ends as if the client had left when it grows too long."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._size = 0
        self._has_more = True
        self.is_too_large = False

    async def receive(self) -> Message:
        """Return the next part."""
        message = await self._receive()
        self._size += len(message.get("body", b""))
        self._has_more = message.get("more_body", False)
        self.is_too_large = self._size > MOST_BODY
        return {"type": "http.disconnect"} if self.is_too_large else message

    async def discard(self) -> None:
        """Read the rest and forget it."""
        while self._has_more and self._size <= MOST_DISCARDED:
            await self.receive()


class OwnOrigin:
    """Refuses sockets (403) that a page of another origin opens, or under a foreign host name."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one socket."""
        headers = _headers(scope)
        origin, host = headers.get("origin"), headers.get("host", "")
        known = validate_host(split_domain_port(host)[0], settings.ALLOWED_HOSTS)
        allowed = known and origin_allowed(origin, host, settings.TRADE_CANVAS_CORS_ORIGINS)
        if origin is None or allowed:
            await self.application(scope, receive, send)
        else:
            await refuse_socket(scope, receive, send)


async def refuse_socket(scope: Message, receive: Receive, send: Send) -> None:
    """Refuse a handshake."""
    await receive()
    await send({"type": "websocket.close"})


def _headers(scope: Message) -> dict[str, str]:
    return {name.decode("latin1").lower(): text.decode("latin1") for name, text in scope["headers"]}


async def _too_large(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"detail":"body_too_large"}'})


unknown_socket = re_path("", refuse_socket)  # type: ignore[arg-type]  # an ASGI application
application = ProtocolTypeRouter(
    {
        "http": BoundedBody(OneThreadHandler()),
        "websocket": OwnOrigin(URLRouter([*market_sockets, unknown_socket])),
    }
)
