"""`serve --demo` plays what was recorded, to the digit, and says that it is a demo."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from django.core.management import CommandError, call_command
from websockets.sync.client import connect

from ingest.demo import Demo, forming
from market.bundled import SERIES, bundled_candles
from market.candles import Candle
from market.clock import DemoClock
from tests.exchange.running import ROOT

SPEED = 600


@contextmanager
def demo(speed: int) -> Iterator[str]:
    """Give the address of a demo; it must end with status 0."""
    command = [sys.executable, "manage.py", "serve", "--demo", "--port", "0"]
    with subprocess.Popen(
        [*command, "--demo-speed", str(speed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline(), process.stdout.readline()]
            assert "recorded candles of binance:futures:BTC/USDT:1m, from 2025-05-11" in lines[0]
            found = re.search(r"http://\S+:\d+", lines[1])
            assert found, lines
            yield found[0]
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Return the address of a demo that is as fast as may be."""
    with demo(SPEED) as found:
        yield found


def read(address: str, path: str, **query: str | int) -> dict[str, object]:
    answer = httpx.get(address + path, params={"series_id": str(SERIES), **query}, timeout=20)
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def wait_for_candles(address: str) -> None:
    deadline = time.monotonic() + 30
    while not read(address, "/api/market/candles", limit=1)["candles"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_what_comes_over_the_socket_is_what_was_recorded(address: str) -> None:
    wait_for_candles(address)
    closed: list[Candle] = []
    formed = 0
    with connect(address.replace("http", "ws") + "/ws/market") as watcher:
        watcher.send(json.dumps({"type": "subscribe", "series_id": str(SERIES)}))
        deadline = time.monotonic() + 60
        while len(closed) < 2030 and time.monotonic() < deadline:
            message = json.loads(watcher.recv(timeout=20))
            if message["type"] == "candle_closed":
                closed.append(Candle(**message["candle"]))
            formed += message["type"] == "candle_forming"

    recorded = bundled_candles()
    first = int(recorded.time.searchsorted(closed[0].candle_time))
    assert len(closed) == 2030
    assert closed == recorded.take(slice(first, first + len(closed))).rows()
    assert formed > 0


def test_the_lamp_is_green_in_the_time_of_the_recording() -> None:
    with demo(20) as address:
        wait_for_candles(address)
        seen = []
        for _ in range(60):
            seen.append(read(address, "/api/market/health")["status"])
            time.sleep(0.1)
        assert read(address, "/api/ingest/feed")["state"] == "streaming"

    assert "green" in seen


def test_structures_come_with_the_candles(address: str) -> None:
    wait_for_candles(address)
    frame = read(address, "/api/frame/live")

    assert frame["draw_state"]["active_ids"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "Demo: recorded candles, played 600 times as fast."), ("zh-hans", "演示：回放录制")],
)
def test_the_page_says_that_it_is_a_demo(address: str, language: str, said: str) -> None:
    page = httpx.get(f"{address}/live", headers={"Accept-Language": language})

    assert said in page.text


@pytest.mark.parametrize("speed", ["0", "-1", "601", "nan"])
def test_a_speed_that_cannot_be_played_is_refused(speed: str) -> None:
    with pytest.raises(CommandError, match="--demo-speed must lie between 0 and 600"):
        call_command("serve", "--demo", "--demo-speed", speed)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, Candle(600, 10, 10, 10, 10, 0)),
        (10, Candle(600, 10, 10, 7, 7, 1)),
        (20, Candle(600, 10, 10, 4, 4, 2)),
        (40, Candle(600, 10, 16, 4, 16, 4)),
        (60, Candle(600, 10, 16, 4, 13, 6)),
    ],
)
def test_a_candle_forms_over_its_extremes(seconds: int, expected: Candle) -> None:
    whole = Candle(600, 10, 16, 4, 13, 6)

    assert forming(whole, 600 + seconds) == pytest.approx(expected)


def test_the_recording_ends_and_its_time_stands_still() -> None:
    async def main() -> tuple[bool, bool, float]:
        candles = bundled_candles(10)
        first, last = float(candles.time[5]), float(candles.time[9]) + 60
        clock = DemoClock(first, last, 600.0, time.time())
        async with Demo(candles, clock).open() as demo:
            before = demo.has_ended()
            async with httpx.AsyncClient() as client:
                base = demo.settings["TRADE_CANVAS_BINANCE_FUTURES_REST_BASE"]
                await asyncio.sleep(0.6)
                answer = await client.get(f"{base}/fapi/v1/time")
            return before, demo.has_ended(), answer.json()["serverTime"] / 1000 - last

    assert asyncio.run(main()) == (False, True, 0.0)
