"""A link opens the view that it was made of."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import expect

from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.live_server import LiveServer, golden_candles
from tests.e2e.test_history import repeated
from tests.e2e.test_live import at, rising, visit

pytestmark = pytest.mark.e2e

VIEW = re.compile(r"&from=\d+&to=\d+$")
BARE = re.compile(r"series_id=[^&]+$")


def view(tab: Tab) -> dict[str, str]:
    """Return what the address says, each value once."""
    return {name: values[0] for name, values in parse_qs(urlsplit(tab.page.url).query).items()}


async def opened(tab: Tab, server: LiveServer, series_id: str, **query: Any) -> None:
    """Open a link to a place of a series."""
    place = "".join(f"&{name}={value}" for name, value in query.items())
    await tab.page.goto(at(server, series_id) + place)
    await tab.shows(series_id=series_id, ready=1, ws_state="open")


async def drag(tab: Tab, by: int) -> None:
    await tab.page.mouse.move(600, 450)
    await tab.page.mouse.down()
    await tab.page.mouse.move(600 + by, 450, steps=4)
    await tab.page.mouse.up()
    await tab.painted()


def test_the_address_names_the_view_and_opens_it_again(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, repeated(3))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            assert view(tab) == {"series_id": series_id}
            await drag(tab, 400)
            await tab.page.get_by_role("button", name="Zoom in").click()
            await expect(tab.page).to_have_url(VIEW)
            link, spacing = tab.page.url, await tab.number("bar_spacing")
            await tab.page.goto("about:blank")
            await tab.page.goto(link)
            await tab.shows(ready=1)
            assert await tab.number("bar_spacing") == pytest.approx(spacing, rel=0.02)
            await tab.page.wait_for_timeout(600)
            assert tab.page.url == link
            await tab.page.get_by_role("button", name="Fit").click()
            await expect(tab.page).to_have_url(BARE)

    play(scenario())


def test_another_series_begins_at_its_newest_candle(server: LiveServer, symbol: str) -> None:
    one, other = (f"binance:futures:{symbol}:{timeframe}" for timeframe in ("1m", "5m"))
    server.fill(one, repeated(2))
    server.fill(other, [{**c, "candle_time": c["candle_time"] * 5} for c in repeated(1)])

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, one)
            await drag(tab, 400)
            await expect(tab.page).to_have_url(VIEW)
            await tab.page.get_by_test_id("timeframe-tag-5m").click()
            await tab.shows(series_id=other, ready=1)
            await expect(tab.page).to_have_url(BARE)
            assert view(tab) == {"series_id": other}

    play(scenario())


def test_a_time_is_shown_in_the_middle_with_the_crosshair_on_it(
    server: LiveServer, series_id: str
) -> None:
    candles = repeated(2)
    server.fill(series_id, candles)

    async def scenario() -> None:
        async with open_tab() as tab:
            await opened(tab, server, series_id, at=candles[300]["candle_time"] + 30)
            await expect(tab.page.locator("[data-legend=place]")).to_contain_text("candle 301 of")
            await expect(tab.page).to_have_url(VIEW)
            shown = view(tab)
            middle = (int(shown["from"]) + int(shown["to"])) / 2
            assert middle == pytest.approx(candles[300]["candle_time"], abs=60)

    play(scenario())


CHART = """async (candles) => {
  const { ChartView } = await import("/static/tc/chart/chart.js");
  const { readPalette } = await import("/static/tc/chart/palette.js");
  const box = document.body.appendChild(document.createElement("div"));
  box.style = "position: fixed; inset: 0; width: 800px; height: 400px";
  const view = new ChartView(box, readPalette(box), "en");
  const frame = () => new Promise(requestAnimationFrame);
  view.setCandles(candles, { kind: "all" }, null);
  view.fit();
"""
CROSSHAIR = """
  const heard = [];
  view.attach({ attached: ({ chart }) =>
    chart.subscribeCrosshairMove(({ logical }) => heard.push(logical)) });
  const places = [];
  for (const bar of [300, 100]) {
    view.setRange(bar - 50, bar + 50);
    view.setCrosshair(bar);
    for (let n = 0; n < 4; n += 1) await frame();
    // Nobody hears of a crosshair that was put; a view that is set again says where it is.
    view.setRange(bar - 50, bar + 50);
    for (let n = 0; n < 2; n += 1) await frame();
    places.push(heard.at(-1));
  }
  return places;
}"""
FITTED = """
  const seen = [];
  for (let fits = 0; fits < 2; fits += 1) {
    for (let n = 0; n < 4; n += 1) await frame();
    seen.push(Math.round(view.range.from), Math.round(view.range.to));
    view.fit();
  }
  return seen;
}"""


def on_a_chart(server: LiveServer, series_id: str, script: str) -> list[int]:
    """Return what a script says of a chart of its own, made with its candles."""
    server.fill(series_id, repeated(1))

    async def scenario() -> Any:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            return await tab.page.evaluate(CHART + script, repeated(2))

    said: list[int] = play(scenario())
    return said


def test_the_crosshair_stays_on_its_bar_when_the_view_has_just_moved(
    server: LiveServer, series_id: str
) -> None:
    assert on_a_chart(server, series_id, CROSSHAIR) == [300, 100]


def test_a_chart_that_begins_with_its_candles_is_fitted_as_later(
    server: LiveServer, series_id: str
) -> None:
    first, last, later_first, later_last = on_a_chart(server, series_id, FITTED)

    assert (first, last) == (later_first, later_last)
    assert 260 <= last - first <= 270


def test_older_candles_are_brought_for_a_link(server: LiveServer, series_id: str) -> None:
    candles = repeated(13)
    server.fill(series_id, candles)
    wanted = candles[700]["candle_time"]

    async def scenario() -> None:
        async with open_tab() as tab:
            place = {"from": wanted, "to": candles[900]["candle_time"]}
            await opened(tab, server, series_id, **place)
            await tab.shows(history_start=candles[500]["candle_time"], live_load_message="")
            await expect(tab.page.get_by_role("button", name="Go to latest")).to_be_visible()
            await tab.page.wait_for_timeout(600)
            assert int(view(tab)["from"]) == pytest.approx(wanted, abs=60)
            await expect(tab.page.get_by_test_id("toast")).to_have_count(0)

    play(scenario())


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"at": 1500000000}, "There are no candles before"),
        ({"from": 1500000000, "to": 1500006000}, "There are no candles before"),
        ({"at": 1900000000}, "The newest candle is of"),
        ({"at": "soon", "from": "-5", "to": "now"}, ""),
    ],
)
def test_a_place_without_candles_is_said_in_words(
    server: LiveServer, series_id: str, place: dict[str, Any], said: str
) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab() as tab:
            await opened(tab, server, series_id, **place)
            toast = tab.page.get_by_test_id("toast")
            if said:
                await expect(toast).to_contain_text(said)
            else:
                await expect(toast).to_have_count(0)

    play(scenario())


def test_what_a_chart_cannot_hold_is_said_in_words(server: LiveServer, series_id: str) -> None:
    candles = rising(21_000)
    for start in range(0, len(candles), 5000):
        server.fill(series_id, candles[start : start + 5000])

    async def scenario() -> None:
        async with open_tab() as tab:
            await opened(tab, server, series_id, at=candles[5]["candle_time"])
            await tab.shows(candles_len=20_000, live_load_message="")
            await expect(tab.page.get_by_test_id("toast")).to_contain_text("holds 20,000 candles")
            await expect(tab.page.locator("[data-legend=place]")).to_contain_text("candle 1 of")

    play(scenario())
