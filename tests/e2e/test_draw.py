"""Measuring and drawing on /live, with the mouse and without one."""

import re

import pytest
from playwright.async_api import expect

from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.live_server import LiveServer, golden_candles
from tests.e2e.test_history import repeated
from tests.e2e.test_keys import press, visit
from tests.e2e.test_live import rising

pytestmark = pytest.mark.e2e


async def take(tab: Tab, name: str) -> None:
    await tab.page.get_by_role("button", name=name, exact=True).click()
    await tab.shows(tool=re.compile("."))


async def draw(tab: Tab, name: str, *places: tuple[int, int]) -> None:
    """Draw something with the mouse."""
    await take(tab, name)
    for x, y in places:
        await tab.page.mouse.click(x, y)
    await tab.shows(tool="")


async def painted_at(tab: Tab, x: int, y: int) -> list[list[int]]:
    """Return what the canvases hold at a place of the page."""
    await tab.page.mouse.move(5, 5)
    await tab.painted()
    script = """([x, y]) => [...document.querySelectorAll("[data-chart-area] canvas")]
        .map(canvas => ({ canvas, box: canvas.getBoundingClientRect() }))
        .filter(({ box }) => box.left <= x && x < box.right && box.top <= y && y < box.bottom)
        .map(({ canvas, box }) =>
            [...canvas.getContext("2d").getImageData(x - box.left, y - box.top, 1, 1).data])"""
    found: list[list[int]] = await tab.page.evaluate(script, [x, y])
    return found


def test_two_clicks_measure_and_escape_puts_the_tool_away(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, repeated(2))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            measure = tab.page.get_by_role("button", name="Measure", exact=True)
            for key in ("r", "m"):
                await press(tab, key)
                await tab.shows(tool="measure", live_load_message=re.compile("first point"))
                await expect(measure).to_have_attribute("aria-pressed", "true")
                await tab.page.mouse.click(500, 300)
                await tab.shows(live_load_message="Now the second point.")
                await press(tab, "Escape")
                await tab.shows(tool="", drawing_count=0, live_load_message="")
            await draw(tab, "Measure", (500, 500), (900, 300))
            await tab.shows(drawing_count=1)
            spoken = tab.page.locator("[data-part=spoken]")
            said = re.compile(r"^\+[\d.]+ \(\+[\d.]+%\), \d+ candles, (\d+ hr )?\d+ min$")
            await expect(spoken).to_have_text(said)

    play(scenario())


def test_enter_measures_at_the_crosshair(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, rising(200))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            await tab.view.focus()
            await press(tab, "ArrowLeft", "r")
            await tab.shows(tool="measure")
            await press(tab, "Enter", "Shift+ArrowLeft", "ArrowLeft", "Enter")
            await tab.shows(tool="", drawing_count=1)
            spoken = tab.page.locator("[data-part=spoken]")
            await expect(spoken).to_have_text("-11.0 (-3.68%), 11 candles, 11 min")

    play(scenario())


def test_drawings_are_remembered_by_series_and_can_be_removed(
    server: LiveServer, symbol: str
) -> None:
    one, five = (f"binance:futures:{symbol}:{timeframe}" for timeframe in ("1m", "5m"))
    server.fill(one, golden_candles("box_2_1"))
    server.fill(five, [{**c, "candle_time": c["candle_time"] * 5} for c in rising(3, 1700000100)])

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, one)
            empty = await painted_at(tab, 700, 650)
            await draw(tab, "Price line", (700, 650))
            await draw(tab, "Trend line", (400, 600), (800, 620))
            assert await painted_at(tab, 700, 650) != empty
            await press(tab, "2")
            await tab.shows(series_id=five, drawing_count=0)
            await press(tab, "1")
            await tab.shows(series_id=one, ready=1, drawing_count=2)
            await tab.page.reload()
            await tab.shows(ready=1, drawing_count=2)
            assert await painted_at(tab, 700, 650) != empty
            await tab.page.mouse.click(700, 650)
            remove = tab.page.get_by_role("button", name="Remove", exact=True)
            await expect(remove).to_be_enabled()
            await press(tab, "Delete")
            await tab.shows(drawing_count=1)
            await expect(remove).to_be_disabled()
            assert await painted_at(tab, 700, 650) == empty

    play(scenario())


def test_drawing_is_undone_by_key_and_button(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            undo = tab.page.get_by_role("button", name="Undo", exact=True)
            await expect(undo).to_be_disabled()
            await draw(tab, "Price line", (700, 600))
            await draw(tab, "Price line", (700, 500))
            await press(tab, "Control+z")
            await tab.shows(drawing_count=1)
            await undo.click()
            await tab.shows(drawing_count=0)
            await expect(undo).to_be_disabled()

    play(scenario())


def test_a_click_with_a_tool_opens_no_card(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            for x in range(300, 1100, 100):
                await draw(tab, "Trend line", (x, 350), (x + 60, 350))
            close = tab.page.get_by_test_id("structure-card").get_by_role("button", name="Close")
            await expect(close).to_be_hidden()
            await tab.shows(drawing_count=8)

    play(scenario())


def test_fingers_measure_too_and_find_the_tools_on_a_phone(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        phone = {"width": 390, "height": 800}
        async with open_tab(viewport=phone, has_touch=True) as tab:
            await visit(tab, server, series_id)
            await tab.page.get_by_role("button", name="Measure", exact=True).tap()
            await tab.shows(tool="measure")
            box = await tab.view.bounding_box()
            assert box
            for share in (0.3, 0.6):
                await tab.page.touchscreen.tap(box["x"] + share * box["width"], box["y"] + 200)
            await tab.shows(tool="", drawing_count=1)

    play(scenario())
