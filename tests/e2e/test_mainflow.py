"""The acceptance story: closed candles, frame, socket and chart stay consistent."""

import asyncio
import json
import sqlite3
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from websockets.sync.client import connect

from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.live_server import LiveServer, flat

TIMES = (1700000000, 1700000060, 1700000120, 1700000180)
CLOSES = (1, 2, 3, 44)
HEAD = TIMES[-1]
CANDLES = [flat(time, close) for time, close in zip(TIMES, CLOSES, strict=True)]


@pytest.mark.e2e
@pytest.mark.mainflow
def test_mainflow_comprehensive_ingest_frame_ws_factor_stays_consistent(
    own_server: LiveServer,
) -> None:
    symbol = "TCMAINFLOW1/USDT"
    series_id = f"binance:futures:{symbol}:1m"
    for candle in CANDLES[:3]:
        ingest(own_server, series_id, candle)

    play(watch_the_fourth_candle(own_server, series_id, symbol))

    check_reads(own_server, series_id)
    before = reads(own_server, series_id)
    ingest(own_server, series_id, CANDLES[3])
    assert reads(own_server, series_id) == before
    check_catch_up(own_server, series_id)
    check_database(own_server, series_id)


def ingest(server: LiveServer, series_id: str, candle: dict[str, Any]) -> None:
    answer = server.close_candle(series_id, candle)

    assert answer == {"ok": True, "series_id": series_id, "candle_time": candle["candle_time"]}


async def watch_the_fourth_candle(server: LiveServer, series_id: str, symbol: str) -> None:
    """Rows 2 to 9: the page loads three candles, and sees the fourth come over its socket."""
    state = {"exchange": "binance", "market": "futures", "symbol": symbol, "timeframe": "1m"}
    saved = ("trade-canvas-ui", json.dumps({"version": 3, "state": state}))
    async with open_tab(saved=saved) as tab:
        await tab.page.goto(f"{server.url}/live")
        await tab.shows(series_id=series_id, last_time=TIMES[2], ws_state="open")
        await check_page_reads(tab, series_id)
        assert not any("candle" in frame for frame in tab.received)

        await asyncio.to_thread(ingest, server, series_id, CANDLES[3])

        await tab.shows(last_time=HEAD, last_close=44, last_ws_candle_time=HEAD)
        await tab.shows(structure_time=HEAD, structure_lag=0)
        assert [frame for frame in tab.received if series_id in frame] == [message(series_id)]


async def check_page_reads(tab: Tab, series_id: str) -> None:
    """Rows 2 to 4: what the page itself has read."""
    encoded = f"series_id={quote(series_id, safe='')}"
    [candles_url] = tab.reads("/api/market/candles")
    [frame_url] = tab.reads("/api/frame/live")
    assert encoded in candles_url
    assert encoded in frame_url
    candles, frame = [httpx.get(url).json() for url in (candles_url, frame_url)]
    assert candles["series_id"] == frame["series_id"] == series_id
    assert [candle["candle_time"] for candle in candles["candles"]] == list(TIMES[:3])
    assert candles["server_head_time"] == TIMES[2]
    assert frame["time"] == {
        "at_time": TIMES[2],
        "aligned_time": TIMES[2],
        "candle_id": f"{series_id}:{TIMES[2]}",
    }


def message(series_id: str) -> str:
    """Row 8: the frame of the fourth candle, to the letter."""
    return (
        f'{{"type":"candle_closed","series_id":"{series_id}","candle":{{"candle_time":1700000180,'
        '"open":44.0,"high":44.0,"low":44.0,"close":44.0,"volume":10.0}}'
    )


def check_reads(server: LiveServer, series_id: str) -> None:
    """Rows 10 to 16: every read tells of the same four candles."""
    candle_id = f"{series_id}:{HEAD}"
    candles = server.get("/api/market/candles", series_id=series_id, limit=2000)
    assert candles["server_head_time"] == HEAD
    assert [c["candle_time"] for c in candles["candles"]] == list(TIMES)
    assert [c["close"] for c in candles["candles"]] == list(CLOSES)

    slices = server.get(
        "/api/factor/slices", series_id=series_id, at_time=HEAD, window_candles=2000
    )
    assert (slices["at_time"], slices["candle_id"]) == (HEAD, candle_id)
    assert (slices["factors"], slices["snapshots"]) == ([], {})

    for frame in (
        server.get("/api/frame/live", series_id=series_id),
        server.get("/api/frame/at_time", series_id=series_id, at_time=HEAD),
    ):
        assert frame["time"] == {"at_time": HEAD, "aligned_time": HEAD, "candle_id": candle_id}
        assert frame["factor_slices"] == slices
        assert frame["draw_state"] == {
            "schema_version": 1,
            "series_id": series_id,
            "to_candle_id": candle_id,
            "to_candle_time": HEAD,
            "active_ids": [],
            "instruction_catalog_patch": [],
            "series_points": {},
            "next_cursor": {"version_id": 0, "point_time": None},
        }

    poll = server.get("/api/delta/poll", series_id=series_id, after_id=0)
    assert (poll["records"], poll["next_cursor"]) == ([], {"id": 0})


def reads(server: LiveServer, series_id: str) -> list[bytes]:
    """Return the bytes of every read, each the same when it is asked twice."""
    found = []
    for path, query in (
        ("/api/market/candles", {"limit": 2000}),
        ("/api/factor/slices", {"at_time": HEAD, "window_candles": 2000}),
        ("/api/frame/live", {}),
        ("/api/frame/at_time", {"at_time": HEAD}),
        ("/api/delta/poll", {"after_id": 0}),
    ):
        twice = [
            server.client.get(server.url + path, params={"series_id": series_id, **query}).content
            for _ in range(2)
        ]
        assert twice[0] == twice[1], path
        found.append(twice[0])
    return found


def check_catch_up(server: LiveServer, series_id: str) -> None:
    """Let two clients come back: each gets the fourth candle once, one of them in a batch."""
    single = caught_up(server, series_id, supports_batch=False)
    batch = caught_up(server, series_id, supports_batch=True)

    assert single == [message(series_id)]
    assert [json.loads(frame)["type"] for frame in batch] == ["candles_batch"]
    assert [c["candle_time"] for c in json.loads(batch[0])["candles"]] == [HEAD]


def caught_up(server: LiveServer, series_id: str, *, supports_batch: bool) -> list[str]:
    """Return what a subscribe since the third candle brings; an unknown type marks its end."""
    wish = {"series_id": series_id, "since": TIMES[2], "supports_batch": supports_batch}
    found = []
    with connect(f"ws://127.0.0.1:{server.port}/ws/market") as socket:
        socket.send(json.dumps({"type": "subscribe", **wish}))
        socket.send(json.dumps({"type": "end"}))
        while "unknown message type" not in (frame := str(socket.recv(timeout=10))):
            found.append(frame)
    return found


def check_database(server: LiveServer, series_id: str) -> None:
    """Row 18: four candles, and both ledgers at the last of them."""
    with sqlite3.connect(server.folder / "db.sqlite3") as database:
        columns = "candle_time, open, high, low, close, volume"
        rows = database.execute(
            f"SELECT {columns} FROM candles WHERE series_id = ? ORDER BY candle_time",  # noqa: S608
            [series_id],
        ).fetchall()
        heads = database.execute(
            "SELECT factor_head, overlay_head FROM ledger_heads WHERE series_id = ?", [series_id]
        ).fetchall()

    assert rows == [tuple(map(float, candle.values())) for candle in CANDLES]
    assert heads == [(HEAD, HEAD)]
