"""A served process that is watched: streams that hold no thread, and events for this machine."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.ingest.test_serve import CLOSED, SERIES, body, serving
from tests.market.test_top_markets import SYMBOLS, TICKERS

STREAM = "/api/market/top_markets/stream?market=spot&interval_s=0.2"


class Lists(BaseHTTPRequestHandler):
    """Answers as Binance does."""

    def do_GET(self) -> None:
        listed: Any = {"symbols": SYMBOLS} if self.path.endswith("exchangeInfo") else TICKERS
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(listed).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let servers that start now find the exchange on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Lists) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("TRADE_CANVAS_BINANCE_SPOT_BASE_URL", address)
        yield
        server.shutdown()


@pytest.mark.usefixtures("exchange")
def test_open_streams_hold_no_thread_and_end_with_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADE_CANVAS_BLOCKING_WORKERS", "1")
    with serving(tmp_path) as (process, address), ExitStack() as opened:
        client = opened.enter_context(httpx.Client(timeout=10))
        streams = []
        for _ in range(5):
            stream = opened.enter_context(client.stream("GET", address + STREAM))
            lines = stream.iter_lines()
            head = [next(lines) for _ in range(5)]
            assert head[0].startswith("id: ")
            assert head[1] == "event: top_markets"
            assert json.loads(head[2].removeprefix("data: "))["items"][0]["symbol"] == "ETH/USDT"
            assert head[4].startswith(": ping ")
            streams.append(lines)

        answer = client.get(f"{address}/api/market/top_markets?market=spot")
        assert (answer.status_code, answer.json()["cached"]) == (200, True)

        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        for lines in streams:
            assert all(line == "" or line.startswith(": ping ") for line in lines)
        assert process.wait(timeout=20) == 0
        assert time.monotonic() - began < 4  # sooner than the server's own patience


@pytest.mark.usefixtures("exchange")
def test_a_stream_ends_after_its_last_event(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, address):
        text = httpx.get(f"{address}{STREAM}&max_events=1", timeout=10).text

    assert text.endswith("\n\n")
    assert (text.count("event: "), text.count(": ping")) == (1, 0)


def test_this_machine_hears_events_and_others_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADE_CANVAS_ENABLE_DEBUG_API", "1")
    with serving(tmp_path) as (_, address):
        debug = address.replace("http", "ws") + "/ws/debug"
        with pytest.raises(InvalidStatus, match="403"):
            connect(debug, additional_headers={"X-Forwarded-For": "10.0.0.1"})
        with connect(debug) as watcher:
            assert json.loads(watcher.recv(timeout=10))["type"] == "debug_snapshot"
            httpx.post(address + CLOSED, json=body(1700000000, 1)).raise_for_status()
            heard = [json.loads(watcher.recv(timeout=10))["event"] for _ in range(4)]

    assert [event["event"] for event in heard] == [
        "write.http.ingest_candle_closed_start",
        "write.factor.ingest_done",
        "write.overlay.ingest_done",
        "write.http.ingest_candle_closed_done",
    ]
    assert {event["series_id"] for event in heard} == {SERIES}
