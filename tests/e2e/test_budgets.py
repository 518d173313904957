"""The budgets of the chart page at twice their value, as a shared machine is slow."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.e2e.budgets import MEASURES, OTHER, SERIES, Figure, Scene, browser, fill
from tests.e2e.live_server import LiveServer

pytestmark = pytest.mark.e2e

TRIES = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Give the address of a server with 100,000 candles, and the time of the last."""
    running = LiveServer(tmp_path_factory.mktemp("budgets"))
    head = fill(running.folder, running.environment)
    running.start()
    yield running.url, head
    running.stop()


@pytest.mark.parametrize("name", MEASURES)
def test_budget_is_kept_at_twice_its_value(name: str, server: tuple[str, int]) -> None:
    """What passes once in a few tries is fast enough; what never does is too slow."""
    url, head = server
    measure = MEASURES[name]

    async def scenario() -> list[Figure]:
        async with browser() as chromium:
            return await measure(Scene(chromium, url, SERIES, OTHER, head, is_quick=True))

    missed: dict[str, Figure] = {}
    for number in range(TRIES):
        figures = asyncio.run(scenario())
        for figure in figures:
            print(figure)  # noqa: T201 (the real numbers, for who reads the log)
            if figure.holds(2):
                missed.pop(figure.what, None)
            elif number == 0:
                missed[figure.what] = figure
        if not missed:
            return
    pytest.fail("\n".join(map(str, missed.values())))
