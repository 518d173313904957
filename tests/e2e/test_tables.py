"""The chart as tables, for who reads instead of looking."""

import asyncio
import re

import pytest
from playwright.async_api import Locator, expect

from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.live_server import LiveServer, flat
from tests.e2e.test_history import repeated
from tests.e2e.test_live import visit

pytestmark = pytest.mark.e2e

CANDLES = re.compile("candles? up to")
STRUCTURES = re.compile("structures? in view")


def table(tab: Tab, name: re.Pattern[str]) -> Locator:
    return tab.page.get_by_role("table", name=name)


async def rows(tab: Tab, name: re.Pattern[str]) -> list[list[str]]:
    """Return the texts of a table's body."""
    script = "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    found: list[list[str]] = await table(tab, name).locator("tbody tr").evaluate_all(script)
    return found


def test_tables_hold_the_last_candles_and_the_structures_in_view(
    server: LiveServer, series_id: str
) -> None:
    candles = repeated(2)
    server.fill(series_id, candles)

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            toggle = tab.page.get_by_test_id("data-table-toggle")
            await expect(table(tab, CANDLES)).to_have_count(0)
            await toggle.click()
            await expect(toggle).to_have_attribute("aria-pressed", "true")
            await expect(tab.page.get_by_test_id("data-tables")).to_be_focused()
            read = await rows(tab, CANDLES)
            assert len(read) == 100
            assert [float(text.replace(",", "")) for text in read[0][1:]] == [
                round(candles[-1][name], 2) for name in ("open", "high", "low", "close", "volume")
            ]
            structures = await rows(tab, STRUCTURES)
            names = {row[0] for row in structures}
            assert {"Major pivot", "Confirmed pen", "Alive zhongshu", "Current anchor"} <= names
            pens = [row for row in structures if row[0] == "Confirmed pen"]
            assert all(re.search(r"\d\d:\d\d · \d+ candles? later", row[4]) for row in pens)
            await toggle.click()
            await expect(table(tab, CANDLES)).to_have_count(0)

    play(scenario())


def test_tables_keep_in_step_with_the_view_and_the_switches(
    server: LiveServer, series_id: str
) -> None:
    candles = repeated(2)
    server.fill(series_id, candles)
    last = candles[-1]["candle_time"]

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            async with tab.page.expect_response("**/tables*.js"):
                await tab.page.keyboard.press("t")
            await expect(table(tab, STRUCTURES)).to_contain_text("Alive zhongshu")
            await tab.page.get_by_test_id("factor-toggle-zhongshu").uncheck()
            await expect(table(tab, STRUCTURES)).not_to_contain_text("zhongshu")
            newest = (await rows(tab, CANDLES))[0]
            await asyncio.to_thread(server.close_candle, series_id, flat(last + 60, 123.25))
            await expect(table(tab, CANDLES)).to_contain_text("123.25")
            assert (await rows(tab, CANDLES))[1] == newest
            await tab.page.keyboard.press("Home")
            await expect(table(tab, CANDLES)).not_to_contain_text("123.25")
            assert len(await rows(tab, CANDLES)) == 100

    play(scenario())
