"""A page in Chromium, and how tests wait for what it shows."""

import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import ConsoleMessage, Page, WebSocket, async_playwright, expect

CHROMIUM = os.environ.get("TC_CHROMIUM") or shutil.which("chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
TWO_FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


class Tab:
    """One page of ours: its requests, socket frames and errors are recorded from the start."""

    def __init__(self, page: Page, allowed: Collection[str]) -> None:
        self.page = page
        self.view = page.get_by_test_id("chart-view")
        self.requests: list[str] = []
        self.received: list[str] = []
        self.sent: list[str] = []
        self.errors: list[str] = []
        self._allowed = allowed
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", self._listen)
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def shows(
        self, timeout: float = 10_000, **attributes: str | int | re.Pattern[str]
    ) -> None:
        """Wait until the chart view has these `data-*` attributes."""
        for name, value in attributes.items():
            wanted = value if isinstance(value, re.Pattern) else str(value)
            attribute = "data-" + name.replace("_", "-")
            await expect(self.view).to_have_attribute(attribute, wanted, timeout=timeout)

    async def value(self, name: str) -> str:
        """Return a `data-*` attribute of the chart view as it is now."""
        found = await self.view.get_attribute("data-" + name.replace("_", "-"))
        assert found is not None, name
        return found

    async def number(self, name: str) -> float:
        """Return a `data-*` attribute as a number."""
        return float(await self.value(name))

    async def painted(self) -> None:
        """Wait until what was just done has been painted."""
        await self.page.evaluate(TWO_FRAMES)

    def reads(self, path: str) -> list[str]:
        """Return the requests so far to a path of the API."""
        return [url for url in self.requests if f"{path}?" in url]

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: self.received.append(str(frame)))
        socket.on("framesent", lambda frame: self.sent.append(str(frame)))

    def _note(self, message: ConsoleMessage) -> None:
        text = message.text
        if message.type == "error" and not any(part in text for part in self._allowed):
            self.errors.append(text)


@asynccontextmanager
async def open_tab(
    *,
    allowed: Collection[str] = (),
    saved: tuple[str, str] | None = None,
    **context: Any,
) -> AsyncIterator[Tab]:
    """Give a fresh browser with one tab, and expect no errors on its console but the allowed.

    `saved` is put into the browser's storage as long as that is empty.
    """
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        options = {"viewport": {"width": 1400, "height": 800}, "locale": "en-US"} | context
        browser = await chromium.new_context(**options)
        if saved:
            pair = ", ".join(json.dumps(text) for text in saved)
            await browser.add_init_script(f"localStorage.length || localStorage.setItem({pair})")
        tab = Tab(await browser.new_page(), allowed)
        yield tab
        await chromium.close()
        assert tab.errors == [], tab.errors
