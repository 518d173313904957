"""What /live shows, read from the attributes of its chart view."""

import asyncio
import gzip
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.async_api import Route, expect

from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.budgets import ASKED
from tests.e2e.live_server import LiveServer, flat, golden_candles

pytestmark = pytest.mark.e2e

START = 1700000000
SOME = re.compile(r"[1-9]\d*")
BEHIND = {"detail": "ledger_out_of_sync:overlay"}


def rising(count: int, start: int = START) -> list[dict[str, Any]]:
    return [flat(start + 60 * i, 100 + i) for i in range(count)]


def at(server: LiveServer, series_id: str) -> str:
    return f"{server.url}/live?series_id={quote(series_id, safe='')}"


async def visit(tab: Tab, server: LiveServer, series_id: str) -> None:
    await tab.page.goto(at(server, series_id))
    await tab.shows(series_id=series_id, ready=1, ws_state="open")
    await expect(tab.page.get_by_test_id("kline-health-lamp")).to_be_attached(timeout=10_000)


def test_good_load_reads_candles_once(server: LiveServer, series_id: str) -> None:
    """Shows behaviour 1: one read of candles on a good load."""
    candles = golden_candles("box_2_1")
    server.fill(series_id, candles)

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            last = candles[-1]
            await tab.shows(
                candles_len=len(candles),
                last_time=last["candle_time"],
                live_load_status="ready",
                live_load_message="",
                structure_time=last["candle_time"],
                structure_lag=0,
            )
            await tab.shows(pivot_count=SOME, pen_point_count=SOME, zhongshu_count=SOME)
            await tab.shows(anchor_count=SOME, anchor_on=1, anchor_top_layer_path_count=SOME)
            assert float(await tab.value("last_close")) == last["close"]
            assert len(tab.reads("/api/market/candles")) == 1
            assert len(tab.reads("/api/frame/live")) == 1
            assert tab.reads("/api/factor/slices") == []
            # The page itself asked for both, and the modules used both answers.
            early = "JSON.parse(document.getElementById('reads').textContent)"
            assert len(await tab.page.evaluate(early)) == 2
            assert await tab.page.evaluate("Object.keys(firstReads)") == []

    play(scenario())


def test_no_candles_are_held_while_they_load(server: LiveServer, series_id: str) -> None:
    """Shows behaviour 1: no candles are held while they load."""
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        released = asyncio.Event()

        async def hold(route: Route) -> None:
            await released.wait()
            await route.continue_()

        async with open_tab() as tab:
            await tab.page.route("**/api/market/candles?*", hold)
            await tab.page.goto(at(server, series_id))
            await tab.shows(series_id=series_id, candles_len=0, live_load_status="loading")
            await tab.shows(live_load_message="Loading candles…", ready=0)
            assert await tab.value("ws_state") == "connecting"
            released.set()
            await tab.shows(candles_len=3, live_load_status="ready", ready=1)

    play(scenario())


def test_empty_series_says_so_and_comes_alive(server: LiveServer, series_id: str) -> None:
    server.fill("binance:futures:FIRST/USDT:1m", rising(2))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            await tab.shows(live_load_status="empty", candles_len=0)
            await expect(tab.page.get_by_text(f"No candles for {series_id} yet.")).to_be_visible()
            await asyncio.to_thread(server.close_candle, series_id, flat(START, 7))
            await tab.shows(last_close=7, live_load_status="ready", structure_time=START)

    play(scenario())


def test_page_of_a_fresh_database_tells_how_to_begin(own_server: LiveServer) -> None:
    async def scenario() -> None:
        async with open_tab() as tab:
            await tab.page.goto(f"{own_server.url}/live")
            await tab.shows(series_id="binance:futures:BTC/USDT:1m", live_load_status="empty")
            await expect(tab.page.get_by_text("No series here yet.")).to_be_visible()

    play(scenario())


def test_burst_of_closes_reads_few_deltas(server: LiveServer, series_id: str) -> None:
    """Shows behaviour 4: 120 closed candles, few reads."""
    candles = golden_candles("box_2_1")
    server.fill(series_id, candles[:100])

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            for candle in candles[100:220]:
                await asyncio.to_thread(server.close_candle, series_id, candle)
            last = candles[219]["candle_time"]
            await tab.shows(last_time=last, last_ws_candle_time=last, candles_len=220)
            await tab.shows(structure_time=last, structure_lag=0)
            assert 1 <= len(tab.reads("/api/draw/delta")) < 15
            assert len(tab.reads("/api/factor/slices")) <= 1
            assert len(tab.reads("/api/market/candles")) == 1

    play(scenario())


def test_pieced_together_drawing_equals_a_fresh_one(server: LiveServer, series_id: str) -> None:
    candles = golden_candles("box_2_1")
    server.fill(series_id, candles[:300])
    drawn = (
        "structure_time", "pivot_count", "pen_point_count", "zhongshu_count", "anchor_count",
        "anchor_switch_count", "anchor_highlight_start_time", "anchor_highlight_end_time",
        "anchor_highlight_dashed", "candles_len", "last_close",
    )  # fmt: skip

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            for candle in candles[300:330]:
                await asyncio.to_thread(server.close_candle, series_id, candle)
            await tab.shows(structure_time=candles[329]["candle_time"])
            pieced = {name: await tab.value(name) for name in drawn}
            await tab.page.reload()
            await tab.shows(ready=1, structure_time=candles[329]["candle_time"])
            assert {name: await tab.value(name) for name in drawn} == pieced

    play(scenario())


def test_timeframe_switch_clears_before_the_new_comes(server: LiveServer, symbol: str) -> None:
    """Shows behaviour 5: counts drop to 0 within 1.5 s."""
    one, five = (f"binance:futures:{symbol}:{timeframe}" for timeframe in ("1m", "5m"))
    candles = golden_candles("box_2_1")
    server.fill(one, candles)
    server.fill(five, [{**c, "candle_time": 5 * c["candle_time"]} for c in candles[:200]])

    async def scenario() -> None:
        held = asyncio.Event()

        async def hold(route: Route) -> None:
            await held.wait()
            await route.continue_()

        async with open_tab() as tab:
            await visit(tab, server, one)
            await tab.shows(pivot_count=SOME, zhongshu_count=SOME)
            await tab.page.route("**/api/frame/live?*", hold)
            await tab.page.get_by_test_id("timeframe-tag-5m").click()
            await tab.shows(1500, series_id=five, pivot_count=0, zhongshu_count=0, anchor_count=0)
            await tab.shows(1500, pen_point_count=0, anchor_switch_count=0, ready=0)
            held.set()
            await tab.shows(pivot_count=SOME, candles_len=200, ready=1)

    play(scenario())


def test_quick_switches_leave_no_stale_series(server: LiveServer, symbol: str) -> None:
    """Shows behaviour 5: quick switches leave no stale series."""
    five, fifteen = (f"binance:futures:{symbol}:{timeframe}" for timeframe in ("5m", "15m"))
    server.fill(five, [flat(START + 300 * i, 5 + i) for i in range(5)])
    server.fill(fifteen, [flat(START + 900 * i, 50 + i) for i in range(7)])

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, five)
            for timeframe in ("15m", "5m", "15m", "5m"):
                await tab.page.get_by_test_id(f"timeframe-tag-{timeframe}").click()
            await tab.shows(series_id=five, candles_len=5, last_close=9, ready=1, ws_state="open")
            await asyncio.to_thread(server.close_candle, fifteen, flat(START + 6300, 99))
            await asyncio.to_thread(server.close_candle, five, flat(START + 1500, 10))
            await tab.shows(last_close=10, candles_len=6)
            assert quote(five, safe="") in tab.page.url

    play(scenario())


def test_anchor_is_highlighted_once_its_candles_are_held(
    server: LiveServer, series_id: str
) -> None:
    """Shows behaviour 6: the anchor waits for its candles."""
    candles = golden_candles("box_2_1")
    server.fill(series_id, candles)
    seconds = candles[1]["candle_time"] - candles[0]["candle_time"]
    few = candles[-3:]

    async def shorten(route: Route) -> None:
        if "since=" in route.request.url:
            await route.continue_()
            return
        body = {"series_id": series_id, "server_head_time": few[-1]["candle_time"], "candles": few}
        await route.fulfill(json=body)

    async def scenario() -> None:
        async with open_tab() as tab:
            await tab.page.route("**/api/market/candles?*", shorten)
            await tab.page.route_web_socket("**/ws/market", lambda socket: sockets.append(socket))
            await tab.page.goto(at(server, series_id))
            await tab.shows(candles_len=3, anchor_highlight_point_count=0, ready=1)
            await tab.shows(anchor_highlight_start_time="", anchor_highlight_end_time="")
            sockets[0].send(
                json.dumps(
                    {
                        "type": "gap",
                        "series_id": series_id,
                        "expected_next_time": candles[0]["candle_time"] + seconds,
                        "actual_time": few[0]["candle_time"],
                    }
                )
            )
            await tab.shows(candles_len=len(candles) - 1, anchor_highlight_point_count=2)
            assert await tab.number("anchor_highlight_start_time") >= candles[0]["candle_time"]

    sockets: list[Any] = []
    play(scenario())


@pytest.mark.parametrize("version", [0, 99])
def test_saved_state_of_any_version_is_used(
    server: LiveServer, series_id: str, symbol: str, version: int
) -> None:
    """Shows behaviour 10: any version is accepted."""
    server.fill(series_id, rising(3))
    state = {"symbol": symbol, "sidebarWidth": 300, "market": "futures"}
    saved = ("trade-canvas-ui", json.dumps({"version": version, "state": state}))

    async def scenario() -> None:
        async with open_tab(saved=saved) as tab:
            await tab.page.goto(f"{server.url}/live")
            await tab.shows(series_id=series_id, candles_len=3)
            await expect(tab.page.get_by_test_id("symbol-select")).to_have_value(symbol)

    play(scenario())


@pytest.mark.parametrize("text", ["{", "null", '{"version":1,"state":[1]}'])
def test_saved_state_that_does_not_parse_gives_the_default(server: LiveServer, text: str) -> None:
    """Shows behaviour 10: the defaults."""

    async def scenario() -> None:
        async with open_tab(saved=("trade-canvas-ui", text)) as tab:
            await tab.page.goto(f"{server.url}/live")
            await tab.shows(series_id="binance:futures:BTC/USDT:1m")

    play(scenario())


def test_link_wins_over_saved_state_and_is_remembered(server: LiveServer, symbol: str) -> None:
    linked = f"kraken:spot:{symbol}:7m"
    server.fill(linked, [flat(START + 420 * i, i + 1) for i in range(4)])
    saved = ("trade-canvas-ui", json.dumps({"version": 1, "state": {"symbol": "OTHER/USDT"}}))

    async def scenario() -> None:
        async with open_tab(saved=saved) as tab:
            await visit(tab, server, linked)
            pressed = tab.page.locator("[data-part=series] [aria-pressed=true]")
            await expect(pressed).to_have_text(["Spot", "7m"])
            await tab.page.goto(f"{server.url}/live")
            await tab.shows(series_id=linked, candles_len=4)

    play(scenario())


def test_link_that_is_no_series_is_named(server: LiveServer) -> None:
    async def scenario() -> None:
        async with open_tab() as tab:
            await tab.page.goto(f"{server.url}/live?series_id=nonsense")
            toast = tab.page.get_by_test_id("toast")
            await expect(toast).to_have_attribute("data-level", "error")
            await expect(toast).to_contain_text("“nonsense” is not a series")
            await tab.shows(series_id="binance:futures:BTC/USDT:1m")

    play(scenario())


def test_factor_switches_hide_and_are_remembered(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            await tab.shows(pivot_count=SOME, hidden_features="pivot.minor")
            majors = await tab.number("pivot_count")
            await tab.page.locator("[data-testid=factor-pivot] summary").click()
            await tab.page.get_by_test_id("feature-toggle-pivot.minor").check()
            await tab.shows(hidden_features="")
            assert await tab.number("pivot_count") > majors
            await tab.page.get_by_test_id("factor-toggle-pivot").uncheck()
            await tab.shows(pivot_count=0, hidden_features="pivot.major pivot.minor")
            await tab.page.reload()
            await tab.shows(ready=1, pivot_count=0, pen_point_count=SOME)
            await tab.page.locator("[data-testid=factor-pivot] summary").focus()
            await tab.page.keyboard.press("Enter")
            await tab.page.get_by_test_id("feature-toggle-pivot.minor").uncheck()
            await tab.page.get_by_test_id("feature-toggle-pivot.major").uncheck()
            await tab.page.get_by_test_id("feature-toggle-pivot.major").check()
            await expect(tab.page.get_by_test_id("factor-toggle-pivot")).to_be_checked()
            await tab.shows(pivot_count=f"{majors:.0f}", hidden_features="pivot.minor")

    play(scenario())


def test_saved_factor_switches_are_used(server: LiveServer, series_id: str) -> None:
    """Shows behaviour 10: the switches of the factors."""
    server.fill(series_id, golden_candles("box_2_1"))
    visible = {"zhongshu": False, "pen.confirmed": False, "unknown.one": True}
    state = {"version": 4, "state": {"visibleFeatures": visible}}

    async def scenario() -> None:
        async with open_tab(saved=("trade-canvas-factors", json.dumps(state))) as tab:
            await visit(tab, server, series_id)
            await tab.shows(pivot_count=SOME, zhongshu_count=0, pen_point_count=0)

    play(scenario())


def test_pointer_finds_a_zhongshu_and_a_click_opens_its_card(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            found = await point_at(tab, "zhongshu.")
            card = tab.page.get_by_test_id("structure-card")
            await expect(card).to_be_hidden()
            await tab.page.mouse.down()
            await tab.page.mouse.up()
            await expect(card).to_contain_text(found)
            await tab.page.mouse.move(5, 5)
            await tab.shows(hovered="")
            await expect(card).to_contain_text("Upper edge (ZG)")
            await expect(card).to_contain_text("Visible since")
            await card.get_by_text("Raw data").click()
            raw = json.loads(await card.locator("pre").inner_text())
            ids = [item["instruction_id"] for item in raw["instructions"]]
            assert ids == [f"{found}:bottom", f"{found}:top"]
            await tab.page.mouse.move(5, 5)
            await tab.page.keyboard.press("Escape")
            await expect(card).to_be_hidden()

    play(scenario())


def test_card_of_a_zhongshu_tells_which_pens_made_it(server: LiveServer, series_id: str) -> None:
    candles = golden_candles("box_2_1")
    server.fill(series_id, candles)

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            await point_at(tab, "zhongshu.dead")
            await tab.page.mouse.down()
            await tab.page.mouse.up()
            card = tab.page.get_by_test_id("structure-card")
            await expect(card.get_by_role("heading", name="Why it is here")).to_be_visible()
            steps = await card.locator("ol li").all_inner_texts()
            entry, first, second, third, formed, edges, ended = steps
            assert entry.startswith("Entered by the pen ")
            assert formed.startswith("Formed at ")
            assert ended.startswith("Ended by the pen ")
            pens = [prices(step.split(": ")[1]) for step in (first, second, third)]
            zg, zd = prices(edges.split("ZG")[1].replace("is the lowest top of pens 1 to 3", ""))
            assert zg == min(max(pen) for pen in pens)
            assert zd == max(min(pen) for pen in pens)

    play(scenario())


def test_card_shows_its_structure_whole(server: LiveServer, series_id: str) -> None:
    candles = golden_candles("box_2_1")
    server.fill(series_id, candles)

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            found = await point_at(tab, "zhongshu.dead")
            await tab.page.mouse.down()
            await tab.page.mouse.up()
            spacing = await tab.number("bar_spacing")
            await tab.page.mouse.move(5, 5)
            await tab.page.get_by_role("button", name="Zoom in").click()
            card = tab.page.get_by_test_id("structure-card")
            await card.get_by_role("button", name="Show it whole").click()
            await expect(tab.page).to_have_url(re.compile("&from="))
            query = parse_qs(urlsplit(tab.page.url).query)
            start, end = (int(time) for time in found.split(":")[1:3])
            shown = [int(query[name][0]) for name in ("from", "to")]
            assert shown[0] < start < end < shown[1]
            assert shown[1] - shown[0] <= max(2 * (end - start), end - start + 45 * 60)
            assert await tab.number("bar_spacing") != spacing

    play(scenario())


def test_card_of_a_zhongshu_that_lives_is_never_that_of_another(
    server: LiveServer, series_id: str
) -> None:
    """Shows that a page that was left open tells of what is there, not of what was."""
    candles = golden_candles("box_2_1")
    server.fill(series_id, candles)

    def started(number: int) -> int | None:
        at_time = candles[number]["candle_time"]
        slices = server.get("/api/factor/slices", series_id=series_id, at_time=at_time)
        zhongshu = slices["snapshots"].get("zhongshu", {"head": {}})
        alive = zhongshu["head"].get("alive")
        return alive[0]["start_time"] if alive else None

    starts = [started(number) for number in range(len(candles))]
    last = next(n for n in range(len(starts) - 1, 0, -1) if starts[n])
    first = next(n for n in range(last, 0, -1) if starts[n] not in {None, starts[last]})
    live = series_id.replace("TEST", "LIVE")
    server.fill(live, candles[: first + 1])

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, live)
            await point_at(tab, "zhongshu.alive")
            await tab.page.mouse.down()
            await tab.page.mouse.up()
            card = tab.page.get_by_test_id("structure-card")
            await expect(card.locator("pre")).to_contain_text(f'"start_time": {starts[first]}')
            rest = candles[first + 1 : last + 1]
            await asyncio.to_thread(server.fill, live, rest, tell=True)
            await tab.shows(structure_time=candles[last]["candle_time"])
            await expect(card).to_be_hidden()
            toast = tab.page.get_by_text("Alive zhongshu: no longer on the chart.")
            await expect(toast).to_be_visible()
            await tab.page.mouse.move(5, 5)
            await point_at(tab, "zhongshu.alive", from_right=True)
            await tab.page.mouse.down()
            await tab.page.mouse.up()
            await expect(card.locator("pre")).to_contain_text(f'"start_time": {starts[last]}')

    play(scenario())


def test_a_finger_opens_a_card_too(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab(has_touch=True) as tab:
            await visit(tab, server, series_id)
            found = await point_at(tab, "zhongshu.dead")
            place = await tab.page.evaluate("window.pointed")
            await tab.page.mouse.move(5, 5)
            await tab.page.reload()
            await tab.shows(ready=1, hovered="")
            await expect(tab.page.get_by_test_id("kline-health-lamp")).to_be_attached()
            await tab.page.touchscreen.tap(*place)
            card = tab.page.get_by_test_id("structure-card")
            await expect(card).to_contain_text(found)
            await card.get_by_role("button", name="Close").click()
            await expect(card).to_be_hidden()
            await expect(tab.view).to_be_focused()

    play(scenario())


def prices(text: str) -> list[float]:
    return [float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*\.\d+", text)]


def test_card_of_a_pen_that_came_live_says_since_when(server: LiveServer, series_id: str) -> None:
    candles = golden_candles("box_2_1")
    server.fill(series_id, candles[:480])

    async def scenario() -> None:
        async with open_tab(saved=("trade-canvas-factors", only("pen.confirmed"))) as tab:
            await visit(tab, server, series_id)
            for candle in candles[480:]:
                await asyncio.to_thread(server.close_candle, series_id, candle)
            await tab.shows(structure_time=candles[-1]["candle_time"])
            found = await point_at(tab, "pen.confirmed:", from_right=True)
            card = tab.page.get_by_test_id("structure-card")
            await expect(card).to_contain_text(found)
            await tab.page.mouse.down()
            await tab.page.mouse.up()
            await expect(card.locator("dl")).to_contain_text(re.compile(r"\d+ candles? later"))

    play(scenario())


def only(feature: str) -> str:
    """Return saved factor switches that show one feature."""
    factors = ("pivot", "pen", "zhongshu", "anchor", "pen.extending", "pen.candidate")
    visible = {name: feature.startswith(name) for name in factors}
    return json.dumps({"version": 1, "state": {"visibleFeatures": visible}})


async def point_at(tab: Tab, prefix: str, *, from_right: bool = False) -> str:
    """Move the pointer over the chart until a structure of this kind is under it."""
    box = await tab.page.locator("[data-chart-area]").bounding_box()
    assert box is not None
    columns = range(8, 3, -1) if from_right else range(2, 9)
    for column in columns:
        for row in range(4, 60):
            x, y = box["x"] + box["width"] * column / 10, box["y"] + box["height"] * row / 80
            await tab.page.mouse.move(x, y)
            await tab.painted()
            hovered = await tab.value("hovered")
            if hovered.startswith(prefix):
                await tab.page.evaluate("place => (window.pointed = place)", [x, y])
                return hovered
    raise AssertionError(f"nothing of {prefix} on the chart")


def test_behind_ledger_is_asked_again(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, golden_candles("box_2_1"))
    answers = iter([BEHIND, BEHIND])

    async def behind_twice(route: Route) -> None:
        answer = next(answers, None)
        if answer is None:
            await route.continue_()
        else:
            await route.fulfill(status=409, json=answer)

    async def scenario() -> None:
        async with open_tab(allowed=["409"]) as tab:
            await tab.page.route("**/api/frame/live?*", behind_twice)
            await visit(tab, server, series_id)
            await tab.shows(pivot_count=SOME, live_load_message="")
            assert len(tab.reads("/api/frame/live")) == 3

    play(scenario())


def test_ledger_that_stays_behind_is_named_and_keeps_the_candles(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab(allowed=["409"]) as tab:
            await tab.page.route(
                "**/api/frame/live?*", lambda route: route.fulfill(status=409, json=BEHIND)
            )
            await visit(tab, server, series_id)
            message = re.compile(r"Structures for .* are not ready yet\.")
            await tab.shows(candles_len=3, live_load_message=message, structure_time="")
            assert len(tab.reads("/api/frame/live")) == 7
            await tab.page.unroute("**/api/frame/live?*")
            await asyncio.to_thread(server.close_candle, series_id, flat(START + 180, 9))
            await tab.shows(structure_time=START + 180, live_load_message="")

    play(scenario())


def test_failed_load_offers_another_try(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab(allowed=["500"]) as tab:
            await tab.page.route(
                "**/api/market/candles?*", lambda route: route.fulfill(status=500, json={})
            )
            await tab.page.goto(at(server, series_id))
            await tab.shows(live_load_status="error")
            await tab.shows(live_load_message="Could not load candles (500).")
            await tab.page.unroute("**/api/market/candles?*")
            await tab.page.get_by_role("button", name="Try again").click()
            await tab.shows(live_load_status="ready", candles_len=3, live_load_message="")

    play(scenario())


def test_hole_is_told_and_what_exists_is_fetched(server: LiveServer, series_id: str) -> None:
    """Shows a failure: a gap in what comes."""
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            jumped = START + 60 * 5
            await asyncio.to_thread(server.close_candle, series_id, flat(jumped, 9))
            await tab.shows(last_time=jumped, candles_len=4, structure_time=jumped)
            toast = tab.page.get_by_test_id("toast").filter(has_text="2 candles are missing before")
            await expect(toast).to_be_visible()
            [again] = tab.reads("/api/market/candles")[1:]
            assert parse_qs(urlsplit(again).query)["since"] == [str(START + 120)]

    play(scenario())


def test_corrected_candle_is_announced_and_read_again(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, golden_candles("box_2_1"))
    last = golden_candles("box_2_1")[-1]

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            corrected = {**last, "close": last["low"]}
            await asyncio.to_thread(server.close_candle, series_id, corrected)
            await tab.shows(last_close=repr(last["low"]), structure_lag=0)
            toast = tab.page.get_by_test_id("toast").filter(has_text="Structures were recomputed")
            await expect(toast).to_be_visible()

    play(scenario())


def test_killed_server_is_found_again_and_nothing_is_missed(own_server: LiveServer) -> None:
    """Shows a failure: the server is killed, and comes back."""
    series_id = "binance:futures:RECONNECT/USDT:1m"
    own_server.fill(series_id, rising(3))
    lost = ["ERR_CONNECTION_REFUSED", "WebSocket connection", "ERR_CONNECTION_RESET"]

    async def scenario() -> None:
        async with open_tab(allowed=lost) as tab:
            await visit(tab, own_server, series_id)
            await asyncio.to_thread(own_server.kill)
            await tab.shows(ws_state="reconnecting", candles_len=3)
            badge = tab.page.get_by_test_id("connection-badge")
            await expect(badge).to_have_text("Reconnecting")
            await expect(tab.page.get_by_text("Connection lost. Trying again in")).to_be_visible()
            await asyncio.to_thread(own_server.start)
            await asyncio.to_thread(own_server.fill, series_id, rising(5))
            await tab.shows(20_000, ws_state="open", last_time=START + 240, candles_len=5)
            await tab.shows(structure_time=START + 240, last_ws_candle_time=START + 240)
            toast = tab.page.get_by_test_id("toast").filter(has_text="Connected again.")
            await expect(toast).to_be_visible()
            await asyncio.to_thread(own_server.close_candle, series_id, flat(START + 300, 7))
            await tab.shows(last_close=7)

    play(scenario())


def test_zoom_and_place_survive_a_new_candle(server: LiveServer, series_id: str) -> None:
    """Shows behaviour 8: a live bar does not reset the zoom."""
    candles = golden_candles("box_2_1")
    server.fill(series_id, candles[:400])

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            first = await tab.number("bar_spacing")
            await tab.page.mouse.move(700, 450)
            await tab.page.mouse.wheel(0, -240)
            await tab.painted()
            zoomed = await tab.number("bar_spacing")
            assert zoomed > first
            await asyncio.to_thread(server.close_candle, series_id, candles[400])
            await tab.shows(last_time=candles[400]["candle_time"])
            assert await tab.number("bar_spacing") == zoomed

    play(scenario())


def test_way_back_to_the_latest_is_offered_when_it_is_out_of_view(
    server: LiveServer, series_id: str
) -> None:
    server.fill(series_id, golden_candles("box_2_1"))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            latest = tab.page.get_by_role("button", name="Go to latest")
            await expect(latest).to_be_hidden()
            await tab.page.mouse.move(300, 450)
            await tab.page.mouse.down()
            await tab.page.mouse.move(1100, 450, steps=5)
            await tab.page.mouse.up()
            await latest.click()
            await expect(latest).to_be_hidden()

    play(scenario())


def test_page_speaks_chinese_and_remembers_the_choice(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab(locale="zh-CN") as tab:
            await visit(tab, server, series_id)
            await expect(tab.page.get_by_test_id("connection-badge")).to_have_text("已连接")
            await expect(tab.page.get_by_test_id("factor-pivot")).to_contain_text("拐点")
            await tab.page.get_by_test_id("lang-select").select_option("en")
            await expect(tab.page.get_by_text("Factors", exact=True)).to_be_visible()
            await tab.shows(series_id=series_id, ready=1)

    play(scenario())


def test_theme_follows_the_choice_and_is_remembered(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab(color_scheme="dark") as tab:
            await visit(tab, server, series_id)
            dark = await background(tab)
            await tab.page.get_by_test_id("theme-select").select_option("light")
            light = await background(tab)
            assert sum(light) > sum(dark)
            await tab.page.reload()
            await tab.shows(ready=1)
            assert await background(tab) == light

    play(scenario())


async def background(tab: Tab) -> list[int]:
    """Return the colour that the chart itself has painted at an empty place."""
    await tab.painted()
    script = """() => {
        const canvas = document.querySelector("[data-chart-area] canvas");
        return [...canvas.getContext("2d").getImageData(3, canvas.height / 2, 1, 1).data];
    }"""
    found: list[int] = await tab.page.evaluate(script)
    return found[:3]


def test_bundle_stays_small(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab() as tab:
            await visit(tab, server, series_id)
            asked = await tab.page.evaluate(ASKED)
            own = {url for url in asked if "/static/tc/" in url and ".js" in url}
            texts = [await (await tab.page.request.get(url)).body() for url in sorted(own)]
            assert sum(map(len, texts)) <= 120_000
            assert sum(len(gzip.compress(text)) for text in texts) <= 35_000
            assert len(asked) <= 30

    play(scenario())


def test_an_exchange_that_cannot_be_reached_is_said_in_words(tmp_path: Path) -> None:
    nobody = {
        f"TRADE_CANVAS_BINANCE_FUTURES_{door}_BASE": f"{scheme}://127.0.0.1:9"
        for door, scheme in (("WS", "ws"), ("REST", "http"))
    }
    path = tmp_path / "whitelist.json"
    path.write_text('{"series_ids": ["binance:futures:BTC/USDT:1m"]}')
    server = LiveServer(
        tmp_path,
        TRADE_CANVAS_ENABLE_WHITELIST_INGEST="1",
        TRADE_CANVAS_WHITELIST_PATH=str(path),
        **nobody,
    )
    server.start()
    server.fill("binance:futures:BTC/USDT:1m", rising(20))

    async def scenario(locale: str, said: str) -> None:
        async with open_tab(locale=locale) as tab:
            await tab.page.goto(at(server, "binance:futures:BTC/USDT:1m"))
            await tab.shows(candles_len=20, live_load_status="ready")
            notice = tab.page.locator('[data-part="feed"]')
            await expect(notice).to_contain_text(said, timeout=20_000)

    play(scenario("en-US", "The exchange cannot be reached"))
    play(scenario("zh-CN", "无法连接交易所"))
    server.stop()
