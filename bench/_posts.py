"""Closed candles sent to a server one by one, every answer timed."""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from bench._load import Connection, free_port
from market.candles import Candles

ROOT = Path(__file__).resolve().parent.parent
PATH = "/api/market/ingest/candle_closed"


@contextmanager
def serving() -> Iterator[int]:
    """Serve in a process of its own until the block ends; give its port."""
    port = free_port()
    command = [sys.executable, "manage.py", "serve", "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.DEVNULL)
    try:
        asyncio.run(_answers(port))
        yield port
    finally:
        server.terminate()
        server.wait()


def posted(port: int, batches: Sequence[tuple[str, Candles]]) -> dict[str, float]:
    """Send each series' candles by a client of its own, all at once; return rate and times."""
    spent, seconds = asyncio.run(_posted(port, batches))
    ordered = sorted(spent)
    return {
        "posts/s": len(ordered) / seconds,
        "p50 ms": statistics.median(ordered),
        "p99 ms": ordered[int(len(ordered) * 0.99) - 1],
    }


async def _answers(port: int) -> None:
    (await Connection.open(port, patience=60)).close()


async def _posted(port: int, batches: Sequence[tuple[str, Candles]]) -> tuple[list[float], float]:
    connections = [await Connection.open(port) for _ in batches]
    began = time.perf_counter()
    spent = await asyncio.gather(
        *(_client(c, *batch) for c, batch in zip(connections, batches, strict=True))
    )
    seconds = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return [ms for one in spent for ms in one], seconds


async def _client(connection: Connection, series_id: str, candles: Candles) -> list[float]:
    spent = []
    for candle in candles.records():
        body = orjson.dumps({"series_id": series_id, "candle": candle})
        answer = await connection.post(PATH, body)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {answer.body[:200]!r}")
        spent.append(answer.ms)
    return spent
