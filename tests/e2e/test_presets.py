"""Ready choices of what is drawn."""

import json

import pytest
from playwright.async_api import expect

from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.live_server import LiveServer, golden_candles
from tests.e2e.test_live import SOME, visit

pytestmark = pytest.mark.e2e

HIDE_PENS = {"version": 3, "state": {"visibleFeatures": {"pen": False}, "other": 1}}


async def shown(tab: Tab) -> str:
    """Return the preset that the list shows."""
    script = "select => select.selectedOptions[0].text"
    found: str = await tab.page.get_by_test_id("preset-select").evaluate(script)
    return found


def test_a_preset_switches_features_and_is_remembered(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            presets = tab.page.get_by_test_id("preset-select")
            assert await shown(tab) == "Usual"
            await presets.select_option("Pens and zhongshu")
            await tab.shows(
                pivot_count=0, anchor_count=0, pen_point_count=SOME, zhongshu_count=SOME
            )
            await expect(tab.page.get_by_test_id("factor-toggle-pivot")).not_to_be_checked()
            await tab.page.reload()
            await tab.shows(ready=1, pivot_count=0, zhongshu_count=SOME)
            assert await shown(tab) == "Pens and zhongshu"
            await presets.select_option("Nothing")
            await tab.shows(pen_point_count=0, zhongshu_count=0)
            await presets.select_option("Everything")
            await tab.shows(hidden_features="", pivot_count=SOME, anchor_count=SOME)
            await presets.select_option("Only what is settled")
            await tab.shows(
                hidden_features="pen.extending pen.candidate zhongshu.alive anchor.current"
            )

    play(scenario())


def test_switching_by_hand_makes_a_choice_of_ones_own(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        saved = ("trade-canvas-factors", json.dumps(HIDE_PENS))
        async with open_tab(saved=saved) as tab:
            await visit(tab, server, series_id)
            assert await shown(tab) == "Own choice"
            await tab.page.get_by_test_id("factor-toggle-pen").check()
            assert await shown(tab) == "Usual"
            await tab.page.get_by_test_id("factor-toggle-zhongshu").uncheck()
            assert await shown(tab) == "Own choice"
            await tab.page.get_by_test_id("preset-select").select_option("Everything")
            stored = json.loads(
                await tab.page.evaluate("localStorage.getItem('trade-canvas-factors')")
            )
            assert (stored["version"], stored["state"]["other"]) == (3, 1)

    play(scenario())
