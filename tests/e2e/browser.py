"""A page in Chromium, and how tests wait for what it shows."""

import json
import os
import re
import shutil
from asyncio import Runner
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Page,
    Playwright,
    WebSocket,
    async_playwright,
    expect,
)

NAMED = os.environ.get("TC_CHROMIUM")
WHOLE, SHELL = (shutil.which(name) for name in ("chromium", "chromium-headless-shell"))
# Tests take the one without a window, where it is: it opens a page in half the time.
CHROMIUM = NAMED or SHELL or WHOLE
# What is measured is measured in the one that people have.
MEASURED = NAMED or WHOLE or SHELL
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
Result = TypeVar("Result")
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


class Stage:
    """One event loop and one Chromium for all tests: to start them takes longer than most tests.

    Each tab has a context, so storage and cache, of its own.
    """

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._playwright: Playwright | None = None
        self._chromium: Browser | None = None

    def play(self, scenario: Coroutine[Any, Any, Result]) -> Result:
        """Run a scenario, and return what comes of it."""
        if self._runner is None:
            self._runner = Runner()
        return self._runner.run(scenario)

    async def chromium(self) -> Browser:
        """Return the browser; a new one where it has crashed."""
        if self._playwright is None:
            self._playwright = await async_playwright().start()
        if self._chromium is None or not self._chromium.is_connected():
            chromium = self._playwright.chromium
            self._chromium = await chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        return self._chromium

    def close(self) -> None:
        """End the browser and the loop."""
        if self._runner is not None:
            self._runner.run(self._end())
            self._runner.close()

    async def _end(self) -> None:
        if self._chromium is not None:
            await self._chromium.close()
        if self._playwright is not None:
            await self._playwright.stop()


stage = Stage()
play = stage.play


@asynccontextmanager
async def open_tab(
    *,
    allowed: Collection[str] = (),
    saved: tuple[str, str] | None = None,
    **context: Any,
) -> AsyncIterator[Tab]:
    """Give a tab of a fresh context, and expect no errors on its console but the allowed.

    `saved` is put into its storage as long as that is empty.
    """
    options = {"viewport": {"width": 1400, "height": 800}, "locale": "en-US"} | context
    chromium = await stage.chromium()
    async with await chromium.new_context(**options) as browser:
        if saved:
            pair = ", ".join(json.dumps(text) for text in saved)
            await browser.add_init_script(f"localStorage.length || localStorage.setItem({pair})")
        tab = Tab(await browser.new_page(), allowed)
        yield tab
    assert tab.errors == [], tab.errors
