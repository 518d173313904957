"""Make the pictures of the documents from a running server that has the bundled candles.

./dev manage serve --port 8000            # in one terminal
.venv/bin/python docs/make_screenshots.py http://127.0.0.1:8000
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Literal, NamedTuple

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

IMAGES = Path(__file__).parent / "img"
DESKTOP = ViewportSize(width=1400, height=800)
PHONE = ViewportSize(width=390, height=844)


class Picture(NamedTuple):
    """How one picture is made; `structure` is what is clicked on, if anything."""

    name: str
    theme: Literal["dark", "light"]
    locale: str
    size: ViewportSize = DESKTOP
    structure: str = ""


PICTURES = [
    Picture("live-dark-en", "dark", "en-US", structure="zhongshu."),
    Picture("live-light-zh", "light", "zh-CN", structure="pen.confirmed"),
    Picture("live-light-en", "light", "en-US"),
    Picture("live-phone-zh", "dark", "zh-CN", size=PHONE),
]


def make(browser: Browser, url: str, picture: Picture) -> None:
    """Open the chart, show more of it, click on a structure if one is wanted, and save it."""
    context = browser.new_context(
        viewport=picture.size, locale=picture.locale, color_scheme=picture.theme
    )
    page = context.new_page()
    page.goto(f"{url}/live?series_id=binance:futures:BTC/USDT:1m")
    page.wait_for_selector("[data-testid=chart-view][data-ready='1']")
    for _ in range(12 if picture.size is DESKTOP else 0):
        page.mouse.move(picture.size["width"] - 150, 400)
        page.mouse.wheel(0, 120)
        page.wait_for_timeout(50)
    if picture.structure:
        click_structure(page, picture.structure)
    page.wait_for_timeout(300)
    page.screenshot(path=IMAGES / f"{picture.name}.png")
    context.close()


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
    """Make all pictures."""
    IMAGES.mkdir(exist_ok=True)
    chromium = os.environ.get("TC_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        for picture in PICTURES:
            make(browser, sys.argv[1], picture)
        browser.close()


if __name__ == "__main__":
    main()
