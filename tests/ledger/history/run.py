"""A run: one writer, readers over HTTP and sockets on one series, all at the same time."""

import asyncio
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import connections

from market.candles import Candle
from tests.ledger.history.listeners import Listener, heard_out
from tests.ledger.history.readers import Reader, Server, Tally
from tests.ledger.history.records import History
from tests.ledger.history.writer import Writer
from tests.market.sockets import play

READERS = SOCKETS = 8


@dataclass(slots=True)
class Run:
    """What takes part in a run.

    `answers` is how many the readers get at least. At the end the sockets have `patience` seconds
    to hear all that they should.
    """

    series_id: str
    candles: list[Candle]
    answers: int
    seed: int
    patience: float = 10
    tally: Tally = field(default_factory=Tally)

    def play(self) -> History:
        """Play it, and return all that happened."""
        writer = Writer(self.series_id, self.candles, self.seed)
        times = [candle.candle_time for candle in self.candles]
        readers = [Reader(n, self.series_id, times, self.seed) for n in range(READERS)]
        listeners: list[Listener] = []

        async def scenario() -> None:
            listeners.extend(Listener(n, self.series_id, self.seed) for n in range(SOCKETS))
            await self._all(writer, readers, listeners)

        with _finely_mixed():
            play(scenario)
        return History(
            self.series_id,
            tuple(writer.epochs),
            tuple(writer.commits),
            tuple(answer for reader in readers for answer in reader.answers),
            tuple(heard for listener in listeners for heard in listener.listenings),
        )

    async def _all(self, writer: Writer, readers: list[Reader], listeners: list[Listener]) -> None:
        """Let the sockets listen while the threads write and read; then hear them out."""
        server = Server()
        hearing = [asyncio.ensure_future(listener.run()) for listener in listeners]
        with ThreadPoolExecutor(1 + len(readers)) as threads:
            writing = threads.submit(self._write, writer)
            reading = [
                threads.submit(reader.run, server, self.tally, writing.done) for reader in readers
            ]
            await asyncio.gather(*map(asyncio.wrap_future, [writing, *reading]))
        await heard_out(listeners, writer.state.announced, writer.last_rise, self.patience)
        for listener, task in zip(listeners, hearing, strict=True):
            if task.done():
                task.result()
            task.cancel()
            await asyncio.wait([task])
            await listener.end()

    def _write(self, writer: Writer) -> None:
        """Write step by step, as fast as the readers get their answers."""
        try:
            while writer.step():
                self.tally.wait_for(writer.done * self.answers)
        finally:
            connections.close_all()


@contextmanager
def _finely_mixed() -> Iterator[None]:
    """Let the threads take turns more often, so that more happens in the midst of a read."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 5)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
