"""The sockets of a run: each hears the series, and some leave and come back with their cursor."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.ledger.history.records import Frame, Listening
from tests.market.sockets import communicate

PATIENCE = 10.0
MARK = {"type": "are you done?"}


@dataclass(slots=True)
class Ears:
    """What a subscription heard so far."""

    since: int | None
    supports_batch: bool
    began: int
    ready: int = 0
    frames: list[Frame] = field(default_factory=list)

    @property
    def last(self) -> int | None:
        """The newest candle of the last frame that held any, or the cursor."""
        for frame in reversed(self.frames):
            content = frame.content
            rows = content.get("candles", [content["candle"]] if "candle" in content else [])
            if rows:
                time_of_last: int = rows[-1]["candle_time"]
                return time_of_last
        return self.since

    def told(self, moment: int) -> bool:
        """Say whether it was told after a moment that history changed."""
        return any(f.heard >= moment and f.content.get("event") for f in self.frames)


class Listener:
    """One client of /ws/market."""

    def __init__(self, client: int, series_id: str, seed: int) -> None:
        self.client = client
        self.stays = False
        self.listenings: list[Listening] = []
        self._series_id = series_id
        self._random = random.Random(f"{seed} {client}")  # noqa: S311 (a test's own sequence)
        self._socket = communicate()
        self._ears = Ears(None, client % 2 == 0, 0)

    async def run(self) -> None:
        """Listen until the task is cancelled; every other client comes back again and again."""
        since: int | None = None if self.client % 4 == 0 else 0
        while True:
            await self._subscribe(since)
            most = self._random.randrange(5, 30) if self.client % 4 > 1 else 10**9
            while self.stays or len(self._ears.frames) < most:
                await self._hear()
            since = self._ears.last
            await self._leave(stayed=False)

    def is_content(self, head: int | None, last_rise: int) -> bool:
        """Say whether all was heard: the newest candle, and the last change of history."""
        ears = self._ears
        told = last_rise < ears.ready or ears.told(last_rise)
        return bool(ears.ready) and ears.last == head and told

    async def end(self) -> None:
        """Hear what is still on its way, and leave."""
        await self._mark()
        await self._leave(stayed=True)

    async def _subscribe(self, since: int | None) -> None:
        self._socket = communicate()
        self._ears = Ears(since, self.client % 2 == 0, time.monotonic_ns())
        await self._socket.connect(timeout=PATIENCE)
        wish = {"since": since, "supports_batch": self._ears.supports_batch}
        await self._say({"type": "subscribe", "series_id": self._series_id} | wish)
        await self._mark()
        self._ears.ready = time.monotonic_ns()

    async def _mark(self) -> None:
        """Say what no server understands, and hear all up to the answer to it."""
        await self._say(MARK)
        async with asyncio.timeout(PATIENCE):
            while not await self._hear():
                pass

    async def _hear(self) -> bool:
        """Hear one frame; return whether it answers the mark."""
        message = await self._socket.output_queue.get()
        assert message["type"] == "websocket.send", message
        content = json.loads(message["text"])
        if content["type"] == "error":
            return True
        self._ears.frames.append(Frame(time.monotonic_ns(), content))
        return False

    async def _say(self, message: object) -> None:
        await self._socket.send_to(text_data=json.dumps(message))

    async def _leave(self, *, stayed: bool) -> None:
        ears = self._ears
        self.listenings.append(
            Listening(
                self.client,
                ears.since,
                ears.supports_batch,
                ears.began,
                ears.ready,
                stayed,
                tuple(ears.frames),
            )
        )
        self._ears = Ears(ears.last, ears.supports_batch, 0)  # it hears nothing for now
        await self._socket.disconnect(timeout=PATIENCE)


async def heard_out(
    listeners: Sequence[Listener], head: int | None, last_rise: int, patience: float
) -> None:
    """Wait until all were told everything, or have waited long enough for it; none leaves now."""
    for listener in listeners:
        listener.stays = True
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if all(listener.is_content(head, last_rise) for listener in listeners):
            return
        await asyncio.sleep(0.02)
