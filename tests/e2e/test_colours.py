"""Which colour a rising candle has is the choice of who looks."""

import pytest

from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.live_server import LiveServer, flat
from tests.e2e.test_live import START, visit

pytestmark = pytest.mark.e2e

STRONGEST = """() => {
    const sum = [0, 0, 0];
    for (const canvas of document.querySelectorAll("[data-chart-area] canvas")) {
        const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        for (let i = 0; i < data.length; i += 4) {
            const [r, g, b, a] = data.subarray(i, i + 4);
            if (a > 200 && Math.max(r, g, b) - Math.min(r, g, b) > 60)
                [r, g, b].forEach((part, k) => (sum[k] += part));
        }
    }
    return ["red", "green", "blue"][sum.indexOf(Math.max(...sum))];
}"""


async def strongest(tab: Tab) -> str:
    await tab.painted()
    found: str = await tab.page.evaluate(STRONGEST)
    return found


def test_rising_candles_take_the_chosen_colour_and_keep_it(
    server: LiveServer, series_id: str
) -> None:
    candles = [
        {"candle_time": START + 60 * i, "open": i + 1, "high": i + 3, "low": i + 1, "close": i + 3}
        | {"volume": 10}
        for i in range(60)
    ]
    server.fill(series_id, candles)

    async def scenario() -> None:
        async with open_tab(color_scheme="dark") as tab:
            await visit(tab, server, series_id)
            assert await strongest(tab) == "green"
            choice = tab.page.get_by_test_id("colors-select")
            for value, colour in (("red-up", "red"), ("blue-orange", "blue")):
                await choice.select_option(value)
                assert await strongest(tab) == colour
            await tab.page.reload()
            await tab.shows(ready=1)
            assert await strongest(tab) == "blue"
            await choice.select_option("green-up")
            assert await strongest(tab) == "green"

    play(scenario())


def test_the_small_charts_of_all_series_take_the_chosen_colour(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, [flat(START + 60 * i, i + 1) for i in range(3)])
    stroke = "(line) => getComputedStyle(line).stroke"

    async def scenario() -> None:
        async with open_tab(color_scheme="light") as tab:
            await tab.page.goto(server.url)
            line = tab.page.locator(f'[data-series-id="{series_id}"] .spark')
            choice = tab.page.get_by_test_id("colors-select")
            for value, colour in (("red-up", "rgb(180, 35, 47)"), ("green-up", "rgb(15, 122, 82)")):
                await choice.select_option(value)
                assert await line.evaluate(stroke) == colour

    play(scenario())
