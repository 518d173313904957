"""The side bar of /live: markets to choose from, and the log of events."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Route, expect

from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.live_server import LiveServer
from tests.e2e.test_live import START, rising, visit

pytestmark = pytest.mark.e2e

STREAM = "**/api/market/top_markets/stream?*"
UI = "trade-canvas-ui"


def top(*rows: tuple[str, float, float, float]) -> dict[str, Any]:
    names = ("symbol", "last_price", "quote_volume", "price_change_percent")
    items = [dict(zip(names, row, strict=True)) for row in rows]
    return {"market": "futures", "generated_at_ms": 1700000000123, "items": items}


async def answer(tab: Tab, *events: str) -> list[str]:
    """Let the stream of markets send these events; return the queries, as they come."""
    asked: list[str] = []

    async def fulfil(route: Route) -> None:
        asked.append(urlsplit(route.request.url).query)
        body = "retry: 600000\n\n" + "".join(f"{event}\n\n" for event in events)
        await route.fulfill(body=body, content_type="text/event-stream")

    await tab.page.route(STREAM, fulfil)
    return asked


def changed(answer: dict[str, Any]) -> str:
    return f"event: top_markets\ndata: {json.dumps(answer)}"


async def open_side(tab: Tab, name: str) -> None:
    await tab.page.get_by_test_id(f"sidebar-tab-{name}").click()
    await expect(tab.page.locator("[data-part=side]")).to_be_visible()


def rows(tab: Tab, part: str) -> Any:
    return tab.page.locator(f"[data-testid=market-panel] [data-part={part}]").get_by_role("button")


def test_markets_are_listed_and_one_is_chosen(
    server: LiveServer, series_id: str, symbol: str
) -> None:
    """Shows the market list of 1.1, and the series that have candles here."""
    server.fill(series_id, rising(3))
    server.fill(series_id.replace(":1m", ":5m"), [flat_at(300 * i) for i in range(3)])
    heard = top((symbol, 97120.5, 2.5e9, -1.25), ("OTHER/USDT", 3410, 1.2e6, 0.5))

    async def scenario() -> None:
        async with open_tab() as tab:
            asked = await answer(tab, changed(heard))
            await visit(tab, server, series_id)
            assert asked == []
            await open_side(tab, "Market")
            first = rows(tab, "top").nth(0)
            await expect(first).to_have_text(re.compile(f"{symbol}97,120.5-1.25%2.5B"))
            await expect(first).to_have_attribute("data-trend", "down")
            await expect(first).to_have_attribute("aria-current", "true")
            await expect(first).to_have_class("here")
            assert parse_qs(asked[0])["market"] == ["futures"]
            filter_box = tab.page.get_by_test_id("market-filter")
            await expect(filter_box).to_be_focused()
            await filter_box.fill(symbol.lower())
            await expect(rows(tab, "top")).to_have_count(1)
            await expect(rows(tab, "known")).to_have_text([f"{symbol}1m 5m"])
            await tab.page.get_by_test_id("timeframe-tag-1h").click()
            await tab.shows(series_id=series_id.replace(":1m", ":1h"))
            await rows(tab, "known").click()
            await tab.shows(series_id=series_id)
            await filter_box.fill("other")
            await rows(tab, "top").click()
            await tab.shows(series_id="binance:futures:OTHER/USDT:1m")
            await expect(rows(tab, "top")).to_have_attribute("aria-current", "true")
            await expect(rows(tab, "top")).to_be_focused()

    play(scenario())


def flat_at(after: int) -> dict[str, float]:
    price = dict.fromkeys(("open", "high", "low", "close"), 7.0)
    return {"candle_time": START - START % 300 + after, **price, "volume": 1}


def test_an_exchange_that_cannot_be_reached_is_told(tmp_path: Path, series_id: str) -> None:
    alone = LiveServer(tmp_path, TRADE_CANVAS_BINANCE_FUTURES_REST_BASE="http://127.0.0.1:9")
    alone.start()
    alone.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, alone, series_id)
            await open_side(tab, "Market")
            state = tab.page.locator("[data-testid=market-panel] [data-part=state]")
            await expect(state).to_have_text("Binance cannot be reached. Trying again.")
            await expect(rows(tab, "known")).to_have_count(1)

    play(scenario())
    alone.stop()


def test_the_side_bar_stays_as_it_was_left(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab() as tab:
            await answer(tab)
            await visit(tab, server, series_id)
            side = tab.page.locator("[data-part=side]")
            await expect(side).to_be_hidden()
            width = await tab.view.evaluate("view => view.clientWidth")
            await open_side(tab, "Market")
            assert await tab.view.evaluate("view => view.clientWidth") < width - 250
            await tab.page.reload()
            await expect(side).to_be_visible()
            pressed = tab.page.get_by_test_id("sidebar-tab-Market")
            await expect(pressed).to_have_attribute("aria-pressed", "true")
            await side.get_by_role("button", name="Close").click()
            await expect(side).to_be_hidden()
            await expect(pressed).to_be_focused()
            kept = json.loads(await tab.page.evaluate(f"localStorage.getItem('{UI}')"))["state"]
            assert (kept["sidebarCollapsed"], kept["activeSidebarTab"]) == (True, "Market")

    play(scenario())


def test_events_of_server_and_page_are_shown_and_filtered(
    server: LiveServer, series_id: str
) -> None:
    """Shows the debug tab of 1.1: snapshot, then events, filters, search and series health."""
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab(permissions=["clipboard-read", "clipboard-write"]) as tab:
            await visit(tab, server, series_id)
            await open_side(tab, "Debug")
            panel = tab.page.get_by_test_id("debug-panel")
            log = panel.get_by_test_id("debug-log-row")
            await panel.get_by_test_id("debug-search").fill(series_id)
            batch = panel.locator('[data-event="write.http.ingest_candles_closed_batch_done"]')
            await expect(batch).to_have_count(1)
            await expect(batch).to_have_attribute("data-source", "backend")
            await asyncio.to_thread(server.close_candle, series_id, rising(4)[3])
            done = panel.locator('[data-event="write.http.ingest_candle_closed_done"]')
            await expect(done).to_have_attribute("data-pipe", "write")
            await expect(panel.locator("dl")).to_contain_text("Gaps")
            await panel.get_by_test_id("debug-filter-read").click()
            await expect(done).to_have_count(0)
            own = panel.locator('[data-source=frontend][data-event="page.load.ready"]')
            await expect(own).to_have_count(1)
            await panel.get_by_test_id("debug-search").fill("page.fetch /api/market/candles")
            await expect(log).to_have_count(1)
            await expect(log).to_contain_text('"status":200')
            await panel.get_by_role("button", name="Copy").click()
            copied = await tab.page.evaluate("navigator.clipboard.readText()")
            assert copied == await log.inner_text()

    play(scenario())


def test_a_phone_has_the_side_bar_as_a_sheet_at_the_bottom(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab(viewport={"width": 390, "height": 844}) as tab:
            await answer(tab, changed(top(("OTHER/USDT", 3410, 1.2e6, 0.5))))
            await visit(tab, server, series_id)
            await open_side(tab, "Market")
            box = await tab.page.locator("[data-part=side]").bounding_box()
            assert box is not None
            assert (box["x"], box["width"]) == (0, 390)
            assert box["y"] + box["height"] == 844
            assert box["height"] <= 0.62 * 844 + 1
            row = await rows(tab, "top").first.bounding_box()
            assert row is not None
            assert row["height"] >= 44
            chart = await tab.view.bounding_box()
            assert chart is not None
            assert chart["height"] >= 0.6 * 844 - 1

    play(scenario())
