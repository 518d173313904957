"""The budgets of the chart page, B1 to B14: from the navigation to bytes and memory.

    ./dev bench ui
    ./dev bench ui --only B4 B10 --quick

A server of its own with 100,000 candles (the bundled ones, and copies that go on from them) and
their structures, and Chromium without a GPU, 1400 x 800, all features on. B1, B3, B10 to B12 and
B14 open /live. B2 and B4 to B9 drive the modules of the chart on a page of their own, as /live
holds 20,000 candles at most; their data come over the API. B13 belongs to replay, which is not
there yet. Beside B1, B10 and B11 stands the library alone in the same run: a page of one read of
candles, one series and one socket, without structures (`tests/e2e/harness/raw.js`).
Load counts: run it on a machine that does nothing else, and compare runs of one machine only.
"""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.e2e.budgets import MEASURES, OTHER, RAW_TOO, SERIES, Figure, Scene, browser, fill
from tests.e2e.live_server import LiveServer


def main() -> None:
    """Start a server, measure, and leave with 1 if a budget is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(MEASURES),
        default=list(MEASURES),
        metavar="B",
        help="these only; B6 also measures B7 to B9, B10 also B11",
    )
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = LiveServer(Path(folder))
        print("importing 100,000 candles", file=sys.stderr, flush=True)
        head = fill(server.folder, server.environment)
        server.start()
        try:
            figures = asyncio.run(measured(server.url, head, options))
        finally:
            server.stop()
    sys.exit(not all(figure.holds() for figure in figures))


async def measured(url: str, head: int, options: argparse.Namespace) -> list[Figure]:
    """Measure and print what was asked for."""
    figures = []
    async with browser() as chromium:
        about = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        print(f"{about}, Chromium {chromium.version}, load {os.getloadavg()[0]:.1f}", flush=True)
        scene = Scene(chromium, url, SERIES, OTHER, head, is_quick=options.quick)
        for name in options.only:
            raw = await MEASURES[name](scene._replace(is_raw=True)) if name in RAW_TOO else []
            alone = {figure.what: figure.value for figure in raw}
            for figure in await MEASURES[name](scene):
                figures.append(figure)
                print(figure, beside(figure, alone), flush=True)
    print(f"B13  belongs to replay; load {os.getloadavg()[0]:.1f} at the end")
    return figures


def beside(figure: Figure, alone: Mapping[str, float]) -> str:
    """Say what the library alone makes of the same, where that was measured."""
    value = alone.get(figure.what)
    return f"library alone {value:,.1f}, x {figure.value / value:.2f}" if value else ""


if __name__ == "__main__":
    main()
