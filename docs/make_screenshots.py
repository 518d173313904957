"""Make the pictures of the documents: every page, in both languages, light and dark.

`./dev screenshots` starts a server of its own on a temporary database with the bundled candles;
arguments choose pictures by a part of their name: `./dev screenshots live phone`.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple
from urllib.parse import quote

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "img"
DESKTOP = ViewportSize(width=1400, height=800)
PHONE = ViewportSize(width=390, height=844)
SERIES = "binance:futures:BTC/USDT:1m"
HOURS = "binance:futures:BTC/USDT:1h"
OTHER = "binance:futures:ETH/USDT:1m"
STAFF = {"DJANGO_SUPERUSER_USERNAME": "staff", "DJANGO_SUPERUSER_PASSWORD": "for-the-pictures"}
START_SECONDS = 60
PATHS = {
    "series": "/",
    "live": f"/live?series_id={quote(SERIES, safe='')}",
    "ledger": "/ledger",
    "ledger-one": f"/ledger?series_id={quote(SERIES, safe='')}",
    "feeds": "/ingest",
    "about": "/about",
    "admin": "/admin/",
}
# A second series, and feeds of which one cannot reach its exchange.
ROWS = f"""
import json
import time
from datetime import timedelta
from django.utils import timezone
from ingest.models import IngestGuardrail, IngestJob
now, beat = time.time(), timezone.now() + timedelta(hours=1)
newest = int(now) // 60 * 60 - 60
def job(series_id, **about):
    IngestJob.objects.create(series_id=series_id, heartbeat_at=beat, **about)
job("{SERIES}", state="streaming", refcount=-1, last_closed_time=newest, last_frame_at=now)
job("{HOURS}", state="streaming", refcount=2, last_closed_time=int(now) // 3600 * 3600 - 3600)
job("{OTHER}", state="waiting", refcount=1, last_closed_time=newest - 540,
    last_error="ConnectTimeout: fstream.binance.com")
IngestGuardrail.objects.create(series_id="{OTHER}", state="open", open_until=now + 3600,
    failures=json.dumps([now] * 5), consecutive_failures=5, last_error_kind="connect")
"""


class Picture(NamedTuple):
    """How one picture is made; `structure` is what is clicked on, if anything."""

    page: str
    theme: Literal["dark", "light"]
    language: Literal["en", "zh"]
    size: ViewportSize = DESKTOP
    structure: str = ""

    @property
    def name(self) -> str:
        """The name of its file, without the ending."""
        device = "-phone" if self.size is PHONE else ""
        return f"{self.page}{device}-{self.theme}-{self.language}"


def pictures() -> Iterator[Picture]:
    """Yield every page in each language and theme, and the main ones on a phone."""
    clicked = {("dark", "en"): "zhongshu.", ("light", "zh"): "zhongshu."}
    for page in PATHS:
        for theme in ("dark", "light"):
            for language in ("en", "zh"):
                structure = clicked.get((theme, language), "") if page == "live" else ""
                yield Picture(page, theme, language, structure=structure)
    for page in ("series", "live", "ledger", "feeds"):
        yield Picture(page, "light", "en", PHONE)
        yield Picture(page, "dark", "zh", PHONE)


@contextmanager
def served() -> Iterator[str]:
    """Serve the bundled candles from a temporary database, and give the address."""
    with TemporaryDirectory() as folder:
        environment = os.environ | STAFF
        environment |= {
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "REDIS_URL": "",
            "PYTHONUNBUFFERED": "1",
            "TRADE_CANVAS_ENABLE_WHITELIST_INGEST": "0",
            "TRADE_CANVAS_ENABLE_ONDEMAND_INGEST": "0",
            "TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES": "1",
            "TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL": "1",
        }
        manage = [sys.executable, str(ROOT / "manage.py")]
        for command in (
            ["migrate", "--verbosity", "0"],
            ["load_bundled"],
            ["createsuperuser", "--noinput", "--email", "staff@localhost"],
            ["shell", "--verbosity", "0", "-c", ROWS],
        ):
            subprocess.run([*manage, *command], env=environment, check=True)
        log = Path(folder) / "server.log"
        with log.open("w") as output:
            command = [*manage, "serve", "--port", "0"]
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            yield address(process, log)
        finally:
            process.terminate()
            process.wait()


def address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Wait until the server has said where it serves."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if line.startswith("serving on "):
                return "http://127.0.0.1:" + line.rpartition(":")[2]
        time.sleep(0.1)
    raise SystemExit(log.read_text())


def make(browser: Browser, url: str, picture: Picture) -> None:
    """Open a page, show more of a chart, click on a structure if one is wanted, and save it."""
    locale = {"en": "en-US", "zh": "zh-CN"}[picture.language]
    context = browser.new_context(
        viewport=picture.size, locale=locale, color_scheme=picture.theme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(url + PATHS[picture.page])
    if picture.page == "admin":
        for name, text in zip(("username", "password"), STAFF.values(), strict=True):
            page.fill(f"[name={name}]", text)
        page.click("[type=submit]")
        page.wait_for_selector("#glance")
    if picture.page == "live":
        show_more(page, picture)
    page.wait_for_timeout(300)
    page.screenshot(path=IMAGES / f"{picture.name}.png")
    context.close()


def show_more(page: Page, picture: Picture) -> None:
    """Zoom out on a large screen, and open a card."""
    page.wait_for_selector("[data-testid=chart-view][data-ready='1']")
    page.wait_for_selector("[data-testid=factor-draw-health-lamp]")
    for _ in range(12 if picture.size is DESKTOP else 0):
        page.mouse.move(picture.size["width"] - 150, 400)
        page.mouse.wheel(0, 120)
        page.wait_for_timeout(50)
    page.mouse.move(5, 5)
    if picture.structure:
        click_structure(page, picture.structure)


def click_structure(page: Page, wanted: str) -> None:
    """Click on the first structure of a kind that the pointer meets, then leave the chart."""
    for x in range(700, 1200, 100):
        for y in range(200, 650, 6):
            page.mouse.move(x, y)
            page.wait_for_timeout(20)
            if page.locator(f"[data-hovered^='{wanted}']").count():
                page.mouse.click(x, y)
                page.mouse.move(5, 5)
                return


def main() -> None:
    """Make the pictures whose name has one of the arguments in it, or all."""
    wanted = sys.argv[1:] or [""]
    IMAGES.mkdir(exist_ok=True)
    chromium = os.environ.get("TC_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("no chromium on PATH, and TC_CHROMIUM is not set")
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with served() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        for picture in pictures():
            if any(part in picture.name for part in wanted):
                make(browser, url, picture)
        browser.close()


if __name__ == "__main__":
    main()
