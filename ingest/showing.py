"""Shows candles while they form: those of streams, and the longer ones that they are part of."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from ingest.feed import SeriesFeed
from ingest.longer import LongerForming
from market.candles import Candle, Candles

logger = logging.getLogger(__name__)


class Showing:
    """Shows what forms, each series not too often. `run` reads the database for it."""

    def __init__(
        self, show: Callable[[str, Candle], None], run: Callable[..., Awaitable[Any]]
    ) -> None:
        self._show, self._run = show, run
        self._longer: dict[str, LongerForming] = {}

    async def show(self, feeds: Iterable[SeriesFeed], tick: float) -> None:
        """Show what forms, and what longer candles it forms."""
        interval = settings.TRADE_CANVAS_MARKET_FORMING_MIN_INTERVAL_MS / 1000
        for feed in feeds:
            if candle := feed.to_publish(tick, interval):
                self._show(str(feed.series), candle)
                await self._show_longer(str(feed.series), candle, tick, interval)

    def committed(self, batches: Mapping[str, Candles]) -> None:
        """Take in base candles that were stored."""
        for name in batches.keys() & self._longer.keys():
            self._longer[name].committed(batches[name])

    async def _show_longer(self, name: str, candle: Candle, tick: float, interval: float) -> None:
        """Show the forming candles of derived series; a failure costs no more than these."""
        longer = self._longer.setdefault(name, LongerForming(name))
        try:
            if lacks := longer.lacks(candle):
                longer.begin(lacks[0], await self._run(longer.read, *lacks))
        except DatabaseError as error:
            logger.info("ingest.longer_not_shown %s %s", name, error)
            return
        for derived_name, shown in longer.shown(candle, tick, interval):
            self._show(derived_name, shown)
