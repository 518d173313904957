"""Pages that the server renders: kept up to date by a module, and whole without JavaScript."""

import re
import subprocess
import sys
import time
from urllib.parse import quote

import pytest
from playwright.async_api import expect

from tests.e2e.browser import open_tab, play
from tests.e2e.live_server import ROOT, LiveServer, flat

pytestmark = pytest.mark.e2e

START = 1700000000 // 60 * 60
LONG = "binance:futures:1000000CHEEMSANDFRIENDS/USDT:1m"


def test_a_filtered_ledger_keeps_up_and_stays_filtered(
    server: LiveServer, series_id: str, symbol: str
) -> None:
    server.close_candle(series_id, flat(START, 1))
    server.close_candle("binance:futures:ELSE/USDT:1m", flat(START, 1))

    async def scenario() -> None:
        async with open_tab() as tab:
            await tab.page.clock.install()
            await tab.page.goto(f"{server.url}/ledger?q={symbol}")
            row = tab.page.get_by_test_id("ledger-row")
            await expect(row).to_have_attribute("data-series-id", series_id)
            server.close_candle(series_id, flat(START + 60, 1))
            await tab.page.clock.run_for(5_000)
            await expect(row.locator(f'time[title="{START + 60}"]')).to_have_count(3)
            await expect(row).to_have_count(1)
            await expect(row).to_have_attribute("data-status", "in_sync")

    play(scenario())


FOCUSED = "() => document.activeElement.id"


def test_a_list_keeps_up_after_a_click_and_says_when_it_was_refreshed(
    server: LiveServer, series_id: str, symbol: str
) -> None:
    server.close_candle(series_id, flat(START, 1))

    async def scenario() -> None:
        async with open_tab() as tab:
            await tab.page.clock.install(time="2026-01-30T12:00:00Z")
            await tab.page.goto(f"{server.url}/ledger?q={symbol}")
            row = tab.page.get_by_test_id("ledger-row")
            said = tab.page.locator("[data-part=refreshed]")
            await row.locator("td").last.click()
            assert await tab.page.evaluate(FOCUSED) == "ledgers"
            server.close_candle(series_id, flat(START + 60, 1))
            await tab.page.clock.run_for(5_000)
            await expect(row.locator(f'time[title="{START + 60}"]')).to_have_count(3)
            assert await tab.page.evaluate(FOCUSED) == "ledgers"
            await expect(said).to_have_text(re.compile("12:00:0[56]"))
            await row.get_by_role("link").focus()
            server.close_candle(series_id, flat(START + 120, 1))
            async with tab.page.expect_response(re.compile("/ledger")):
                await tab.page.clock.run_for(5_000)
            await tab.painted()
            await expect(row.locator(f'time[title="{START + 60}"]')).to_have_count(3)
            await expect(said).to_have_text(re.compile("12:00:0[56]"))

    play(scenario())


@pytest.mark.parametrize(
    ("locale", "text"), [("en-US", "No answer since 12:00:0"), ("zh-CN", "起无应答")]
)
def test_a_list_says_since_when_the_server_is_gone(
    server: LiveServer, locale: str, text: str
) -> None:
    async def scenario() -> None:
        async with open_tab(locale=locale, allowed=["ERR_FAILED"]) as tab:
            await tab.page.clock.install(time="2026-01-30T12:00:00Z")
            await tab.page.goto(f"{server.url}/ledger")
            lost = tab.page.locator("[data-part=lost]")
            await tab.page.route("**/ledger", lambda route: route.abort())
            await tab.page.clock.run_for(5_000)
            await expect(lost).to_contain_text(text)
            await tab.page.unroute("**/ledger")
            await tab.page.clock.run_for(5_000)
            await expect(lost).to_have_text("")

    play(scenario())


def test_a_ledger_is_found_and_synced_without_javascript(
    server: LiveServer, series_id: str, symbol: str
) -> None:
    server.close_candle(series_id, flat(START, 1))

    async def scenario() -> None:
        async with open_tab(java_script_enabled=False) as tab:
            await tab.page.goto(f"{server.url}/ledger")
            await tab.page.get_by_label("Filter").fill(symbol)
            await tab.page.get_by_role("button", name="Apply").click()
            await tab.page.get_by_role("link", name=series_id).click()
            button = tab.page.get_by_role("button", name="Yes, sync")
            await expect(button).to_be_hidden()
            await tab.page.get_by_text("Sync", exact=True).click()
            await button.click()
            await expect(tab.page.get_by_role("status")).to_have_text("The ledger is up to date.")

    play(scenario())


def test_the_list_of_series_leads_to_a_chart(server: LiveServer, series_id: str) -> None:
    server.fill(series_id, [flat(START + 60 * n, n + 1) for n in range(3)])

    async def scenario() -> None:
        async with open_tab() as tab:
            await tab.page.goto(f"{server.url}/about")
            await tab.page.get_by_role("link", name="trade_canvas").first.click()
            row = tab.page.locator(f'[data-series-id="{series_id}"]')
            await expect(row.locator("polyline")).to_have_attribute("points", "2,26 60,14 118,2")
            await row.get_by_role("link", name=series_id).click()
            assert tab.page.url.endswith(quote(series_id, safe=""))
            await tab.shows(series_id=series_id, candles_len=3, ready=1)

    play(scenario())


@pytest.fixture
def waiting(server: LiveServer, series_id: str) -> None:
    """Have a feed whose circuit is open for 90 more seconds."""
    now = time.time()
    rows = f"""
from django.utils import timezone
from ingest.models import IngestGuardrail, IngestJob
IngestJob.objects.create(series_id="{series_id}", state="open", heartbeat_at=timezone.now())
IngestGuardrail.objects.create(series_id="{series_id}", state="open", open_until={now + 90})
"""
    command = [sys.executable, "manage.py", "shell", "-c", rows]
    subprocess.run(command, cwd=ROOT, env=server.environment, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.usefixtures("waiting")
def test_an_opened_feed_counts_down_and_stays_open(server: LiveServer, series_id: str) -> None:
    async def scenario() -> None:
        async with open_tab() as tab:
            await tab.page.clock.install()
            await tab.page.goto(f"{server.url}/ingest?series_id={quote(series_id, safe='')}")
            left = tab.page.locator("[data-left]")
            said = await left.inner_text()
            assert re.fullmatch(r"[78]\d s|90 s", said)
            await tab.page.clock.run_for(1_000)
            assert await left.inner_text() != said
            await tab.page.get_by_text("Details").click()
            await tab.page.get_by_text("Stop", exact=True).click()
            async with tab.page.expect_response(re.compile("/ingest")):
                await tab.page.clock.run_for(2_000)
            await tab.painted()
            button = tab.page.get_by_role("button", name="Yes, stop")
            await button.click()
            await expect(tab.page.locator(".said")).to_have_text(f"{series_id} is being stopped.")
            await expect(tab.page.get_by_test_id("ingest-row")).to_have_count(1)

    play(scenario())


@pytest.mark.usefixtures("waiting")
def test_a_feed_is_reset_without_javascript(server: LiveServer, series_id: str) -> None:
    async def scenario() -> None:
        async with open_tab(java_script_enabled=False) as tab:
            await tab.page.goto(f"{server.url}/ingest?series_id={quote(series_id, safe='')}")
            await expect(tab.page.locator("[data-left]")).to_have_text(re.compile(r"\d UTC$"))
            await tab.page.get_by_text("Details").click()
            await tab.page.get_by_text("Reset", exact=True).click()
            await tab.page.get_by_role("button", name="Yes, reset").click()
            await expect(tab.page.locator(".said")).to_contain_text(series_id)
            row = tab.page.get_by_test_id("ingest-row")
            await expect(row).to_have_attribute("data-circuit", "closed")

    play(scenario())


@pytest.mark.parametrize("path", ["/", "/ledger", "/ingest", "/ledger?series_id="])
def test_no_page_is_wider_than_a_phone(server: LiveServer, path: str) -> None:
    server.close_candle(LONG, flat(START, 1))
    url = server.url + path + (quote(LONG, safe="") if path.endswith("=") else "")

    async def scenario() -> None:
        async with open_tab(viewport={"width": 390, "height": 844}) as tab:
            await tab.page.goto(url)
            wide = await tab.page.evaluate("document.querySelector('main').scrollWidth")
            assert wide <= 390

    play(scenario())


@pytest.mark.usefixtures("waiting")
def test_an_opened_feed_is_no_wider_than_a_phone(server: LiveServer, series_id: str) -> None:
    async def scenario() -> None:
        async with open_tab(viewport={"width": 390, "height": 844}) as tab:
            await tab.page.goto(f"{server.url}/ingest?series_id={quote(series_id, safe='')}")
            await tab.page.get_by_text("Details").click()
            await tab.page.get_by_text("Reset", exact=True).click()
            for name in ("Details", "Reset", "Stop"):
                summary = tab.page.locator("summary", has_text=name)
                box = await summary.bounding_box()
                assert box is not None
                assert box["x"] + box["width"] <= 390
                assert box["height"] >= 44

    play(scenario())


SMALL = """(selector) => [...document.querySelectorAll(selector)]
    .filter((element) => element.checkVisibility())
    .filter((element) => element.getBoundingClientRect().height < 44)
    .map((element) => element.textContent.trim())"""


def test_what_a_finger_presses_is_44_pixels_high(server: LiveServer, series_id: str) -> None:
    server.close_candle(series_id, flat(START, 1))

    async def scenario() -> None:
        async with open_tab(viewport={"width": 390, "height": 844}) as tab:
            await tab.page.goto(f"{server.url}/live?series_id={quote(series_id, safe='')}")
            await tab.shows(ready=1)
            await expect(tab.page.locator(".lamp summary")).to_have_count(3)
            dialog = tab.page.get_by_test_id("date-dialog")
            await dialog.evaluate("(dialog) => dialog.showModal()")
            pressed = ".top nav a, .lamp summary, dialog button, dialog input"
            assert await tab.page.evaluate(SMALL, pressed) == []

    play(scenario())
