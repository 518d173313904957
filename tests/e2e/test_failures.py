"""What happens on the page when something does not go as it should, and how it heals.

A killed server and a gap are in `test_live.py`.
"""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import Route, WebSocketRoute, expect

from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.budgets import library
from tests.e2e.live_server import LiveServer, flat, golden_candles
from tests.e2e.test_live import BEHIND, SOME, START, at, rising, visit
from tests.e2e.test_texts import cut

pytestmark = pytest.mark.e2e


def test_dropped_frames_are_noticed_and_caught_up(server: LiveServer, series_id: str) -> None:
    """Shows a failure: the connection stands, and nothing comes through it."""
    server.fill(series_id, rising(3))
    connections: list[WebSocketRoute] = []

    def swallow_the_first(connection: WebSocketRoute) -> None:
        connections.append(connection)
        behind = connection.connect_to_server()
        if len(connections) == 1:
            behind.on_message(lambda _: None)

    async def scenario() -> None:
        async with open_tab() as tab:
            await tab.page.clock.install()
            await tab.page.route_web_socket("**/ws/market", swallow_the_first)
            await visit(tab, server, series_id)
            await asyncio.to_thread(server.fill, series_id, rising(5), tell=True)
            await tab.page.clock.run_for(26_000)
            await tab.shows(ws_state="stale", candles_len=3)
            await tab.page.clock.run_for(12_000)
            await tab.shows(ws_state="open", candles_len=5, structure_time=START + 240)
            assert len(connections) == 2

    play(scenario())


def test_ledger_that_is_behind_for_two_seconds_is_drawn_afterwards(
    server: LiveServer, series_id: str
) -> None:
    """Shows a failure: 409 for two seconds."""
    server.fill(series_id, golden_candles("box_2_1"))
    begin: list[float] = []

    async def behind(route: Route) -> None:
        begin.append(time.monotonic())
        if time.monotonic() - begin[0] < 2:
            await route.fulfill(status=409, json=BEHIND)
        else:
            await route.continue_()

    async def scenario() -> None:
        async with open_tab(allowed=["409"]) as tab:
            await tab.page.route("**/api/frame/live?*", behind)
            await visit(tab, server, series_id)
            await tab.shows(candles_len=500, live_load_status="ready")
            await tab.shows(20_000, pivot_count=SOME, structure_lag=0, live_load_message="")

    play(scenario())


def test_a_batch_of_5000_candles_is_drawn_at_once(server: LiveServer, series_id: str) -> None:
    """Shows a failure: 5,000 candles in one message."""
    server.fill(series_id, rising(3))
    last = START + 60 * 5002

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            more = [flat(START + 60 * i, 100 + i % 50) for i in range(3, 5003)]
            await asyncio.to_thread(server.fill, series_id, more, tell=True)
            await tab.shows(20_000, last_time=last, candles_len=5003, last_ws_candle_time=last)
            await tab.shows(20_000, structure_time=last, structure_lag=0)
            assert len(tab.reads("/api/draw/delta")) < 15
            await asyncio.to_thread(server.close_candle, series_id, flat(last + 60, 7))
            await tab.shows(last_close=7, live_load_message="")

    play(scenario())


@pytest.mark.parametrize("hours", [-30, 30])
def test_a_wrong_clock_of_the_machine_changes_nothing(
    server: LiveServer, series_id: str, hours: int
) -> None:
    """Shows a failure: the clock of who looks is wrong."""
    newest = int(time.time()) // 60 * 60 - 60
    server.fill(series_id, rising(3, newest - 180))

    async def scenario() -> None:
        async with open_tab() as tab:
            await tab.page.clock.install(time=datetime.now(UTC) + timedelta(hours=hours))
            await visit(tab, server, series_id)
            await asyncio.to_thread(server.close_candle, series_id, flat(newest, 7))
            await tab.shows(last_time=newest, last_close=7, structure_lag=0)
            await tab.page.clock.run_for(3_000)
            lamp = tab.page.get_by_test_id("kline-health-lamp")
            await expect(lamp.locator("[data-text]")).to_have_text("Up to date")
            await tab.page.get_by_test_id("connection-badge").click()
            facts = tab.page.locator("[data-part=connection-facts]")
            await expect(facts).to_contain_text(" s ago")
            await expect(facts).not_to_contain_text("-")

    play(scenario())


async def price_tag(tab: Tab) -> str:
    """Return what the price axis calls the last price."""
    series = "charts[0].panes()[0].getSeries().find((one) => one.seriesType() === 'Candlestick')"
    found: str = await tab.page.evaluate(f"{series}.options().title")
    return found


def test_forming_candle_is_followed_until_it_closes(server: LiveServer, series_id: str) -> None:
    """Shows behaviour 3: 10, 11, 12, then closed 13 on one time."""
    server.fill(series_id, rising(3))
    connections: list[WebSocketRoute] = []

    def meet(connection: WebSocketRoute) -> None:
        connections.append(connection)
        connection.connect_to_server()

    def message(kind: str, close: float) -> str:
        candle: dict[str, Any] = flat(START + 180, close)
        return json.dumps({"type": kind, "series_id": series_id, "candle": candle})

    async def scenario() -> None:
        async with open_tab() as tab:
            await tab.page.route("**/lightweight-charts.*.mjs*", library)
            await tab.page.route_web_socket("**/ws/market", meet)
            await visit(tab, server, series_id)
            assert await price_tag(tab) == ""
            for close in (10, 11, 12):
                connections[0].send(message("candle_forming", close))
                await tab.shows(last_time=START + 180, last_close=close, last_high=close)
                await tab.shows(candles_len=4, forming=1, last_ws_candle_time="")
            assert tab.reads("/api/draw/delta") == []
            assert await price_tag(tab) == "forming"
            connections[0].send(message("candle_closed", 13))
            await tab.shows(last_close=13, forming=0, last_ws_candle_time=START + 180)
            assert await price_tag(tab) == ""
            await tab.shows(candles_len=4)

    play(scenario())


def test_closed_candle_comes_as_compact_json(server: LiveServer, series_id: str) -> None:
    """Shows behaviour 2: no space after a colon."""
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            await asyncio.to_thread(server.close_candle, series_id, flat(START + 180, 44))
            await tab.shows(last_close=44)
            [frame] = [text for text in tab.received if "candle_closed" in text]
            assert '"type":"candle_closed"' in frame
            assert f'"candle_time":{START + 180}' in frame

    play(scenario())


def test_wheel_zooms_over_the_chart_and_scrolls_elsewhere(
    server: LiveServer, series_id: str
) -> None:
    """Shows behaviour 8: the wheel belongs to what is under the pointer."""
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab(viewport={"width": 1000, "height": 360}) as tab:
            await tab.page.goto(at(server, series_id))
            await tab.shows(ready=1)
            centre = tab.page.get_by_test_id("middle-scroll")
            top = "one => one.scrollTop"
            spacing = await tab.number("bar_spacing")
            area = await tab.page.locator("[data-chart-area]").bounding_box()
            assert area is not None
            await tab.page.mouse.move(area["x"] + 300, area["y"] + 60)
            await tab.painted()
            await expect(centre).to_have_css("overflow-y", "hidden")
            await tab.page.mouse.wheel(0, -240)
            await tab.painted()
            zoomed = await tab.number("bar_spacing")
            assert zoomed > spacing
            assert await centre.evaluate(top) == 0
            await tab.page.mouse.move(300, area["y"] - 20)
            await tab.painted()
            await tab.page.mouse.wheel(0, 120)
            await tab.page.wait_for_function(
                "document.querySelector('[data-testid=middle-scroll]').scrollTop > 0"
            )
            assert await tab.number("bar_spacing") == zoomed

    play(scenario())


def test_what_could_not_be_brought_comes_with_the_next_connection(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, rising(3))
    refused: list[str] = []

    async def refuse_once(route: Route) -> None:
        refused.append(route.request.url)
        await (route.abort() if len(refused) == 1 else route.continue_())

    async def scenario() -> None:
        async with open_tab(allowed=["ERR_FAILED"]) as tab:
            connections = await cut(tab)
            await tab.page.route("**/app/rest*.js", refuse_once)
            await tab.page.goto(at(server, series_id))
            await tab.shows(series_id=series_id, ready=1, ws_state="open")
            lamp = tab.page.get_by_test_id("kline-health-lamp")
            await expect(lamp).to_have_count(0)
            await connections[0].close()
            await expect(lamp).to_be_visible(timeout=15_000)
            await tab.page.keyboard.press("?")
            await expect(tab.page.get_by_test_id("shortcut-help")).to_be_visible()

    play(scenario())


def test_an_answer_that_is_cut_off_is_read_again(server: LiveServer, series_id: str) -> None:
    """Shows a failure: a proxy answers with a page of its own."""
    server.fill(series_id, rising(3))
    asked: list[str] = []

    async def page_of_a_proxy(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            await route.fulfill(status=200, body="<html>", content_type="text/html")
        else:
            await route.continue_()

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            await tab.page.route("**/api/draw/delta?*", page_of_a_proxy)
            await asyncio.to_thread(server.close_candle, series_id, rising(4)[3])
            error = tab.page.locator("[data-part=message-text]")
            await expect(error).to_have_text("Could not load structures (no answer).")
            await tab.shows(structure_time=START + 180, structure_lag=0, live_load_message="")

    play(scenario())
