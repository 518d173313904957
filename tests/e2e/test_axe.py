"""Every page is usable with assistive technology, as far as axe-core can tell."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import expect

from tests.e2e.browser import Tab, open_tab, play
from tests.e2e.conftest import SMALL_WINDOWS
from tests.e2e.live_server import ROOT, LiveServer, flat, golden_candles

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: npm ci"),
]

FOLLOWED = "binance:futures:AXE/USDT:1m"
HOLED = "binance:spot:HOLED/USDT:1m"
NOBODY = {
    f"TRADE_CANVAS_BINANCE_FUTURES_{door}_BASE": f"{scheme}://127.0.0.1:9"
    for door, scheme in (("WS", "ws"), ("REST", "http"))
}
STAFF = {"DJANGO_SUPERUSER_USERNAME": "staff", "DJANGO_SUPERUSER_PASSWORD": "made-for-axe"}
ONE = quote(FOLLOWED, safe="")
PAGES = ["/", "/ledger", f"/ledger?series_id={quote(HOLED, safe='')}", "/ingest", "/about"]
GRAVE = """async () => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .flatMap(({ id, nodes }) => nodes.map(({ target, any }) =>
            `${id} at ${target.join(" ")}: ${any.map(({ message }) => message).join("; ")}`));
}"""


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Give a server with something to show on each page: a feed that fails, a gap, staff."""
    folder = tmp_path_factory.mktemp("varied")
    whitelist = folder / "whitelist.json"
    whitelist.write_text(f'{{"series_ids": ["{FOLLOWED}"]}}')
    feeds = {"ENABLE_WHITELIST_INGEST": "1", "WHITELIST_PATH": str(whitelist)}
    settings = {f"TRADE_CANVAS_{name}": value for name, value in feeds.items()}
    running = LiveServer(folder, **SMALL_WINDOWS, **settings, **NOBODY)
    running.start()
    create = [sys.executable, "manage.py", "createsuperuser", "--noinput", "--email", "a@b.cd"]
    subprocess.run(
        create, cwd=ROOT, env=running.environment | STAFF, check=True, stdout=subprocess.DEVNULL
    )
    candles = golden_candles("box_2_1")
    running.fill(FOLLOWED, candles)
    running.fill(HOLED, [flat(candle["candle_time"], 7) for candle in candles[:9] + candles[20:]])
    yield running
    running.stop()


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_no_page_has_a_serious_finding(varied: LiveServer, locale: str, theme: Any) -> None:
    async def scenario() -> None:
        async with open_tab(locale=locale, color_scheme=theme) as tab:
            found = {path: await visit(tab, varied.url + path) for path in PAGES}
            found["/live"] = await visit(tab, f"{varied.url}/live?series_id={ONE}")
            found |= await opened_parts(tab)
            found |= await pages_of_staff(tab, varied.url)
            assert {path: grave for path, grave in found.items() if grave} == {}

    play(scenario())


async def visit(tab: Tab, url: str) -> list[str]:
    """Open a page, and return what axe finds."""
    await tab.page.goto(url)
    if "/live" in url:
        await tab.shows(ready=1, ws_state="open")
        await expect(tab.page.get_by_test_id("factor-draw-health-lamp")).to_be_visible()
    return await grave(tab)


async def grave(tab: Tab) -> list[str]:
    """Return the serious and critical findings on what is shown now."""
    await tab.page.evaluate(AXE.read_text())
    found: list[str] = await tab.page.evaluate(GRAVE)
    return found


async def opened_parts(tab: Tab) -> dict[str, list[str]]:
    """Return the findings on what opens on /live: menus, facts, a card, the list of keys."""
    await tab.page.locator("[data-testid=factor-pivot] summary").click()
    await tab.page.locator("[data-testid=kline-health-lamp] summary").click()
    await tab.view.focus()
    async with tab.page.expect_response("**/keys*.js"):
        await tab.page.keyboard.press("Shift")
    await tab.painted()
    for key in ("ArrowLeft", "Shift+ArrowLeft", "ArrowDown", "Enter"):
        await tab.page.keyboard.press(key)
        await tab.painted()
    card = tab.page.get_by_test_id("structure-card")
    await card.locator("summary").click(timeout=5_000)
    found = {"/live, opened": await grave(tab)}
    await tab.page.keyboard.press("?")
    await expect(tab.page.get_by_test_id("shortcut-help")).to_be_visible()
    found["/live, keys"] = await grave(tab)
    await tab.page.keyboard.press("Escape")
    for name in ("Market", "Debug"):
        await tab.page.get_by_test_id(f"sidebar-tab-{name}").click()
        await expect(tab.page.locator(f"[data-panel={name}]")).to_be_visible()
        found[f"/live, {name}"] = await grave(tab)
    return found


async def pages_of_staff(tab: Tab, url: str) -> dict[str, list[str]]:
    """Return the findings on the login, and on what only staff see."""
    found = {"/admin/login/": await visit(tab, f"{url}/admin/login/")}
    for name, text in zip(("username", "password"), STAFF.values(), strict=True):
        await tab.page.locator(f"[name={name}]").fill(text)
    await tab.page.locator("[type=submit]").click()
    await expect(tab.page.locator("#glance")).to_be_visible()
    found["/admin/"] = await grave(tab)
    for path in ("/ingest", f"/ledger?series_id={ONE}"):
        found[f"{path}, staff"] = await visit(tab, url + path)
    return found
