"""What is compared with: `websockets.broadcast` and nothing else. `say` on one socket, all hear."""

import asyncio
import contextlib
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed


async def main() -> None:
    """Send what a speaker says to everybody else."""
    listeners: set[ServerConnection] = set()

    async def handle(connection: ServerConnection) -> None:
        is_speaker = connection.request is not None and connection.request.path == "/speak"
        if not is_speaker:
            listeners.add(connection)
        with contextlib.suppress(ConnectionClosed):
            async for text in connection:
                if is_speaker:
                    broadcast(listeners, text)
        listeners.discard(connection)

    async with serve(handle, "127.0.0.1", int(sys.argv[1]), compression=None, ping_interval=None):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
