"""Older candles and structures come as the view nears the left edge."""

import asyncio
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Route

from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.live_server import LiveServer, golden_candles
from tests.e2e.test_live import visit

pytestmark = pytest.mark.e2e


def repeated(times: int) -> list[dict[str, Any]]:
    """Return the candles of a golden case, again and again without a hole."""
    candles = golden_candles("box_2_1")
    span = len(candles) * 60
    return [
        {**candle, "candle_time": candle["candle_time"] + span * i}
        for i in range(times)
        for candle in candles
    ]


def older_reads(tab: Tab) -> list[str]:
    return [url for url in tab.reads("/api/market/candles") if "since=" in url]


async def pan_left(tab: Tab) -> None:
    """Drag the chart by a thousand pixels towards its past."""
    await tab.page.mouse.move(200, 450)
    await tab.page.mouse.down()
    await tab.page.mouse.move(230, 450)
    await tab.painted()
    await tab.page.mouse.move(1200, 450, steps=2)
    await tab.painted()
    await tab.page.mouse.up()
    await tab.painted()


async def pan_until_older_is_asked(tab: Tab) -> None:
    for _ in range(40):
        await pan_left(tab)
        if older_reads(tab):
            return
    raise AssertionError("nothing older was asked for")


def drawn(server: LiveServer, series_id: str) -> Counter[str]:
    """Count the structures of the 5,000 newest candles as one frame tells them."""
    frame = server.get("/api/frame/live", series_id=series_id, window_candles=5000)
    found: Counter[str] = Counter()
    for item in frame["draw_state"]["instruction_catalog_patch"]:
        feature = item["definition"]["feature"]
        found[feature] += 1
        if feature == "pen.confirmed":
            found["points"] = len(item["definition"]["points"])
    return found


def test_a_block_of_older_candles_comes_and_the_view_stays(
    server: LiveServer, series_id: str
) -> None:
    candles = repeated(9)
    server.fill(series_id, candles)

    async def scenario() -> None:
        released = asyncio.Event()

        async def hold(route: Route) -> None:
            await released.wait()
            await route.continue_()

        async with open_tab() as tab:
            await visit(tab, server, series_id)
            await tab.shows(history_start=candles[-2000]["candle_time"])
            await tab.page.route("**/api/market/candles?*since=*", hold)
            await pan_until_older_is_asked(tab)
            await pan_left(tab)
            await pan_left(tab)
            assert len(older_reads(tab)) == 1
            under = tab.page.locator("[data-legend=when]")
            await tab.page.mouse.move(900, 450)
            await tab.painted()
            time, spacing = await under.inner_text(), await tab.number("bar_spacing")
            released.set()
            await tab.shows(history_start=candles[-4000]["candle_time"], candles_len=4000)
            await tab.page.mouse.move(900, 452)
            await tab.painted()
            assert await under.inner_text() == time
            assert await tab.number("bar_spacing") == spacing
            query = parse_qs(urlsplit(older_reads(tab)[0]).query)
            assert query["limit"] == ["2001"]

    play(scenario())


def test_older_structures_join_the_newer_ones_without_a_seam(
    server: LiveServer, series_id: str
) -> None:
    candles = repeated(9)
    server.fill(series_id, candles)
    wanted = drawn(server, series_id)

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            assert await tab.number("pen_point_count") < wanted["points"]
            for _ in range(80):
                await pan_left(tab)
                if await tab.number("candles_len") == len(candles):
                    break
            await tab.shows(
                history_start=candles[0]["candle_time"],
                pen_point_count=wanted["points"],
                pivot_count=wanted["pivot.major"],
                zhongshu_count=(wanted["zhongshu.dead"] + wanted["zhongshu.alive"]) // 2,
                anchor_switch_count=wanted["anchor.switch"],
            )
            assert tab.reads("/api/frame/at_time")

    play(scenario())


def test_a_series_that_is_held_whole_asks_for_nothing_older(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            for _ in range(3):
                await pan_left(tab)
            assert older_reads(tab) == []

    play(scenario())


def test_history_that_was_read_survives_a_correction(server: LiveServer, series_id: str) -> None:
    candles = repeated(6)
    server.fill(series_id, candles)
    fixed = {**candles[-1], "close": candles[-1]["low"]}

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            await pan_until_older_is_asked(tab)
            await tab.shows(candles_len=len(candles), history_start=candles[0]["candle_time"])
            await asyncio.to_thread(server.close_candle, series_id, fixed)
            await tab.shows(last_close=repr(fixed["close"]), structure_lag=0)
            await tab.shows(candles_len=len(candles), history_start=candles[0]["candle_time"])
            wanted = await asyncio.to_thread(drawn, server, series_id)
            await tab.shows(pen_point_count=wanted["points"])

    play(scenario())
