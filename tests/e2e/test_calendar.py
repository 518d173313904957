"""Dates on /live: going to one, and the zone in which all are told."""

import asyncio
import re
from urllib.parse import quote

import pytest
from playwright.async_api import expect

from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.live_server import LiveServer, golden_candles
from tests.e2e.test_keys import PLACE, WHEN, press
from tests.e2e.test_live import START, rising, visit

pytestmark = pytest.mark.e2e

BEFORE_NOON = re.compile(r"2023-11-15T1\d:\d\d")
SHANGHAI = "Asia/Shanghai"


async def ask(tab: Tab, when: str) -> None:
    """Go to a date as its dialog takes it."""
    await tab.page.get_by_role("button", name="Go to date").click()
    await tab.page.get_by_label("Date and time").fill(when)
    await tab.page.get_by_role("button", name="Go", exact=True).click()
    await expect(tab.page.get_by_test_id("date-dialog")).to_be_hidden()


def test_a_date_is_gone_to_and_the_arrows_go_on_from_there(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, rising(900))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            dialog = tab.page.get_by_test_id("date-dialog")
            async with tab.page.expect_response("**/keys*.js"):
                await press(tab, "g")
            await expect(dialog).to_be_visible()
            await expect(tab.page.get_by_label("Date and time")).to_have_value(BEFORE_NOON)
            await press(tab, "Escape")
            await expect(dialog).to_be_hidden()
            await ask(tab, "2023-11-14T23:14")
            await expect(tab.page.locator(WHEN)).to_have_text("Nov 14, 2023, 23:13 UTC")
            await expect(tab.page.locator(PLACE)).to_have_text("candle 61 of 900")
            await expect(tab.view).to_be_focused()
            await press(tab, "ArrowRight")
            await expect(tab.page.locator(PLACE)).to_have_text("candle 62 of 900")

    play(scenario())


def test_local_time_is_told_everywhere_and_remembered(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, rising(200))

    async def scenario() -> None:
        async with open_tab(timezone_id=SHANGHAI) as tab:
            await visit(tab, server, series_id)
            when = tab.page.locator(WHEN)
            await expect(when).to_have_text("Nov 15, 2023, 01:32 UTC")
            zone = tab.page.get_by_test_id("zone-select")
            await zone.select_option("local")
            await expect(when).to_have_text("Nov 15, 2023, 09:32 UTC+8")
            await tab.page.reload()
            await tab.shows(ready=1)
            await expect(when).to_have_text("Nov 15, 2023, 09:32 UTC+8")
            await ask(tab, "2023-11-15T06:14")
            await expect(when).to_have_text("Nov 15, 2023, 06:13 UTC+8")
            await zone.select_option("utc")
            await expect(when).to_have_text("Nov 14, 2023, 22:13 UTC")

    play(scenario())


def test_local_time_is_told_on_the_pages_of_tables_too(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, rising(200))

    async def scenario() -> None:
        async with open_tab(timezone_id=SHANGHAI) as tab:
            await tab.page.goto(f"{server.url}/ledger?q={quote(series_id, safe='')}")
            head = tab.page.get_by_test_id("ledger-row").locator("time").first
            caption = tab.page.locator("caption")
            await expect(head).to_have_text("2023-11-15 01:32")
            await expect(head).to_have_attribute("title", str(START + 199 * 60))
            await expect(caption).to_contain_text("Times are UTC.")
            await tab.page.get_by_test_id("zone-select").select_option("local")
            await expect(head).to_have_text("2023-11-15 09:32")
            await expect(caption).to_contain_text(f"Times are {SHANGHAI}.")
            # What the server renders anew is told in the same zone.
            await asyncio.to_thread(server.close_candle, series_id, rising(201)[200])
            await expect(head).to_have_text("2023-11-15 09:33", timeout=15_000)
            await tab.page.goto(server.url)
            row = tab.page.locator(f"[data-series-id='{series_id}'] time")
            await expect(row).to_have_text("2023-11-15 09:33")

    play(scenario())


def test_a_date_without_candles_is_said_in_words(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            await ask(tab, "2001-01-01T00:00")
            await expect(tab.page.get_by_test_id("toast")).to_contain_text("no candles before")

    play(scenario())
