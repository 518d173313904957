"""Candles that are missing are seen on the chart."""

import pytest

from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.live_server import LiveServer
from tests.e2e.test_live import rising, visit

pytestmark = pytest.mark.e2e

RECORD_TEXTS = """
    window.painted = [];
    const paint = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
        window.painted.push(text);
        return paint.call(this, text, ...rest);
    };
"""


async def numbers(tab: Tab, server: LiveServer, series_id: str) -> list[str]:
    """Return the texts that the page has painted on its canvases."""
    await tab.page.add_init_script(RECORD_TEXTS)
    await visit(tab, server, series_id)
    await tab.painted()
    found: list[str] = await tab.page.evaluate("window.painted")
    return found


def test_a_gap_tells_how_many_candles_are_missing(server: LiveServer, series_id: str) -> None:
    candles = rising(100)
    server.fill(series_id, candles[:60] + candles[77:])

    async def scenario() -> None:
        async with open_tab() as tab:
            assert "17" in await numbers(tab, server, series_id)

    play(scenario())


def test_without_a_gap_no_number_is_painted(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, rising(100))

    async def scenario() -> None:
        async with open_tab() as tab:
            assert "17" not in await numbers(tab, server, series_id)

    play(scenario())
