"""Without a way to the exchange, `serve` says so in words and goes on serving."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.exchange.running import ROOT, exchange_process

BTC = "binance:futures:BTC/USDT:1m"
LOST, FOUND = "binance futures cannot be reached", "binance futures can be reached again"


def free_ports() -> int:
    """Return the first of three ports in a row that nobody listens on."""
    while True:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
        if all(_is_free(port + n) for n in range(3)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        return port < 65_000 and one.connect_ex(("127.0.0.1", port)) != 0


def until(what: str, log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while what not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def feed_state(address: str) -> str:
    answer = httpx.get(f"{address}/api/ingest/feed", params={"series_id": BTC})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["state"])


def test_it_says_so_once_serves_and_says_when_there_is_a_way_again(tmp_path: Path) -> None:
    port, log = free_ports(), tmp_path / "log"
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "TRADE_CANVAS_ENABLE_WHITELIST_INGEST": "1",
        "TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL": "1",
        "TRADE_CANVAS_WHITELIST_PATH": str(ROOT / "config" / "market_whitelist.json"),
        "TRADE_CANVAS_BINANCE_FUTURES_WS_BASE": f"ws://127.0.0.1:{port}/market",
        "TRADE_CANVAS_BINANCE_FUTURES_REST_BASE": f"http://127.0.0.1:{port + 2}",
        "SECRET_KEY": "of-a-test",
        "PYTHONUNBUFFERED": "1",
        "REDIS_URL": "",
    }
    command = [sys.executable, "manage.py", "serve", "--port", "0"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
    try:
        until("serving on ", log)
        address = next(x for x in log.read_text().splitlines() if "serving on" in x).split()[-1]
        until(LOST, log)
        assert httpx.get(f"{address}/live").status_code == 200
        assert feed_state(address) == "unreachable"
        time.sleep(2.5)  # another attempt
        assert log.read_text().count(LOST) == 1

        with exchange_process("--port", str(port), "--start", "now", "--speed", "1"):
            until(FOUND, log)
            deadline = time.monotonic() + 30
            while feed_state(address) != "streaming" and time.monotonic() < deadline:
                time.sleep(0.2)
            assert feed_state(address) == "streaming"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
