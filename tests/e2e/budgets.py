"""The budgets of the chart page, and how each is measured: B1 to B14.

Times are of Chromium without a GPU on the machine that also serves. B13 belongs to replay.
"""

import asyncio
import gzip
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from playwright.async_api import (
    Browser,
    BrowserContext,
    Page,
    Route,
    ViewportSize,
    async_playwright,
    expect,
)
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from bench._candles import continued
from tests.e2e.browser import ARGUMENTS, MEASURED
from tests.e2e.live_server import ROOT

SERIES, OTHER = "binance:futures:LONG/USDT:1m", "binance:futures:OTHER/USDT:1m"
HARNESS = Path(__file__).parent / "harness"
LIBRARY = "**/lightweight-charts.standalone.production.mjs*"
VIEW = "[data-testid=chart-view]"
SIZE = ViewportSize(width=1400, height=800)
PAGE = """<!doctype html><html lang="en" data-theme="dark"><link rel="stylesheet" href="{style}">
<script type="importmap">{{"imports": {{"lightweight-charts": "{library}"}}}}</script>
<div id="chart" style="width: 1400px; height: 700px"></div>
<script type="module" src="/harness/chart.js"></script></html>"""
RAW = """<!doctype html><html lang="en">
<script type="importmap">{{"imports": {{"lightweight-charts": "{library}"}}}}</script>
<div data-testid="chart-view" data-series-id="{series}" style="width: 1400px; height: 700px"></div>
<script type="module" src="/harness/raw.js"></script></html>"""
# A page that the tests serve is of no network, and may else not open a socket to this machine.
FOREIGN = "--disable-features=LocalNetworkAccessChecks"
# Stamps are milliseconds in the volume of a forming candle, so that they pass through untouched.
LISTEN = """
window.ticks = [];
const Real = WebSocket;
window.WebSocket = class extends Real {
  constructor(...where) {
    super(...where);
    window.socket = this;
    this.addEventListener("message", ({ data }) => {
      const sent = /"candle_forming".*"volume":([0-9.]+)/.exec(data)?.[1];
      if (!sent) return;
      const tick = { sent: Number(sent), begun: performance.now() };
      window.ticks.push(tick);
      const now = () => performance.timeOrigin + performance.now();
      const handled = new MessageChannel();
      handled.port1.onmessage = () => {
        tick.handled = now();
        tick.script = performance.now() - tick.begun;
      };
      handled.port2.postMessage(0);
      requestAnimationFrame(() => {
        const painted = new MessageChannel();
        painted.port1.onmessage = () => (tick.painted = now());
        painted.port2.postMessage(0);
      });
    });
  }
};
"""
ASKED = """(() => {
  const [painted] = performance.getEntriesByName("chart-painted");
  const found = performance.getEntriesByType("resource");
  const before = found.filter(({ startTime }) => startTime < painted.startTime);
  return [location.href, ...before.map(({ name }) => name)];
})()"""
FEED = """async ([text, count]) => {
  const message = JSON.parse(text);
  for (let done = 0; done < count; done += 20) {
    for (let n = 0; n < 20; n += 1) {
      message.candle.close += n % 2 ? 0.1 : -0.1;
      window.socket.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(message) }));
    }
    await new Promise(requestAnimationFrame);
  }
}"""


def fill(folder: Path, environment: dict[str, str]) -> int:
    """Take 100,000 candles into the database of a server that is to start; return the last time."""
    candles = continued(100_000)
    for series_id, count in ((SERIES, 100_000), (OTHER, 3000)):
        rows = candles.take(slice(len(candles) - count, None)).rows()
        lines = [
            "candle_time,open,high,low,close,volume",
            *(",".join(map(str, row)) for row in rows),
        ]
        file = folder / "candles.csv"
        file.write_text("\n".join(lines) + "\n")
        for command in (["migrate", "-v0"], ["import_candles", series_id, str(file)]):
            subprocess.run(
                [sys.executable, "manage.py", *command],
                cwd=ROOT, env=environment, check=True, capture_output=True,
            )  # fmt: skip
    return int(candles.time[-1])


class Figure(NamedTuple):
    """A number beside its budget."""

    budget: str
    what: str
    value: float
    limit: float
    unit: str
    least: bool = False
    samples: int = 0

    def holds(self, factor: float = 1.0) -> bool:
        """Say whether the number keeps to its budget, or to so many times of it."""
        return (
            self.value * factor >= self.limit if self.least else self.value <= self.limit * factor
        )

    def __str__(self) -> str:
        """Say it in a line."""
        sign, verdict = ("≥" if self.least else "≤"), ("met" if self.holds() else "MISSED")
        about = f"{self.budget:<4} {self.what:<62} {self.value:>10,.1f} {self.unit:<6}"
        return f"{about} {sign} {self.limit:>8,.0f}  {verdict:<6}  {self.samples} samples"


class Scene(NamedTuple):
    """A browser, and a server with two series that hold the same candles."""

    browser: Browser
    url: str
    series: str
    other: str
    head: int
    # Less of everything, for a check rather than a measurement.
    is_quick: bool
    # The library alone instead of our page, to know what the machine makes of that.
    is_raw: bool = False

    def link(self, series_id: str) -> str:
        """Return the address of the chart of a series."""
        return f"{self.url}/live?series_id={quote(series_id, safe='')}"

    def times(self, many: int, few: int) -> int:
        """Return how often something is done."""
        return few if self.is_quick else many

    @asynccontextmanager
    async def context(self) -> AsyncIterator[BrowserContext]:
        """Give a browser that remembers nothing."""
        context = await self.browser.new_context(viewport=SIZE, locale="en-US", color_scheme="dark")
        yield context
        await context.close()

    @asynccontextmanager
    async def chart(self, *, watched: bool = False) -> AsyncIterator[Page]:
        """Give the live page of the series, painted; `watched` with a look into the library."""
        async with self.context() as context:
            page = await context.new_page()
            if watched:
                await page.add_init_script(LISTEN)
                await page.route(LIBRARY, library)
            if self.is_raw:
                await self._serve(page, RAW, "raw.js")
            await page.goto(f"{self.url}/harness" if self.is_raw else self.link(self.series))
            await is_ready(page, self.series)
            yield page

    @asynccontextmanager
    async def harness(self, count: int) -> AsyncIterator[Page]:
        """Give a page with the chart's modules that holds so many candles."""
        async with self.context() as context:
            page = await context.new_page()
            await page.route(LIBRARY, library)
            await self._serve(page, PAGE, "chart.js")
            await page.goto(f"{self.url}/harness")
            await page.wait_for_function("window.harness")
            held = await page.evaluate(
                "asked => harness.load(...asked)", [self.series, count, self.head]
            )
            assert held["candles"] == count, held
            assert held["shapes"] > count / 50, held
            yield page

    async def _serve(self, page: Page, html: str, module: str) -> None:
        """Serve a page of the tests' own beside those of the server, with the same library."""
        live = await (await page.request.get(self.link(self.series))).text()
        style, packed = (found(live, end) for end in ("style.css", ".production.mjs"))
        text = html.format(style=style, library=packed, series=self.series)
        place = f"{self.url}/harness"
        await page.route(place, lambda route: route.fulfill(body=text, content_type="text/html"))
        await page.route(f"{place}/{module}", lambda route: route.fulfill(path=HARNESS / module))


async def library(route: Route) -> None:
    """Answer with the library behind our look into it."""
    if route.request.url.endswith("?real"):
        await route.continue_()
        return
    text = (HARNESS / "library.js").read_text().replace("REAL", f"{route.request.url}?real")
    await route.fulfill(body=text, content_type="text/javascript")


def found(html: str, end: str) -> str:
    """Return the first address in a page that ends so."""
    return next(part for part in html.split('"') if part.endswith(end))


async def is_ready(page: Page, series_id: str) -> None:
    """Wait until the chart of the series is painted."""
    view = page.locator(VIEW)
    await expect(view).to_have_attribute("data-series-id", series_id, timeout=30_000)
    await expect(view).to_have_attribute("data-ready", "1", timeout=30_000)


def p95(values: Sequence[float]) -> float:
    """Return what 95 of 100 do not exceed."""
    return quantile(values, 0.95)


def quantile(values: Sequence[float], part: float) -> float:
    """Return what this part of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


async def navigation(scene: Scene) -> list[Figure]:
    """B1: from the navigation to candles and structures on the screen."""
    spent = []
    for _ in range(scene.times(15, 5)):
        async with scene.chart() as page:
            spent.append(
                await page.evaluate("performance.getEntriesByName('chart-painted')[0].startTime")
            )
    what = "navigation to 2,000 candles and their structures painted"
    count = len(spent)
    return [
        Figure("B1", f"{what}, median", statistics.median(spent), 600, "ms", samples=count),
        Figure("B1", f"{what}, p95", p95(spent), 1000, "ms", samples=count),
    ]


async def setting(scene: Scene) -> list[Figure]:
    """B2: from the data to the screen."""
    async with scene.harness(2000) as page:
        spent = [
            (await page.evaluate("harness.show()"))["spent"] for _ in range(scene.times(15, 5))
        ]
    what = "2,000 candles: data to painted"
    return [
        Figure("B2", f"{what}, median", statistics.median(spent), 250, "ms", samples=len(spent)),
        Figure("B2", f"{what}, p95", p95(spent), 400, "ms", samples=len(spent)),
    ]


async def switching(scene: Scene) -> list[Figure]:
    """B3: from a choice of another series to its chart."""
    spent = []
    async with scene.chart() as page:
        for number in range(scene.times(20, 6)):
            series_id = scene.series if number % 2 else scene.other
            symbol = series_id.split(":")[2]
            spent.append(
                await page.evaluate(
                    """([symbol, id]) => new Promise((done) => {
                      const view = document.querySelector("[data-testid=chart-view]");
                      const begin = performance.now();
                      const watch = new MutationObserver(() => {
                        if (view.dataset.seriesId !== id || view.dataset.ready !== "1") return;
                        watch.disconnect();
                        done(performance.now() - begin);
                      });
                      watch.observe(view, { attributes: true });
                      const select = document.querySelector("[data-testid=symbol-select]");
                      select.value = symbol;
                      select.dispatchEvent(new Event("change", { bubbles: true }));
                    })""",
                    [symbol, series_id],
                )
            )
    return [
        Figure("B3", "switch of series to painted, p95", p95(spent), 400, "ms", samples=len(spent))
    ]


async def drive(page: Page, seconds: float, kind: str, width: int, to: int = 0) -> dict[str, float]:
    """Move the view of the harness."""
    driven: dict[str, float] = await page.evaluate(
        "asked => harness.drive(...asked)", [seconds, kind, width, to]
    )
    return driven


def smooth(
    budget: str, what: str, driven: dict[str, float], fps: float, gap: float = 0
) -> list[Figure]:
    """Return the figures of a view that moved."""
    frames = int(driven["frames"])
    figures = [Figure(budget, what, driven["fps"], fps, "fps", least=True, samples=frames)]
    if gap:
        figures.append(
            Figure(budget, f"{what}, p95 of frames", driven["p95"], gap, "ms", samples=frames)
        )
    return figures


async def few_bars(scene: Scene) -> list[Figure]:
    """B4: pan and zoom with 2,000 bars."""
    seconds = scene.times(4, 1)
    async with scene.harness(2000) as page:
        await page.evaluate("harness.show()")
        pan = await drive(page, seconds, "pan", 250)
        zoom = await drive(page, seconds, "zoom", 250, 1000)
    return [
        *smooth("B4", "2,000 bars, 250 visible: pan", pan, 50, 40),
        *smooth("B4", "2,000 bars, 250 to 1,000 visible: zoom", zoom, 50, 40),
    ]


async def many_bars(scene: Scene) -> list[Figure]:
    """B5: pan and zoom with 20,000 bars."""
    seconds = scene.times(4, 1)
    async with scene.harness(20_000) as page:
        await page.evaluate("harness.show()")
        pan = await drive(page, seconds, "pan", 2000)
        zoom = await drive(page, seconds, "zoom", 250, 20_000)
    return [
        *smooth("B5", "20,000 bars, 2,000 visible: pan", pan, 50),
        *smooth("B5", "20,000 bars, 250 to 20,000 visible: zoom", zoom, 40),
    ]


async def most_bars(scene: Scene) -> list[Figure]:
    """B6 to B9: 100,000 bars, which only the harness holds."""
    seconds = scene.times(4, 1)
    async with scene.harness(100_000) as page:
        shown = [await page.evaluate("harness.show()") for _ in range(scene.times(9, 2))]
        pan = await drive(page, seconds, "pan", 2000)
        wide = await drive(page, seconds, "pan", 20_000)
        sweep = await drive(page, 2 * seconds, "zoom", 250, 100_000)
    spent, longest = ([one[key] for one in shown] for key in ("spent", "longest"))
    return [
        *smooth("B6", "100,000 bars, 2,000 visible: pan", pan, 50, 40),
        *smooth("B7", "100,000 bars, 20,000 visible: pan", wide, 30),
        *smooth("B8", "100,000 bars, 250 to 100,000 visible: zoom", sweep, 30, 100),
        Figure(
            "B9", "100,000 candles: data to painted, median", statistics.median(spent), 1500, "ms",
            samples=len(spent),
        ),
        Figure(
            "B9", "100,000 candles: longest task, median", statistics.median(longest), 500, "ms",
            samples=len(longest),
        ),
    ]  # fmt: skip


async def latency(scene: Scene) -> list[Figure]:
    """B10 and B11: from the POST of a forming candle to the screen, 50 a second."""
    count = scene.times(300, 100)
    async with scene.chart(watched=True) as page, httpx.AsyncClient(base_url=scene.url) as client:
        await expect(page.locator(VIEW)).to_have_attribute("data-ws-state", "open")
        # The subscription stands when something comes of it.
        while not await page.evaluate("window.ticks.length"):
            await heard(page, await say(client, scene, 100_000), timeout=1000)
        await page.evaluate("window.ticks.length = window.asked.update = window.asked.setData = 0")
        for number in range(count):
            begun = time.monotonic()
            last = await say(client, scene, 100_000 + number)
            await asyncio.sleep(max(0.0, 0.02 - (time.monotonic() - begun)))
        assert await heard(page, last, timeout=30_000)
        await page.evaluate("new Promise(done => setTimeout(done, 200))")
        ticks = [tick for tick in await page.evaluate("window.ticks") if "painted" in tick]
        asked = await page.evaluate("window.asked")
    handled = [tick["handled"] - tick["sent"] for tick in ticks]
    painted = [tick["painted"] - tick["sent"] for tick in ticks]
    script = [tick["script"] for tick in ticks]
    many = len(ticks)
    # Counts are no matter of speed: twice of them would be wrong on any machine.
    assert asked["setData"] == 0, asked
    assert asked["update"] <= many, (asked, many)
    # Where the next has come, a tick may be left out; most are not.
    assert many > count / 2, many
    return [
        Figure("B10", "forming candle, POST to handled, p95", p95(handled), 20, "ms", samples=many),
        Figure("B10", "forming candle, POST to painted, p95", p95(painted), 50, "ms", samples=many),
        Figure(
            "B10", "forming candle, POST to painted, p99", quantile(painted, 0.99), 80, "ms",
            samples=many,
        ),
        Figure(
            "B11", "updates a tick; setData was never called", asked["update"] / many, 1, "calls",
            samples=many,
        ),
        Figure("B11", "script a tick, median", statistics.median(script), 2, "ms", samples=many),
    ]  # fmt: skip


async def heard(page: Page, moment: float, *, timeout: float) -> bool:
    """Say whether the tick of this moment comes within so many milliseconds."""
    came = "moment => window.ticks.at(-1)?.sent === moment"
    try:
        await page.wait_for_function(came, arg=moment, timeout=timeout)
    except PlaywrightTimeoutError:
        return False
    return True


async def say(client: httpx.AsyncClient, scene: Scene, price: float) -> float:
    """Show a candle that forms, with this moment, in ms, as its volume; return the moment."""
    moment = round(time.time() * 1000, 3)
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    candle = {"candle_time": scene.head + 60, **prices, "volume": moment}
    body = {"series_id": scene.series, "candle": candle}
    answer = await client.post("/api/market/ingest/candle_forming", json=body)
    assert answer.status_code == 200, answer.text
    return moment


async def memory(scene: Scene) -> list[Figure]:
    """B12: what 10,000 ticks leave on the heap."""
    count = scene.times(10_000, 2_000)
    prices = dict.fromkeys(("open", "high", "low", "close"), 100_000)
    candle = {"candle_time": scene.head + 60, **prices, "volume": 1}
    message = {"type": "candle_forming", "series_id": scene.series, "candle": candle}
    text = httpx.Request("POST", "http://x", json=message).content.decode()
    async with scene.chart(watched=True) as page:
        session = await page.context.new_cdp_session(page)
        await session.send("Performance.enable")
        await page.evaluate(FEED, [text, 1000])
        before = await heap(session, page)
        await page.evaluate(FEED, [text, count])
        after = await heap(session, page)
    grown = (after - before) / 1e6
    return [Figure("B12", f"growth of the heap by {count:,} ticks", grown, 5, "MB", samples=1)]


async def heap(session: Any, page: Page) -> float:
    """Return the bytes in use after a collection."""
    await page.evaluate("window.ticks.length = 0")
    await session.send("HeapProfiler.collectGarbage")
    metrics = (await session.send("Performance.getMetrics"))["metrics"]
    return next(float(one["value"]) for one in metrics if one["name"] == "JSHeapUsedSize")


async def size(scene: Scene) -> list[Figure]:
    """B14: what the first load asks for."""
    async with scene.context() as context:
        page = await context.new_page()
        await page.goto(scene.link(scene.series))
        await is_ready(page, scene.series)
        asked = await page.evaluate(ASKED)
        own = {url for url in asked if "/static/tc/" in url and ".js" in url}
        texts = [await (await page.request.get(url)).body() for url in sorted(own)]
    packed = sum(len(gzip.compress(text)) for text in texts)
    count = len(texts)
    return [
        Figure("B14", "own modules", sum(map(len, texts)) / 1000, 120, "kB", samples=count),
        Figure("B14", "own modules, gzip", packed / 1000, 35, "kB", samples=count),
        Figure("B14", "requests until the chart is ready", len(asked), 30, "", samples=1),
    ]


# What can be measured of the library alone, too.
RAW_TOO = frozenset({"B1", "B10"})
MEASURES: dict[str, Callable[[Scene], Awaitable[list[Figure]]]] = {
    "B1": navigation,
    "B2": setting,
    "B3": switching,
    "B4": few_bars,
    "B5": many_bars,
    "B6": most_bars,
    "B10": latency,
    "B12": memory,
    "B14": size,
}


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Give a Chromium."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=MEASURED, args=[*ARGUMENTS, FOREIGN]
        )
        yield chromium
        await chromium.close()
