"""What the keys do on /live, and that everything they do has a control to click."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import expect

from tests.e2e import test_live
from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.live_server import LiveServer, flat, golden_candles
from tests.e2e.test_live import START, rising

pytestmark = pytest.mark.e2e

WHEN = "[data-legend=when]"
PLACE = "[data-legend=place]"


async def visit(tab: Tab, server: LiveServer, series_id: str) -> None:
    """Open the page, and wait for the module that the first key brings."""
    await test_live.visit(tab, server, series_id)
    async with tab.page.expect_response("**/keys*.js"):
        await tab.page.keyboard.press("Shift")
    await tab.painted()


async def press(tab: Tab, *keys: str) -> None:
    for key in keys:
        await tab.page.keyboard.press(key)
        await tab.painted()


async def bar(tab: Tab) -> int:
    """Return the number of the candle that the legend speaks of."""
    text = await tab.page.locator(PLACE).inner_text()
    return int(text.split()[1])


def test_question_mark_lists_the_keys_and_escape_closes_the_list(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            shown = tab.page.get_by_test_id("shortcut-help")
            await expect(shown).to_be_hidden()
            await press(tab, "?")
            await expect(shown).to_contain_text("Crosshair by one bar")
            await press(tab, "z")
            await expect(tab.page.get_by_test_id("factor-toggle-zhongshu")).to_be_checked()
            await press(tab, "Escape")
            await expect(shown).to_be_hidden()
            await tab.page.get_by_role("button", name="Keyboard shortcuts").click()
            await expect(shown).to_be_visible()
            await shown.get_by_role("button", name="Close").click()
            await expect(shown).to_be_hidden()

    play(scenario())


def test_the_list_holds_every_key_that_does_something(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, rising(3))
    signs = {"arrowleft": "←", "arrowright": "→", "arrowup": "↑", "arrowdown": "↓", "escape": "esc"}

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            names = await tab.page.evaluate(
                "import('/static/tc/app/keys.js').then(({ NAMES }) => NAMES)"
            )
            script = "all => all.map(key => key.textContent.toLowerCase())"
            listed = await tab.page.locator("kbd").evaluate_all(script)
            listed += [part for text in listed for part in text.split()]
            assert "arrowleft" in names
            assert [name for name in names if signs.get(name, name) not in listed] == []

    play(scenario())


def test_keys_choose_timeframe_and_symbol(server: LiveServer, symbol: str) -> None:
    one, five = (f"binance:swap:{symbol}:{timeframe}" for timeframe in ("1m", "5m"))
    other = f"binance:swap:{symbol.replace('TEST', 'TESTX')}:5m"
    for series in (one, five, other):
        server.fill(series, [flat(START, 1)])

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, one)
            await press(tab, "2")
            await tab.shows(series_id=five)
            await press(tab, "]")
            await tab.shows(series_id=other)
            await press(tab, "[")
            await tab.shows(series_id=five)

    play(scenario())


def test_search_opens_a_series_and_takes_no_letter_for_a_key(
    server: LiveServer, symbol: str
) -> None:
    one, wanted = f"binance:futures:{symbol}:1m", f"binance:spot:{symbol}:1h"
    server.fill(one, rising(3))
    server.fill(wanted, [flat(START, 1)])

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, one)
            search = tab.page.get_by_test_id("series-search")
            options = tab.page.locator("#series-list option")
            values = await options.evaluate_all("all => all.map(one => one.value)")
            assert {one, wanted} <= set(values)
            await press(tab, "/")
            await expect(search).to_be_focused()
            await tab.page.keyboard.type(wanted)
            await expect(search).to_have_value(wanted)
            await press(tab, "Enter")
            await tab.shows(series_id=wanted, candles_len=1)
            await expect(search).to_have_value("")
            await press(tab, "/")
            await tab.page.keyboard.type("nothing/such")
            await press(tab, "Enter")
            toast = tab.page.get_by_text("“nothing/such” is not a series that this server knows.")
            await expect(toast).to_be_visible()
            await search.fill(symbol.replace("/", "").lower())
            await press(tab, "Enter")
            await expect(tab.view).to_have_attribute("data-series-id", re.compile(symbol))
            await expect(search).to_have_value("")

    play(scenario())


@pytest.mark.parametrize(
    ("key", "counted"),
    [("p", "pivot"), ("b", "pen_point"), ("z", "zhongshu"), ("a", "anchor")],
)
def test_letters_switch_the_factors(
    server: LiveServer, series_id: str, key: str, counted: str
) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            before: Any = await tab.value(f"{counted}_count")
            assert int(before) > 0
            await press(tab, key)
            await tab.shows(**{f"{counted}_count": 0})
            await press(tab, key)
            await tab.shows(**{f"{counted}_count": before})

    play(scenario())


def test_plus_minus_and_zero_zoom_as_their_buttons_do(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            first = await tab.number("bar_spacing")
            await press(tab, "+")
            near = await tab.number("bar_spacing")
            assert near > first
            await press(tab, "-", "-")
            assert await tab.number("bar_spacing") < first
            await press(tab, "0")
            assert await tab.number("bar_spacing") == pytest.approx(first, rel=0.05)
            await tab.page.get_by_role("button", name="Zoom in").click()
            await tab.painted()
            assert await tab.number("bar_spacing") == pytest.approx(near, rel=0.05)

    play(scenario())


def test_home_and_end_go_to_the_ends_of_what_is_held(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            latest = tab.page.get_by_role("button", name="Go to latest")
            for back in ("End", "l"):
                await press(tab, "Home")
                await expect(latest).to_be_visible()
                await press(tab, back)
                await expect(latest).to_be_hidden()
            await press(tab, "Home")
            await expect(latest).to_be_visible()
            await tab.view.focus()
            await press(tab, "ArrowRight")
            assert await bar(tab) < 400

    play(scenario())


def test_arrows_move_the_crosshair_and_walk_through_structures(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            await press(tab, "ArrowLeft")
            assert await bar(tab) == 500
            await tab.view.focus()
            await press(tab, "ArrowLeft", "ArrowLeft", "Shift+ArrowLeft", "ArrowRight")
            assert await bar(tab) == 490
            spoken = tab.page.locator("[data-part=spoken]")
            await expect(spoken).to_contain_text("candle 490 of 500")
            await press(tab, "ArrowDown")
            hovered = await tab.value("hovered")
            assert hovered
            await expect(spoken).to_contain_text(re.compile(r"\d,\d{3}\.\d|\d\.\d"))
            await expect(spoken).not_to_contain_text("candle 490")
            await press(tab, "ArrowDown")
            assert await tab.value("hovered") not in ("", hovered)
            await press(tab, "ArrowUp")
            await tab.shows(hovered=hovered)
            card = tab.page.get_by_test_id("structure-card")
            await press(tab, "Enter")
            await expect(card).to_contain_text(hovered)
            await expect(card.get_by_role("button", name="Close")).to_be_visible()
            await press(tab, "Escape")
            await expect(card.get_by_role("button", name="Close")).to_be_hidden()

    play(scenario())


def test_keys_with_control_or_in_a_list_stay_with_the_browser(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            zhongshu = tab.page.get_by_test_id("factor-toggle-zhongshu")
            await press(tab, "Control+z")
            await tab.page.get_by_test_id("theme-select").focus()
            await press(tab, "z")
            await expect(zhongshu).to_be_checked()

    play(scenario())


def test_closed_candles_are_told_only_on_wish(server: LiveServer, series_id: str) -> None:
    candles = rising(5)
    server.fill(series_id, candles[:3])

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            spoken = tab.page.locator("[data-part=spoken]")
            async with tab.page.expect_response("**/speech*.js"):
                await press(tab, "?")
            await asyncio.to_thread(server.close_candle, series_id, candles[3])
            await tab.shows(candles_len=4)
            await tab.page.wait_for_timeout(300)
            await expect(spoken).to_have_text("")
            await tab.page.get_by_label("Tell screen readers of each closed candle").check()
            await press(tab, "Escape")
            await tab.page.reload()
            async with tab.page.expect_response("**/speech*.js"):
                await tab.shows(ready=1, ws_state="open")
            await tab.painted()
            await asyncio.to_thread(server.close_candle, series_id, candles[4])
            await expect(spoken).to_have_text(
                "The candle of Nov 14, 2023, 22:17 UTC closed at 104.0."
            )

    play(scenario())
