"""Many series that close in the same second: until the last is readable, and has been heard."""

import asyncio
import time
from collections.abc import Sequence

from ingest import pipeline
from ledger import frames
from market import hub
from market.candles import Candles
from market.messages import Subscribe
from market.series import SeriesId
from market.sessions import Session

SOCKETS = 5
PATIENCE = 60


def minute(names: Sequence[str], closed: Candles) -> dict[str, float]:
    """Take one candle of each series in by one run; return the seconds that it took.

    `readable s` ends when frames of all series show it, `announced s` when the last of five
    sockets, among which the series are shared, has heard of its last.
    """
    readable, announced = asyncio.run(_heard(names, closed))
    behind = [name for name in (names[0], names[-1]) if _shown(name) != int(closed.time[-1])]
    if behind:
        raise RuntimeError(f"not readable: {behind}")
    return {"readable s": readable, "announced s": announced, "series/s": len(names) / readable}


def _shown(name: str) -> int:
    frame = frames.live(series_id=name, window_candles=100)
    return int(frame.about["aligned_time"])


async def _heard(names: Sequence[str], closed: Candles) -> tuple[float, float]:
    heard, all_heard = 0, asyncio.Event()

    async def send(frame: str) -> None:
        nonlocal heard
        heard += '"candle_closed"' in frame
        if heard == len(names):
            all_heard.set()

    async def close(code: int, reason: str) -> None:
        raise RuntimeError(f"{code} {reason}")

    sessions = [Session(hub.current(), send, close) for _ in range(SOCKETS)]
    running = [asyncio.create_task(session.run()) for session in sessions]
    before = int(closed.time[0]) - 60
    for place, name in enumerate(names):
        wish = Subscribe(SeriesId.parse(name), before, supports_batch=False)
        await sessions[place % SOCKETS].subscribe(wish)
    began = time.perf_counter()
    await asyncio.to_thread(pipeline.run_sync, dict.fromkeys(names, closed))
    readable = time.perf_counter() - began
    await asyncio.wait_for(all_heard.wait(), PATIENCE)
    announced = time.perf_counter() - began
    for session in sessions:
        await session.leave()
    for task in running:
        task.cancel()
    await hub.close()
    return readable, announced
