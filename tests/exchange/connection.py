"""One connection of a client to a stream: bytes in, bytes out, and what is wrong with it."""

import asyncio
import contextlib
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any, TypeVar

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from tests.exchange.faults import Drip, HalfOpen, NoPongs, OfConnection, Silence
from tests.exchange.frames import wrapped
from tests.exchange.wire import Recorded

PONG = 0x80 | Opcode.PONG
GOODBYE_SECONDS = 1.0  # real ones, for the client's part of a close
AnyOfConnection = TypeVar("AnyOfConnection", bound=OfConnection)


@dataclass(eq=False)
class Connection:
    """A WebSocket connection over a protocol without input or output of its own.

    So that every byte passes here, where it may be kept back, cut up or left out.
    """

    number: int
    venue: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    protocol: ServerProtocol = field(default_factory=ServerProtocol)
    path: str = ""
    combined: bool = False
    live: bool = True
    streams: dict[str, None] = field(default_factory=dict)
    frames: int = 0
    afflictions: dict[type[OfConnection], tuple[OfConnection, float | None]] = field(
        default_factory=dict
    )
    last_pong: float = 0.0  # in real time (monotonic)
    said: list[float] = field(default_factory=list)
    _dripping: asyncio.Task[None] | None = None
    _kept: list[bytes] = field(default_factory=list)

    @property
    def open(self) -> bool:
        """Whether frames can be sent."""
        return self.protocol.state is State.OPEN and not self.writer.is_closing()

    def suffers(self, kind: type[AnyOfConnection], now: float) -> AnyOfConnection | None:
        """Return the fault of this kind that has struck the connection and lasts."""
        fault, until = self.afflictions.get(kind, (None, None))
        if until is not None and now >= until:
            return None
        assert fault is None or isinstance(fault, kind)
        return fault

    def receive(self, data: bytes, now: float) -> list[Any]:
        """Take bytes of the client; return what they say, and answer pings and closes."""
        self.protocol.receive_data(data)
        self.flush(now, pongs=self.suffers(NoPongs, now) is None)
        return self.protocol.events_received()

    def send(self, text: str | bytes, now: float) -> None:
        """Send one frame, unless nothing leaves this connection."""
        if not self.open:
            return
        self.frames += 1
        if isinstance(text, str):
            self.protocol.send_text(text.encode())
        else:
            self.protocol.send_binary(text)
        self.flush(now)

    def tell(self, stream: str, event: str | bytes, now: float) -> None:
        """Send an event of a stream, wrapped where the connection is a combined one."""
        if not self.live or self.suffers(Silence, now):
            return
        if self.combined and isinstance(event, str) and event.startswith("{"):
            event = wrapped(stream, event)
        self.send(event, now)

    def tell_recorded(self, recorded: Recorded, now: float) -> None:
        """Send a recorded frame byte for byte, without its wrapper on a raw stream."""
        if self.live and not self.suffers(Silence, now):
            self.send(recorded.raw if self.combined else recorded.event_text, now)

    def ping(self, now: float) -> None:
        """Ask whether the client is there."""
        if self.open:
            self.protocol.send_ping(str(int(now * 1000)).encode())
            self.flush(now)

    def heard(self, frame: Frame) -> bool:
        """Note a pong; say whether this was one."""
        if frame.opcode is Opcode.PONG:
            self.last_pong = time.monotonic()
        return frame.opcode is Opcode.PONG

    def close(self, now: float, code: int, reason: str = "") -> None:
        """Close as the standard wants it: a closing frame, and some time for the answer."""
        with contextlib.suppress(InvalidState):
            self.protocol.send_close(code, reason)
        self.flush(now)
        if self.suffers(HalfOpen, now) is None:
            asyncio.get_running_loop().call_later(GOODBYE_SECONDS, self.drop)

    def drop(self) -> None:
        """End the connection without a word; nothing if it has ended."""
        if self._dripping is not None:
            self._dripping.cancel()
        if not self.writer.transport.is_closing():
            self.writer.transport.abort()

    def flush(self, now: float, *, pongs: bool = True) -> None:
        """Let out what the protocol wants to send."""
        pieces = self.protocol.data_to_send()
        if self.suffers(HalfOpen, now) or self.writer.is_closing():
            return
        for piece in pieces:
            if pongs or not piece or piece[0] != PONG:
                self._write(piece, self.suffers(Drip, now))

    def _write(self, piece: bytes, drip: Drip | None) -> None:
        if drip or self._kept:
            self._kept.append(piece)
            if self._dripping is None:
                self._dripping = asyncio.create_task(self._drip(drip or Drip()))
        elif piece:
            self.writer.write(piece)
        elif self.writer.can_write_eof():
            with contextlib.suppress(OSError):
                self.writer.write_eof()

    async def _drip(self, drip: Drip) -> None:
        while self._kept:
            piece = self._kept[0]
            for start in range(0, len(piece), drip.size):
                self.writer.write(piece[start : start + drip.size])
                await asyncio.sleep(drip.pause)
            self._kept.pop(0)
        self._dripping = None


def reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection so that the other side sees a reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
