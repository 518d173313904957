"""Run a series under a grid of parameters, on all cores."""

import csv
import io
import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import track
from rich.table import Table

from factors.arguments import positive
from factors.engine.rules import BadParameterError, by_factor, make_rules
from factors.engine.sweep import BadRangeError, Outcome, Params, grid, outcomes, values
from factors.engine.types import Number
from factors.services import current_rules
from market import selectors
from market.series import BadSeriesIdError, SeriesId

MOST_COMBINATIONS = 10_000
EXAMPLE = """
example:
  manage.py sweep binance:futures:BTC/USDT:1m --window-major 20:200:10
  manage.py sweep binance:futures:BTC/USDT:1m --window-major 30,50 --window-minor 3:9:2 --csv a.csv

A value is a number, a list 3,5 or a range FIRST:LAST:STEP; a parameter that is not named has the
value of the settings. For each combination: how many events of each kind; how many candles from
the end of a pen to its confirmation (median, 90th percentile); how many candidate pens were shown
on the way, looked at every tenth candle, and how many became confirmed pens. Nothing is stored.
"""


class Command(BaseCommand):
    """Prints or writes one row for each combination of parameters."""

    help = "Run a grid of parameters over one stored series and compare what comes out."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLE
        parser.add_argument("series_id", help="exchange:market:symbol:timeframe")
        parser.add_argument("--window-major", metavar="VALUES", help="pivot.window_major")
        parser.add_argument("--window-minor", metavar="VALUES", help="pivot.window_minor")
        parser.add_argument(
            "--param", metavar="FACTOR.NAME=VALUES", action="append", default=[], help="any other"
        )
        parser.add_argument(
            "--candles", type=positive, default=1_000_000, help="at most, the newest"
        )
        parser.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, help="processes")
        parser.add_argument("--csv", type=Path, help="write the table to this file instead")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run every combination, then show the table."""
        try:
            series = SeriesId.parse(options["series_id"])
            combinations = self._combinations(options)
        except (BadSeriesIdError, BadRangeError, BadParameterError) as error:
            raise CommandError(str(error)) from error
        candles = selectors.candles_latest(str(series), options["candles"])
        if not len(candles):
            raise CommandError(f"{series}: no candles are stored")
        if options["csv"] and not options["csv"].absolute().parent.is_dir():
            raise CommandError(f"{options['csv']}: there is no such folder")
        extra = settings.TRADE_CANVAS_EXTRA_FACTORS
        running = outcomes(candles, series.seconds, combinations, options["jobs"], extra)
        console = Console(stderr=True)
        shown = track(running, "combinations", total=len(combinations), console=console)
        rows = [outcome for _, outcome in sorted(shown, key=lambda pair: pair[0])]
        self._show(rows, options["csv"])

    def _combinations(self, options: dict[str, Any]) -> list[Params]:
        """Return the grid that the arguments ask for, every value of it checked."""
        ranges: dict[str, Sequence[Number]] = {
            f"{factor}.{name}": [value]
            for factor, params in current_rules().params.items()
            for name, value in params.items()
        }
        for name in ("window_major", "window_minor"):
            if options[name]:
                ranges[f"pivot.{name}"] = values(options[name])
        for text in options["param"]:
            name, _, listed = text.partition("=")
            ranges[name] = values(listed)
        combinations = grid(ranges)
        if len(combinations) > MOST_COMBINATIONS:
            raise BadRangeError(f"{len(combinations)} combinations; at most {MOST_COMBINATIONS}")
        for params in combinations:
            make_rules(by_factor(params), settings.TRADE_CANVAS_EXTRA_FACTORS)
        return combinations

    def _show(self, rows: Sequence[Outcome], path: Path | None) -> None:
        names = list(header(rows[0]))
        if path:
            with path.open("w", newline="") as file:
                table = csv.writer(file)
                table.writerow(names)
                table.writerows(header(row).values() for row in rows)
            self.stdout.write(f"{len(rows)} rows written to {path}")
            return
        shown = Table()
        for name in names:
            shown.add_column(name, justify="right", overflow="fold")
        for row in rows:
            shown.add_row(*(cell(value) for value in header(row).values()))
        text = io.StringIO()
        Console(file=text, width=max(80, 14 * len(names))).print(shown)
        self.stdout.write(text.getvalue())


def header(row: Outcome) -> dict[str, float | None]:
    """Return the columns of a row, by name."""
    return {
        **row.params,
        **row.counts,
        "delay median": row.delay_median,
        "delay p90": row.delay_p90,
        "candidates": row.candidates,
        "survival": row.survival,
    }


def cell(value: float | None) -> str:
    """Return a value as people read it."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value == int(value) else f"{value:.3f}"
