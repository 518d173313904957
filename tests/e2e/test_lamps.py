"""The lamps of /live: what they say at a glance, and the facts they open to."""

import asyncio
import re
import time
from urllib.parse import quote

import pytest
from playwright.async_api import Route, expect

from tests.e2e.browser import open_tab, play
from tests.e2e.live_server import LiveServer, flat, golden_candles
from tests.e2e.test_live import rising, visit

pytestmark = pytest.mark.e2e


def test_candle_lamp_is_green_within_three_seconds_of_the_close_that_was_missing(
    server: LiveServer, series_id: str
) -> None:
    """Shows behaviour 7: lamp and bar follow within 3 s."""
    newest = int(time.time()) // 60 * 60 - 60
    server.fill(series_id, rising(3, newest - 600))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            lamp = tab.page.get_by_test_id("kline-health-lamp")
            await expect(lamp).to_have_attribute("data-kline-status", "red")
            await expect(lamp).to_contain_text(re.compile(r"Behind by \d+ minutes?"))
            await asyncio.to_thread(server.fill, series_id, rising(9, newest - 480), tell=True)
            await tab.shows(3000, last_time=newest)
            await expect(lamp).to_have_attribute("data-kline-status", "green", timeout=3000)
            await expect(lamp).to_contain_text("Up to date")

    play(scenario())


def test_structure_lamp_opens_to_heads_digest_and_generation(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, golden_candles("box_2_1"))
    known = server.get("/api/ledger/digest", series_id=series_id)

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            lamp = tab.page.get_by_test_id("factor-draw-health-lamp")
            await expect(lamp).to_have_attribute("data-factor-draw-status", "green")
            await expect(lamp.get_by_text("Factor head")).to_be_hidden()
            await lamp.locator("summary").click()
            await expect(lamp.get_by_text("Factor head")).to_be_visible()
            await expect(lamp).to_contain_text("Generation")
            await expect(lamp).to_contain_text(known["digest"])
            link = lamp.get_by_role("link", name="Ledger")
            address = f"/ledger?series_id={quote(series_id, safe='')}"
            await expect(link).to_have_attribute("href", address)
            # What comes later changes the facts, and does not close them.
            newer = {**golden_candles("box_2_1")[-1]}
            newer["candle_time"] += 60
            await asyncio.to_thread(server.close_candle, series_id, newer)
            await expect(lamp).not_to_contain_text(known["digest"])
            await expect(lamp.get_by_text("Factor head")).to_be_visible()

    play(scenario())


def test_candle_lamp_opens_to_the_feed_by_key(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            lamp = tab.page.get_by_test_id("kline-health-lamp")
            await lamp.locator("summary").focus()
            await tab.page.keyboard.press("Enter")
            for fact in ("Last closed candle", "2023-11-14 22:15 UTC", "Circuit", "Its age"):
                await expect(lamp).to_contain_text(fact)
            link = lamp.get_by_role("link", name="Feeds")
            await expect(link).to_have_attribute(
                "href", f"/ingest?series_id={quote(series_id, safe='')}"
            )

    play(scenario())


def test_lamps_follow_the_series_and_speak_chinese(server: LiveServer, symbol: str) -> None:
    one, empty = (f"binance:futures:{symbol}:{timeframe}" for timeframe in ("1m", "4h"))
    server.fill(one, rising(3))

    async def scenario() -> None:
        async with open_tab(locale="zh-CN") as tab:
            await visit(tab, server, one)
            lamp = tab.page.get_by_test_id("kline-health-lamp")
            await expect(lamp).to_contain_text(re.compile("K线.*落后"))
            await tab.page.get_by_test_id("timeframe-tag-4h").click()
            await tab.shows(series_id=empty)
            await expect(lamp).to_contain_text("未知")
            structures = tab.page.get_by_test_id("factor-draw-health-lamp")
            await expect(structures).to_have_attribute("data-factor-draw-status", "gray")

    play(scenario())


def test_lamps_are_gray_while_nobody_answers(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab(allowed=["500"]) as tab:
            await visit(tab, server, series_id)
            lamp = tab.page.get_by_test_id("factor-draw-health-lamp")
            await expect(lamp).to_have_attribute("data-factor-draw-status", "green")

            async def fail(route: Route) -> None:
                await route.fulfill(status=500, body="")

            await tab.page.route("**/live/lamps?*", fail)
            await expect(lamp).to_have_attribute("data-factor-draw-status", "gray")
            await expect(lamp).to_contain_text("Unknown")
            await tab.page.unroute("**/live/lamps?*")
            await expect(lamp).to_have_attribute("data-factor-draw-status", "green")

    play(scenario())


def test_connection_opens_to_its_last_message_and_a_link(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        granted = ["clipboard-read", "clipboard-write"]
        async with open_tab(permissions=granted) as tab:
            await visit(tab, server, series_id)
            await tab.page.get_by_test_id("connection-badge").click()
            facts = tab.page.locator("[data-part=connection-facts]")
            await asyncio.to_thread(server.close_candle, series_id, flat(1700000180, 44))
            await expect(facts).to_contain_text(re.compile(r"Last message\d+ s ago"))
            await expect(facts).to_contain_text("22:16")
            await facts.get_by_role("button", name="Copy link").click()
            await expect(facts).to_contain_text("Copied")
            copied = await tab.page.evaluate("navigator.clipboard.readText()")
            assert copied.startswith(f"{tab.page.url}&from=")
            last = int(copied.rpartition("&to=")[2])
            assert last >= 1700000180

    play(scenario())
