"""The page /: the series that are here, each with a small line of its newest candles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from ledger.standing import Standing, standings
from market import database, selectors
from market.series import reading_order
from tradecanvas import sparkline

NEWEST = 60


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One series: how its ledger stands, and its newest closes in the order of time."""

    standing: Standing
    closes: Sequence[float]

    @property
    def close(self) -> str:
        """The newest close, all of its digits and no exponent."""
        return np.format_float_positional(self.closes[-1], trim="-")

    @property
    def points(self) -> str:
        """The line of the closes."""
        return sparkline.points(self.closes)

    @property
    def trend(self) -> str:
        """Where the line leads: `up` or `down`."""
        return "up" if self.closes[-1] >= self.closes[0] else "down"


def landing(request: HttpRequest) -> HttpResponse:
    """Show the series that have candles, by name and length; without any, say how to get some."""
    with database.reading():
        found = [each for each in standings() if each.heads.candle is not None]
        found.sort(key=lambda each: reading_order(each.series_id))
        closes = selectors.closes_newest([each.series_id for each in found], NEWEST)
    rows = [SeriesRow(each, closes[each.series_id]) for each in found]
    size = {"width": sparkline.WIDTH, "height": sparkline.HEIGHT}
    return render(request, "landing.html", {"rows": rows, "size": size})
