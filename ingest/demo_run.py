"""Runs `serve` as a demo: a process of its own, on a database of its own, fed by `ingest.demo`."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from ingest.demo import STEP, Demo
from market.bundled import SERIES, bundled_candles
from market.clock import DemoClock

PLAYED_BEFORE = 10_000
SWITCHES = {
    "TRADE_CANVAS_ENABLE_WHITELIST_INGEST": "1",
    "TRADE_CANVAS_ENABLE_ONDEMAND_INGEST": "0",
    "TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL": "1",
    "TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES": "1",
    "TRADE_CANVAS_ENABLE_KLINE_HEALTH_V2": "1",
    # At ten minutes a second, candles must not wait half a second to be written.
    "TRADE_CANVAS_BINANCE_WS_FLUSH_S": "0.05",
    "REDIS_URL": "",
}


def demo_run(arguments: list[str], speed: float, say: Callable[[str], object]) -> int:
    """Serve the recording until told to stop; return the exit status.

    The database lasts as long as the demo, so recorded candles never meet real ones.
    """
    with tempfile.TemporaryDirectory(prefix="trade_canvas_demo_") as folder:
        return asyncio.run(_run(Path(folder), arguments, speed, say))


async def _run(
    folder: Path, arguments: list[str], speed: float, say: Callable[[str], object]
) -> int:
    candles = bundled_candles()
    first, last = int(candles.time[PLAYED_BEFORE]), int(candles.time[-1]) + STEP
    clock = DemoClock(first, last, speed, time.time())
    async with Demo(candles, clock).open() as demo:
        say(
            f"demo: recorded candles of {SERIES}, from {_date(first)} to {_date(last)}, "
            f"played {speed:g} times as fast ({(last - first) / speed / 60:.0f} minutes)"
        )
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("manage.py", "serve", *arguments),
            cwd=settings.BASE_DIR,
            env=os.environ | _environment(folder, clock) | demo.settings,
        )
        ending = asyncio.create_task(_tell_end(demo, say))
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, child.send_signal, signal.SIGTERM)
        status = await child.wait()
        ending.cancel()
        return status


def _environment(folder: Path, clock: DemoClock) -> dict[str, str]:
    whitelist = folder / "whitelist.json"
    whitelist.write_text(f'{{"series_ids": ["{SERIES}"]}}')
    return SWITCHES | {
        "DATABASE_URL": f"sqlite:///{folder}/demo.sqlite3",
        "TRADE_CANVAS_WHITELIST_PATH": str(whitelist),
        "DEMO_CLOCK": clock.text(),
    }


async def _tell_end(demo: Demo, say: Callable[[str], object]) -> None:
    """Say when the recording is over; what came of it stays to be looked at."""
    while not demo.has_ended():
        await asyncio.sleep(1)
    say("demo: the recording is over; what it gave stays until you stop the server")


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
