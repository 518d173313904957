"""Frames that are encoded already reach a socket of the real server whole, or are refused."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from ingest.serving import Server, WritingProtocol
from market.messages import Frame
from market.sessions import WRITE

Write = Callable[[bytes], bool]


class Application:
    """An application of one socket, whose steps the test takes."""

    def __init__(self) -> None:
        self.before_accept: bool | None = None
        self.write: Write | None = None
        self.is_accepted = asyncio.Event()
        self.send: Any = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.write, self.send = scope["extensions"][WRITE]["write"], send
        self.before_accept = self.take("too early")
        await receive()
        await send({"type": "websocket.accept"})
        self.is_accepted.set()
        while (await receive())["type"] != "websocket.disconnect":
            pass

    def take(self, text: str) -> bool:
        """Write a frame; say whether the socket took it."""
        assert self.write is not None
        return self.write(Frame(text).encoded)


@asynccontextmanager
async def socket_of(application: Application, **settings: Any) -> AsyncIterator[ClientConnection]:
    """Serve the application, and connect to it."""
    config = uvicorn.Config(
        application, port=0, ws=WritingProtocol, lifespan="off", log_config=None, **settings
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with connect(f"ws://127.0.0.1:{port}", max_size=None, max_queue=1) as socket:
            await asyncio.wait_for(application.is_accepted.wait(), 5)
            yield socket
    finally:
        server.should_exit = True
        await serving


def test_frames_of_any_length_arrive_whole_and_in_order() -> None:
    texts = ["", "a" * 125, "b" * 126, "序" * 30_000, "c" * 70_000]

    async def scenario() -> None:
        application = Application()
        async with socket_of(application, ws_per_message_deflate=False) as socket:
            assert application.before_accept is False
            for number, text in enumerate(texts):
                assert application.take(text)
                await application.send({"type": "websocket.send", "text": str(number)})
            heard = [await asyncio.wait_for(socket.recv(), 5) for _ in range(2 * len(texts))]
            assert heard[::2] == texts
            assert heard[1::2] == [str(number) for number in range(len(texts))]

    asyncio.run(scenario())


def test_socket_that_is_not_read_takes_no_more_than_its_buffer() -> None:
    async def scenario() -> None:
        application = Application()
        async with socket_of(application, ws_per_message_deflate=False) as socket:
            taken = 0
            while application.take("d" * 60_000):
                taken += 1
                assert taken < 1_000, "a socket that nobody reads takes everything"
                await asyncio.sleep(0)
            heard = [len(await asyncio.wait_for(socket.recv(), 5)) for _ in range(taken)]
            assert heard == [60_000] * taken
            assert application.take("it is read again")
            assert await asyncio.wait_for(socket.recv(), 5) == "it is read again"

    asyncio.run(scenario())


def test_closed_socket_takes_nothing() -> None:
    async def scenario() -> None:
        application = Application()
        async with socket_of(application, ws_per_message_deflate=False) as socket:
            await socket.close()
            await asyncio.sleep(0.05)
            assert not application.take("too late")

    asyncio.run(scenario())


def test_compressed_socket_takes_none() -> None:
    """Its frames differ from the bytes that all sockets share."""

    async def scenario() -> None:
        application = Application()
        async with socket_of(application, ws_per_message_deflate=True):
            assert not application.take("not compressed")

    asyncio.run(scenario())
