"""The exchange in a thread and in a process of its own."""

import subprocess
import sys

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage
from websockets.sync.client import connect

from tests.exchange.faults import DropAll, Refuse
from tests.exchange.running import ROOT, InThread, exchange_process
from tests.exchange.server import Exchange

STREAM = "btcusdt@kline_1m"
QUERY = {"symbol": "BTCUSDT", "interval": "1m", "limit": "5"}


def test_an_exchange_runs_in_a_thread_beside_the_test() -> None:
    with InThread(Exchange.walking(history=100)) as running:
        url = running.exchange.url("futures") + f"/market/ws/{STREAM}"
        with connect(url, max_queue=None) as socket:
            running.until("subscribe")
            running.advance(130)
            assert '"e":"kline"' in str(socket.recv(5))
            running.inject(DropAll())
            running.advance(1)
            running.until("ended")
            with pytest.raises(ConnectionClosed):
                list(socket)


def test_an_exchange_runs_in_a_process_of_its_own_and_can_be_killed() -> None:
    with exchange_process("--port", "0", "--seed", "3", "--speed", "0") as running:
        rest = running.settings["TRADE_CANVAS_BINANCE_FUTURES_REST_BASE"]
        before = httpx.get(f"{rest}/fapi/v1/klines", params=QUERY).json()
        running.advance(120)
        after = httpx.get(f"{rest}/fapi/v1/klines", params=QUERY).json()
        assert after[-1][0] == before[-1][0] + 120_000
        running.inject(Refuse(times=1))
        with pytest.raises((OSError, InvalidMessage, ConnectionClosed)):
            connect(f"ws://127.0.0.1:{running.doors['futures']}/market/ws/{STREAM}")
        assert [entry["what"] for entry in running.log()][-3:] == ["attempt", "fault", "refused"]
        running.kill()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{rest}/fapi/v1/klines", params=QUERY)


def test_a_process_plays_a_market_that_runs_by_itself_until_it_is_ended() -> None:
    arguments = ("--speed", "600", "--seed", "3", "--within", "60")
    fault = '{"fault": "Poison", "at": 7200.0, "venue": "spot"}'
    with exchange_process(*arguments, "--history", "100", "--fault", fault) as running:
        with connect(f"ws://127.0.0.1:{running.doors['spot']}/ws/{STREAM}") as socket:
            assert '"s":"BTCUSDT"' in str(socket.recv(10))
        assert running.clock["speed"] == 600
    assert running.process.returncode == 0


def test_the_command_explains_itself_with_an_example() -> None:
    command = [sys.executable, "-m", "tests.exchange", "--help"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "example" in told.stdout
    assert "--speed 600" in told.stdout
