"""An HTTP client that costs little: kept connections, raw bytes, every answer timed."""

import asyncio
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer and the milliseconds from the request's first byte to its last."""

    status: int
    body: bytes
    ms: float


class Connection:
    """One kept connection to a server on loopback."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int, patience: float = 0) -> "Connection":
        """Connect, within so many seconds to a server that is only starting."""
        deadline = time.monotonic() + patience
        while True:
            try:
                return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 22))
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def get(self, path: str) -> Answer:
        """Ask, and wait for the whole answer."""
        return await self._ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    async def post(self, path: str, body: bytes) -> Answer:
        """Send JSON, and wait for the whole answer."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return await self._ask(head.encode() + body)

    async def _ask(self, request: bytes) -> Answer:
        began = time.perf_counter()
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        body = await self._reader.readexactly(length)
        return Answer(int(head.split(b" ", 2)[1]), body, (time.perf_counter() - began) * 1000)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


async def repeated(port: int, path: str, clients: int, count: int) -> tuple[list[float], float]:
    """Ask `count` times in all, by so many clients at once; return milliseconds and the rate."""
    left = iter(range(count))
    began = time.perf_counter()
    spent = await asyncio.gather(*(_client(port, path, left) for _ in range(clients)))
    return [ms for one in spent for ms in one], count / (time.perf_counter() - began)


async def _client(port: int, path: str, left: Iterable[int]) -> list[float]:
    connection = await Connection.open(port)
    spent = []
    for _ in left:
        answer = await connection.get(path)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} to {path}: {answer.body[:200]!r}")
        spent.append(answer.ms)
    connection.close()
    return spent
