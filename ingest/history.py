"""What every exchange can be asked over HTTP: closed candles of the past, a page at a time."""

from typing import Protocol

from market.candles import Candles
from market.series import SeriesId


class History(Protocol):
    """An exchange that can be asked for closed candles of the past."""

    def now(self) -> float:
        """Return the time by the exchange's clock."""

    async def sync_clock(self) -> None:
        """Ask the exchange what time it is."""

    async def require_listed(self, series: SeriesId) -> None:
        """Raise `UnsupportedSeriesError` unless the exchange has this series."""

    async def page(self, series: SeriesId, start: int, end: int) -> Candles:
        """Return the first closed candles in [start, end]; none: there are none."""


async def closed_between(history: History, series: SeriesId, start: int, end: int) -> Candles:
    """Return the closed candles with times in [start, end], as far as the exchange has them."""
    found = Candles.from_rows([])
    while start <= end:
        page = await history.page(series, start, end)
        if not len(page):
            break
        found = found.then(page)
        start = int(page.time[-1]) + series.seconds
    return found
