"""`manage.py serve` as a program: ready, writable from this machine, and clean to stop."""

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from ingest.management.commands import serve
from tests.jumping import jump

ROOT = Path(__file__).resolve().parent.parent.parent
SERIES = "binance:futures:SERVED/USDT:1m"
CLOSED = "/api/market/ingest/candle_closed"


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the server on a free port with a database of its own; it must end with status 0."""
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        "PYTHONUNBUFFERED": "1",
        "SECRET_KEY": "of-a-test",
        "REDIS_URL": "",
    }
    with subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--port", "0", *flags],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://\S+:(\d+)", line)
            assert found, line
            yield process, f"http://127.0.0.1:{found[1]}"
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the database of `address`."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Return the address of a server that several tests use."""
    with serving(folder) as (_, found):
        yield found


def body(time: int, price: float) -> dict[str, Any]:
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    return {"series_id": SERIES, "candle": {"candle_time": time, "volume": 1.0} | prices}


def test_a_candle_from_this_machine_reaches_an_open_socket(address: str) -> None:
    """Shows 9.frame.compact and 9.frame.keys."""
    httpx.post(address + CLOSED, json=body(1700000000, 1)).raise_for_status()
    with connect(address.replace("http", "ws") + "/ws/market") as watcher:
        watcher.send(json.dumps({"type": "subscribe", "series_id": SERIES, "since": 1700000000}))
        httpx.post(address + CLOSED, json=body(1700000060, 44)).raise_for_status()

        frame = watcher.recv(timeout=10)

    assert frame == (
        f'{{"type":"candle_closed","series_id":"{SERIES}","candle":{{"candle_time":1700000060,'
        '"open":44.0,"high":44.0,"low":44.0,"close":44.0,"volume":1.0}}'
    )


def test_stopping_tells_the_sockets(tmp_path: Path) -> None:
    """Shows 9.shutdown."""
    with serving(tmp_path) as (process, address):
        with connect(address.replace("http", "ws") + "/ws/market") as watcher:
            watcher.send(json.dumps({"type": "subscribe", "series_id": SERIES}))
            watcher.send(json.dumps({"type": "ping"}))
            assert "unknown message type" in str(watcher.recv(timeout=10))
            process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed, match=r"1001.*server_shutdown"):
                watcher.recv(timeout=10)
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("letter", ["x", b"x"], ids=["text", "binary"])
def test_a_frame_over_64_kib_closes_the_socket(address: str, letter: str | bytes) -> None:
    """Shows 9.limit.message: one of 64 KiB is answered."""
    with connect(address.replace("http", "ws") + "/ws/market") as watcher:
        watcher.send(letter * 64 * 1024)
        assert "invalid message envelope" in str(watcher.recv(timeout=10))
        watcher.send(letter * (64 * 1024 + 1))
        with pytest.raises(ConnectionClosed) as closed:
            watcher.recv(timeout=10)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_a_page_of_another_origin_opens_no_socket(address: str) -> None:
    """Shows 9.origin.foreign, 9.origin.own and 9.origin.none."""
    socket_address = address.replace("http", "ws") + "/ws/market"
    for headers in ({}, {"Origin": address}):
        with connect(socket_address, additional_headers=headers) as watcher:
            watcher.send("{}")
            assert "missing message type" in str(watcher.recv(timeout=10))
    foreign = {"Origin": "http://evil.example"}
    with pytest.raises(InvalidStatus, match="403"):
        connect(socket_address, additional_headers=foreign)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"X-Forwarded-For": "10.0.0.1"}, 401),
        ({"Host": "chart.example"}, 400),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
def test_only_a_direct_request_of_this_machine_may_write(
    headers: dict[str, str], status: int, address: str
) -> None:
    answer = httpx.post(
        address + CLOSED,
        content=json.dumps(body(1700000000, 1)),
        headers={"Content-Type": "application/json"} | headers,
    )

    assert answer.status_code == status


def test_a_burst_of_writers_is_served_in_turns(address: str) -> None:
    async def burst() -> list[int]:
        bounds = httpx.Limits(max_connections=150)
        async with httpx.AsyncClient(limits=bounds, timeout=60) as client:
            sent = [
                client.post(address + CLOSED, json=body(1700000000 + 60 * n, n + 1))
                for n in range(150)
            ]
            return [answer.status_code for answer in await asyncio.gather(*sent)]

    assert set(asyncio.run(burst())) == {200}
    stored = httpx.get(address + "/api/market/candles", params={"series_id": SERIES})
    assert len(stored.json()["candles"]) == 150


def test_who_reads_does_not_wait_for_writers(address: str, folder: Path) -> None:
    async def stuck() -> int:
        async with httpx.AsyncClient(timeout=60) as client:
            writes = [
                asyncio.ensure_future(client.post(address + CLOSED, json=body(time, 1)))
                for time in range(1700000060, 1700000720, 60)
            ]
            await asyncio.sleep(0.5)  # now they wait for the one who holds the database
            read = await client.get(address + "/api/market/whitelist")
            waiting = [write for write in writes if not write.done()]
            holder.rollback()
            assert len(waiting) == len(writes)
            assert {answer.status_code for answer in await asyncio.gather(*writes)} == {200}
            return read.status_code

    with closing(sqlite3.connect(folder / "db.sqlite3", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert asyncio.run(stuck()) == 200


def test_a_port_in_use_is_said_in_words(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, "manage.py", "serve", "--port", port],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"},
            capture_output=True,
            text=True,
            check=False,
        )

    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr


def test_feeds_that_end_by_themselves_are_told_of_and_begin_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[float] = []

    async def ending(stop: asyncio.Event) -> None:
        begun.append(asyncio.get_running_loop().time())
        if len(begun) < 3:
            raise ValueError("odd")
        stop.set()

    async def main() -> None:
        await asyncio.wait_for(serve.follow(asyncio.Event()), 60)

    monkeypatch.setattr(serve, "follow_feeds", ending)
    jump(main())

    assert len(begun) == 3
    assert begun[-1] - begun[0] >= 2 * serve.RESTART_SECONDS
    assert caplog.text.count("ingest.feeds_ended") == 2
