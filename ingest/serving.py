"""uvicorn as `serve` runs it: without its signal handlers, and with a quick way to send frames."""

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from market.sessions import WRITE


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: they would end this process before it flushed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`."""
        yield


class WritingProtocol(WebSocketsSansIOProtocol):
    """A socket that also takes frames that are encoded already, the same bytes for all sockets.

    The application finds the way in the scope, as an extension; without it, it sends messages.
    """

    def handle_connect(self, event: Request) -> None:
        """Begin to serve the socket."""
        super().handle_connect(event)
        if not self.close_sent:  # the handshake was not refused
            extensions = cast("dict[str, Any]", self.scope["extensions"])
            extensions[WRITE] = {"write": self.write_encoded}

    def write_encoded(self, frame: bytes) -> bool:
        """Write a whole frame if the socket is open and takes it without waiting; say whether."""
        takes = (
            self.handshake_complete
            and self.writable.is_set()
            and not self.close_sent
            and not self.conn.extensions
            and not self.transport.is_closing()
        )
        if takes:
            self.transport.write(frame)
        return takes
