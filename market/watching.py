"""What the sockets of this process want, kept in its demand rows by one task and one thread.

Sockets ask and let go on the event loop; what changed meanwhile is written at once, in one
transaction. Only the first one who wants a series waits: for the answer whether there is a place.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections

from market import demand, derived

logger = logging.getLogger(__name__)

RENEW_SECONDS = 20.0
RETRY_SECONDS = 1.0
END_PATIENCE = 3.0
T = TypeVar("T")


def holder_name() -> str:
    """Return a name for this process, and for no other one that ever was."""
    return f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(4)}"


class Watching:
    """How many subscribers each series has in this process."""

    def __init__(self) -> None:
        self.holder = holder_name()
        self.counts: Counter[str] = Counter()
        self._written: set[str] = set()
        self._asked: dict[str, asyncio.Future[bool]] = {}
        self._changed: set[str] = set()
        self._wake = asyncio.Event()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="demand-writes")
        self._is_closed = False

    async def take(self, series_id: str) -> bool:
        """Count one more subscriber; False, and not counted, if there is no place for the series.

        Where the database cannot say, there is one; the demand is written when it can again.
        """
        base = derived.family_of(series_id)
        self._count(base, 1)
        if base in self._written or self._is_closed:
            return True
        if base not in self._asked:
            self._asked[base] = asyncio.get_running_loop().create_future()
        granted = False
        try:
            granted = await asyncio.shield(self._asked[base]) or _never_refuses()
        finally:
            if not granted:
                self._count(base, -1)
        return granted

    def release(self, series_id: str) -> None:
        """Count one subscriber less."""
        self._count(derived.family_of(series_id), -1)

    async def run(self) -> None:
        """Write what changes, and all of it every 20 s, so that it does not expire."""
        loop = asyncio.get_running_loop()
        due = loop.time() + RENEW_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            except TimeoutError:
                self._changed |= set(self.counts)
                due = loop.time() + RENEW_SECONDS
            self._wake.clear()
            await self._write()

    async def close(self) -> None:
        """Let go of everything at once; nobody is counted any more."""
        if self._is_closed:
            return
        self._is_closed = True
        for answer in self._asked.values():
            answer.set_result(True)
        self._asked.clear()
        held = bool(self._written or self._changed)
        self.counts.clear()
        try:
            if held:
                async with asyncio.timeout(END_PATIENCE):
                    await self._in_thread(partial(demand.demand_end, self.holder))
        except (DatabaseError, TimeoutError) as error:
            logger.warning("demand.not_ended %s, it expires, %r", self.holder, error)
        self._writer.submit(lambda: connections.close_all())  # those of the thread
        self._writer.shutdown(wait=False)

    def _count(self, base: str, change: int) -> None:
        self.counts[base] += change
        if self.counts[base] <= 0:
            del self.counts[base]
        self._changed.add(base)
        self._wake.set()

    async def _write(self) -> None:
        """Write the counts that changed, and tell those who wait what came of it."""
        names, self._changed = self._changed, set()
        asked = {name: self._asked.pop(name) for name in names if name in self._asked}
        counts = {
            name: self.counts[name]
            for name in names
            if self.counts[name] > 0 or name in self._written
        }
        gone = {name for name, count in counts.items() if count <= 0}
        self._written -= gone  # who wants one of them from now on asks anew
        refused: frozenset[str] = frozenset()
        try:
            if counts:
                refused = await self._in_thread(partial(demand.demand_write, self.holder, counts))
            self._written = (self._written | set(counts)) - gone - refused
        except DatabaseError as error:
            logger.warning("demand.not_written %s series, %r", len(names), error)
            self._written |= gone
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._again, names)
        finally:
            for name, answer in asked.items():
                answer.set_result(name not in refused)

    def _again(self, names: set[str]) -> None:
        """Write what could not be written."""
        self._changed |= names
        self._wake.set()

    async def _in_thread(self, write: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._writer, lambda: _with_own_connection(write)
        )


def _never_refuses() -> bool:
    """Say whether this process may run no feeds: then it leaves it to others to have a place."""
    return (
        settings.TRADE_CANVAS_ENABLE_INGEST_ROLE_GUARD
        and settings.TRADE_CANVAS_INGEST_ROLE == "read"
    )


def _with_own_connection(write: Callable[[], T]) -> T:
    close_old_connections()
    try:
        return write()
    finally:
        close_old_connections()
