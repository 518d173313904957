"""A real server for tests of the pages: `manage.py serve` in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from tests.goldens import candles_of, golden

ROOT = Path(__file__).parents[2]
START_SECONDS = 30
STORY = {
    "TRADE_CANVAS_ENABLE_FACTOR_INGEST": "1",
    "TRADE_CANVAS_ENABLE_OVERLAY_INGEST": "1",
    "TRADE_CANVAS_ENABLE_READ_LEDGER_WARMUP": "1",
    "TRADE_CANVAS_ENABLE_DEBUG_API": "1",
    "TRADE_CANVAS_ENABLE_DEV_API": "1",
    "TRADE_CANVAS_PIVOT_WINDOW_MAJOR": "50",
    "TRADE_CANVAS_PIVOT_WINDOW_MINOR": "5",
    "TRADE_CANVAS_ENABLE_WHITELIST_INGEST": "0",
    "TRADE_CANVAS_ENABLE_ONDEMAND_INGEST": "0",
    "TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL": "1",
}


def flat(time: int, price: float) -> dict[str, float]:
    """Return a candle whose four prices are one."""
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    return {"candle_time": time, **prices, "volume": 10}


def golden_candles(case: str) -> list[dict[str, Any]]:
    """Return the candles of a golden case as the HTTP API takes them."""
    return [candle._asdict() for candle in candles_of(golden(case)).rows()]


class LiveServer:
    """One database and, from `start` to `stop`, a server on it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = 0
        self.environment = os.environ | STORY | settings
        self.environment |= {
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "REDIS_URL": "",
            "PYTHONUNBUFFERED": "1",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(timeout=30)

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start serving, a second time on the same port, and wait until reads are answered."""
        command = [sys.executable, "manage.py", "serve", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server as an operator would, and expect it to end well."""
        self.client.close()
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(timeout=30) == 0, self.log.read_text()

    def kill(self) -> None:
        """End the server without a word."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=30)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Write, and expect 200."""
        response = self.client.post(self.url + path, json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Read, and expect 200."""
        response = self.client.get(self.url + path, params=query)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def close_candle(self, series_id: str, candle: dict[str, Any]) -> dict[str, Any]:
        """Ingest one closed candle."""
        path = "/api/market/ingest/candle_closed"
        return self.post(path, series_id=series_id, candle=candle)

    def fill(self, series_id: str, candles: list[dict[str, Any]], *, tell: bool = False) -> None:
        """Ingest many closed candles at once; sockets hear at once of them only if told."""
        path = "/api/dev/market/ingest/candles_closed_batch"
        self.post(path, series_id=series_id, candles=candles, publish_ws=tell)

    @property
    def log(self) -> Path:
        """What the server wrote."""
        return self.folder / "server.log"

    def _answers(self) -> bool:
        """Say whether a read is answered, once the server has printed its address."""
        if not self.port:
            line = next((x for x in self._lines() if x.startswith("serving on ")), "")
            self.port = int(line.rpartition(":")[2] or 0)
        if not self.port:
            return False
        try:
            return self.client.get(f"{self.url}/api/market/whitelist").status_code == 200
        except httpx.TransportError:
            return False

    def _lines(self) -> list[str]:
        return self.log.read_text().splitlines()
