"""Servers for the tests of the pages."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.browser import CHROMIUM, stage
from tests.e2e.live_server import LiveServer

SMALL_WINDOWS = {"TRADE_CANVAS_PIVOT_WINDOW_MAJOR": "2", "TRADE_CANVAS_PIVOT_WINDOW_MINOR": "1"}
NUMBERS = count(1)


@pytest.fixture(autouse=True)
def chromium(request: pytest.FixtureRequest) -> None:
    """Skip tests of the pages where there is no browser."""
    if request.node.get_closest_marker("e2e") and CHROMIUM is None:
        pytest.skip("no chromium-headless-shell or chromium on PATH, and TC_CHROMIUM is not set")


@pytest.fixture(scope="session", autouse=True)
def one_browser() -> Iterator[None]:
    """End the browser that the tests share."""
    yield
    stage.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Give a server for all tests that keep to a series of their own; small pivot windows."""
    running = LiveServer(tmp_path_factory.mktemp("server"), **SMALL_WINDOWS)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[LiveServer]:
    """Give a server that this test may end and start again; windows as in production."""
    running = LiveServer(tmp_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def symbol() -> str:
    """Return a symbol that no other test uses."""
    return f"TEST{next(NUMBERS)}/USDT"


@pytest.fixture
def series_id(symbol: str) -> str:
    """Return the one-minute series of the test's symbol."""
    return f"binance:futures:{symbol}:1m"
