"""Every state of the pages has its words, in both languages (section 2.4 of the specification)."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import Route, WebSocketRoute, expect

from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.live_server import ROOT, LiveServer, flat
from tests.e2e.test_live import BEHIND, START, at, rising, visit

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.parametrize("locale", ["en-US", "zh-CN"]),
]

TEXTS = {
    "idle": ("Getting ready…", "准备中…"),
    "loading": ("Loading candles…", "K线载入中…"),
    "backfilling": ("Filling in history: {n} candles so far…", "补齐历史中：已有 {n} 根…"),
    "loading structures": ("Computing structures…", "结构计算中…"),
    "empty": (
        "No candles for {series} yet. Start ingest, or load history.",
        "{series} 还没有K线。请启动采集或导入历史。",
    ),
    "no series": (
        "No series here yet. Run “manage.py serve --demo” for a demo.",
        "暂无品种。可运行 “manage.py serve --demo” 查看演示。",
    ),
    "lamp green": ("Up to date", "已是最新"),
    "lamp yellow": ("Catching up {pct} % · {n} missing", "追赶 {pct}% · 缺 {n} 根"),
    "lamp red": ("Behind by {dur}", "落后 {dur}"),
    "lamp gray": ("Unknown", "未知"),
    "structures behind": ("Structures are {n} candles behind", "结构落后 {n} 根K线"),
    "no ticks": (
        "No updates for {dur}. The market may be quiet, or the feed has stopped.",
        "已 {dur} 无更新：行情平静或数据源中断。",
    ),
    "reconnecting": (
        "Connection lost. Trying again in {s} s (try {n}).",
        "连接断开，{s} 秒后重试（第 {n} 次）。",
    ),
    "reconnected": ("Connected again. {n} candles caught up.", "已重新连接，补上 {n} 根K线。"),
    "offline": (
        "You are offline. Showing the last data from {time}.",
        "当前离线，显示 {time} 的数据。",
    ),
    "gap": (
        "{n} candles are missing before {time}. Fetching them…",
        "{time} 之前缺 {n} 根K线，补取中…",
    ),
    "out of sync": ("Structures for {time} are not ready yet.", "{time} 的结构尚未就绪。"),
    "rebuild": ("Structures were recomputed ({reason}).", "结构已重算（{reason}）。"),
    "bad series": (
        "“{series}” is not a series that this server knows.",
        "服务器不认识 “{series}”。",
    ),
    "error candles": ("Could not load candles ({code}).", "无法载入K线（{code}）。"),
    "error structures": ("Could not load structures ({code}).", "无法载入结构（{code}）。"),
    "try again": ("Try again", "重试"),
    "guardrail off": (
        "Loop guardrail is off: circuits are not tracked.",
        "循环熔断未启用，不记录熔断状态。",
    ),
    "worker silent": ("Worker silent since {time} UTC.", "采集进程自 {time} UTC 起无心跳。"),
    "no rows": ("Nothing to show.", "没有数据。"),
    "forbidden": ("Staff only.", "仅限管理员。"),
    "no JS": (
        "The chart needs JavaScript. Ledger and Ingest work without it.",
        "图表需要 JavaScript；账本与采集页面无需。",
    ),
}  # fmt: skip
FILLED = "binance:futures:FILLED/USDT:1m"
ROWS = f"""
from datetime import timedelta
from django.utils import timezone
from ingest.models import IngestJob
from market.models import BackfillProgress
now = timezone.now()
silent = now - timedelta(seconds=90)
IngestJob.objects.create(series_id="{FILLED}", state="streaming", heartbeat_at=silent)
BackfillProgress.objects.create(
    series_id="{FILLED}", state="running", started_at=now, updated_at=now,
    start_missing_seconds=1200, current_missing_seconds=600,
)
"""


def words(state: str, locale: str, **values: Any) -> re.Pattern[str]:
    """Return what a state says; a placeholder without a value stands for any text."""
    parts = re.split(r"\{(\w+)\}", TEXTS[state][locale == "zh-CN"])
    for i in range(1, len(parts), 2):
        parts[i] = re.escape(str(values[parts[i]])) if parts[i] in values else ".+"
    parts[::2] = map(re.escape, parts[::2])
    return re.compile("^" + "".join(parts) + "$")


async def says(tab: Tab, state: str, locale: str, **values: Any) -> None:
    """Wait until the chart says so, and shows it."""
    said = words(state, locale, **values)
    await tab.shows(live_load_message=said)
    await expect(tab.page.locator("[data-part=message-text]")).to_have_text(said)
    await expect(tab.page.locator("[data-part=message]")).to_be_visible()


async def toasts(tab: Tab, state: str, locale: str, **values: Any) -> None:
    """Wait for a toast that says so."""
    text = tab.page.get_by_test_id("toast").locator("span")
    await expect(text.filter(has_text=re.compile(r"\S"))).to_have_text(
        words(state, locale, **values)
    )


class Gate:
    """Holds requests of a pattern until it is opened."""

    def __init__(self) -> None:
        self._open = asyncio.Event()

    async def __call__(self, route: Route) -> None:
        await self._open.wait()
        await route.continue_()

    def open(self) -> None:
        """Let everything pass."""
        self._open.set()


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Give a server without guardrail, where a worker has died, that has a second name."""
    running = LiveServer(
        tmp_path_factory.mktemp("odd"),
        TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL="0",
        ALLOWED_HOSTS="127.0.0.1,chart.localhost",
    )
    running.start()
    newest = int(time.time()) // 60 * 60 - 60
    running.fill(FILLED, rising(3, newest - 720))
    shell = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", ROWS]
    subprocess.run(shell, cwd=ROOT, env=running.environment, check=True)
    yield running
    running.stop()


def test_idle_loading_and_loading_structures(
    server: LiveServer, series_id: str, locale: str
) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        module, candles, frame = Gate(), Gate(), Gate()
        async with open_tab(locale=locale) as tab:
            await tab.page.route("**/tc/app/live*.js", module)
            await tab.page.route("**/api/market/candles?*", candles)
            await tab.page.route("**/api/frame/live?*", frame)
            await tab.page.goto(at(server, series_id), wait_until="commit")
            text = tab.page.locator("[data-part=message-text]")
            await expect(text).to_have_text(words("idle", locale))
            await expect(text).to_be_visible()
            await tab.shows(live_load_status="idle")
            module.open()
            await says(tab, "loading", locale)
            candles.open()
            await says(tab, "loading structures", locale)
            await tab.shows(candles_len=3, live_load_status="ready")
            frame.open()
            await tab.shows(live_load_message="", ready=1)
            await expect(text).to_be_hidden()

    play(scenario())


def test_backfilling(server: LiveServer, series_id: str, locale: str) -> None:
    candles = rising(9)
    server.fill(series_id, candles)
    growing = iter(range(2, 9))
    head = candles[-1]["candle_time"]

    async def more_each_time(route: Route) -> None:
        part = candles[: next(growing, 9)]
        answer = {"series_id": series_id, "server_head_time": head, "candles": part}
        await route.fulfill(json=answer)

    async def scenario() -> None:
        async with open_tab(locale=locale) as tab:
            await tab.page.route("**/api/market/candles?*", more_each_time)
            await tab.page.goto(at(server, series_id))
            await tab.shows(live_load_status="backfilling")
            await says(tab, "backfilling", locale)
            await tab.shows(candles_len=9, live_load_status="ready", live_load_message="")

    play(scenario())


def test_empty(server: LiveServer, series_id: str, locale: str) -> None:
    server.fill("binance:futures:FIRST/USDT:1m", rising(2))

    async def scenario() -> None:
        async with open_tab(locale=locale) as tab:
            await visit(tab, server, series_id)
            await says(tab, "empty", locale, series=series_id)

    play(scenario())


def test_no_series(own_server: LiveServer, locale: str) -> None:
    async def scenario() -> None:
        async with open_tab(locale=locale) as tab:
            await tab.page.goto(f"{own_server.url}/live")
            await says(tab, "no series", locale)

    play(scenario())


@pytest.mark.parametrize(
    ("state", "behind"), [("lamp green", 0), ("lamp red", 600), ("lamp gray", None)]
)
def test_candle_lamp(
    server: LiveServer, series_id: str, locale: str, state: str, behind: int | None
) -> None:
    newest = int(time.time()) // 60 * 60 - 60
    if behind is not None:
        server.fill(series_id, rising(3, newest - 120 - behind))

    async def scenario() -> None:
        async with open_tab(locale=locale) as tab:
            await tab.page.goto(at(server, series_id))
            lamp = tab.page.get_by_test_id("kline-health-lamp")
            await expect(lamp.locator("[data-text]")).to_have_text(words(state, locale))

    play(scenario())


def test_candle_lamp_yellow(odd: LiveServer, locale: str) -> None:
    async def scenario() -> None:
        async with open_tab(locale=locale) as tab:
            await tab.page.goto(at(odd, FILLED))
            lamp = tab.page.get_by_test_id("kline-health-lamp")
            said = words("lamp yellow", locale, pct=50)
            await expect(lamp.locator("[data-text]")).to_have_text(said)
            await expect(lamp).to_have_attribute("data-kline-status", "yellow")

    play(scenario())


def test_structures_behind(server: LiveServer, series_id: str, locale: str) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab(locale=locale, allowed=["409"]) as tab:
            await visit(tab, server, series_id)
            await tab.page.route(
                "**/api/draw/delta?*", lambda route: route.fulfill(status=409, json=BEHIND)
            )
            candles = [flat(START + 180, 9), flat(START + 240, 9)]
            await asyncio.to_thread(server.fill, series_id, candles, tell=True)
            await tab.shows(structure_lag=2)
            await says(tab, "structures behind", locale, n=2)

    play(scenario())


def test_no_ticks(server: LiveServer, series_id: str, locale: str) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab(locale=locale) as tab:
            await tab.page.clock.install()
            await visit(tab, server, series_id)
            notice = tab.page.locator("[data-part=feed]")
            await tab.page.clock.fast_forward(50_000)
            await expect(tab.page.get_by_test_id("kline-health-lamp")).to_be_visible()
            await expect(notice).to_be_hidden()
            await tab.page.clock.fast_forward(20_000)
            await expect(notice).to_have_text(words("no ticks", locale))
            await asyncio.to_thread(server.close_candle, series_id, flat(START + 180, 9))
            await tab.shows(last_time=START + 180)
            await tab.page.clock.fast_forward(5_000)
            await expect(notice).to_be_hidden()

    play(scenario())


async def cut(tab: Tab) -> list[WebSocketRoute]:
    """Stand between page and server; the newest connection is the last of the list."""
    connections: list[WebSocketRoute] = []

    def meet(connection: WebSocketRoute) -> None:
        connections.append(connection)
        connection.connect_to_server()

    await tab.page.route_web_socket("**/ws/market", meet)
    return connections


def test_reconnecting_and_reconnected(server: LiveServer, series_id: str, locale: str) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab(locale=locale) as tab:
            connections = await cut(tab)
            await visit(tab, server, series_id)
            await asyncio.to_thread(server.fill, series_id, rising(5))
            await connections[-1].close(code=1012)
            detail = tab.page.locator("[data-part=connection-detail]")
            await expect(detail).to_have_text(words("reconnecting", locale, n=1))
            await expect(tab.view).to_have_class(re.compile("dimmed"))
            await toasts(tab, "reconnected", locale, n=2)
            await tab.shows(ws_state="open", candles_len=5)

    play(scenario())


def test_offline(odd: LiveServer, locale: str) -> None:
    async def scenario() -> None:
        lost = ["ERR_INTERNET_DISCONNECTED"]
        async with open_tab(locale=locale, allowed=lost) as tab:
            connections = await cut(tab)
            named = at(odd, FILLED).replace("127.0.0.1", "chart.localhost")
            await tab.page.goto(named)
            await tab.shows(ready=1, ws_state="open", candles_len=3)
            await expect(tab.page.get_by_test_id("kline-health-lamp")).to_be_attached()
            await tab.page.context.set_offline(offline=True)
            await connections[-1].close(code=1012)
            detail = tab.page.locator("[data-part=connection-detail]")
            await expect(detail).to_have_text(words("offline", locale))
            await tab.shows(candles_len=3)

    play(scenario())


def test_gap(server: LiveServer, series_id: str, locale: str) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab(locale=locale) as tab:
            await visit(tab, server, series_id)
            await asyncio.to_thread(server.close_candle, series_id, flat(START + 300, 9))
            await toasts(tab, "gap", locale, n=2)

    play(scenario())


def test_out_of_sync(server: LiveServer, series_id: str, locale: str) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab(locale=locale, allowed=["409"]) as tab:
            await tab.page.route(
                "**/api/frame/live?*", lambda route: route.fulfill(status=409, json=BEHIND)
            )
            await visit(tab, server, series_id)
            await says(tab, "out of sync", locale)
            await tab.shows(candles_len=3)

    play(scenario())


def test_rebuild(server: LiveServer, series_id: str, locale: str) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab(locale=locale) as tab:
            await visit(tab, server, series_id)
            await asyncio.to_thread(server.close_candle, series_id, flat(START + 120, 9))
            reason = "因子已重新计算" if locale == "zh-CN" else "factors recomputed"
            await toasts(tab, "rebuild", locale, reason=reason)

    play(scenario())


def test_bad_series(server: LiveServer, locale: str) -> None:
    async def scenario() -> None:
        async with open_tab(locale=locale) as tab:
            await tab.page.goto(f"{server.url}/live?series_id=nonsense")
            await toasts(tab, "bad series", locale, series="nonsense")
            await expect(tab.page.get_by_role("alert")).to_have_attribute("data-level", "error")

    play(scenario())


@pytest.mark.parametrize(
    ("state", "path"),
    [("error candles", "/api/market/candles"), ("error structures", "/api/frame/live")],
)
def test_error(server: LiveServer, series_id: str, locale: str, state: str, path: str) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        async with open_tab(locale=locale, allowed=["500"]) as tab:
            await tab.page.route(
                f"**{path}?*", lambda route: route.fulfill(status=500, json={"detail": "secret"})
            )
            await tab.page.goto(at(server, series_id))
            await says(tab, state, locale, code=500)
            await expect(tab.page.get_by_text("secret")).to_have_count(0)
            await tab.page.unroute(f"**{path}?*")
            again = TEXTS["try again"][locale == "zh-CN"]
            await tab.page.get_by_role("button", name=again).click()
            await tab.shows(candles_len=3, live_load_message="", structure_time=START + 120)

    play(scenario())


def test_guardrail_off_and_worker_silent(odd: LiveServer, locale: str) -> None:
    async def scenario() -> None:
        async with open_tab(locale=locale) as tab:
            await tab.page.goto(f"{odd.url}/ingest")
            said = tab.page.locator("p.facts strong")
            states = ("guardrail off", "worker silent")
            await expect(said).to_have_text([words(state, locale) for state in states])

    play(scenario())


def test_no_rows(server: LiveServer, locale: str) -> None:
    async def scenario() -> None:
        async with open_tab(locale=locale) as tab:
            for path in ("/ledger?q=nowhere", "/ingest?series_id=nowhere"):
                await tab.page.goto(server.url + path)
                said = tab.page.locator("[data-refresh] > p").last
                await expect(said).to_have_text(words("no rows", locale))

    play(scenario())


def test_forbidden(server: LiveServer, series_id: str, locale: str) -> None:
    server.fill(series_id, rising(3))

    async def scenario() -> None:
        from_elsewhere = {"X-Real-IP": "203.0.113.7"}
        async with open_tab(locale=locale, extra_http_headers=from_elsewhere) as tab:
            await tab.page.goto(f"{server.url}/ledger?series_id={quote(series_id, safe='')}")
            await expect(tab.page.get_by_text(words("forbidden", locale))).to_be_visible()
            await expect(tab.page.locator("main form")).to_have_count(0)

    play(scenario())


def test_no_javascript(server: LiveServer, series_id: str, locale: str) -> None:
    async def scenario() -> None:
        async with open_tab(locale=locale, java_script_enabled=False) as tab:
            await tab.page.goto(at(server, series_id))
            await expect(tab.page.get_by_text(words("no JS", locale))).to_be_visible()
            await expect(tab.page.locator("[data-part=message]")).to_be_hidden()

    play(scenario())
