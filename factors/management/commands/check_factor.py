"""Prove or refute on real candles that a factor knows only the past."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.status import Status

from factors.arguments import positive
from factors.engine import registry
from factors.engine.lookahead import Refuted, refute
from factors.engine.rules import Rules
from factors.services import engine_warm, rules_with
from market import bundled, selectors
from market.candles import Candles
from market.series import BadSeriesIdError, SeriesId

EXAMPLE = """
example:
  manage.py check_factor pen
  manage.py check_factor pen --series binance:futures:BTC/USDT:1m --candles 20000 --splits 100

Takes the candles one by one, the state through bytes each time, and compares with all at once,
with prefixes, with random batches and restarts, with states gone on from in any order, with plain
kernels, and with other times of the clock.
Prints the first candle and event where history moved, and exits with 1, if it ever does.
"""


class Command(BaseCommand):
    """Runs one factor, with those it needs, in many ways over the same candles."""

    help = "Prove or refute that a factor does not look ahead: the first candle where it did."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLE
        names = [factor.name for factor in registry.known()]
        parser.add_argument("factor", choices=names)
        parser.add_argument(
            "--series", nargs="+", default=[], help="stored series; default: the bundled candles"
        )
        parser.add_argument(
            "--candles",
            type=positive,
            default=5000,
            help="how many: the newest that are stored, the first that are bundled",
        )
        parser.add_argument(
            "--splits", type=positive, default=20, help="prefixes and random batches"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Check the factor on each series; stop at the first that refutes it."""
        rules = rules_with(options["factor"])
        engine_warm(rules)
        for series, candles in self._sources(options["series"], options["candles"]):
            with Console(stderr=True).status(str(series)) as status:
                found = self._refute(rules, options, series, candles, status)
            if found is not None:
                raise CommandError(f"{series}: {found}")
            self.stdout.write(
                f"{series}: {options['factor']} knows only the past on {len(candles)} candles, "
                f"{options['splits']} prefixes and {options['splits']} random batches"
            )

    def _refute(
        self,
        rules: Rules,
        options: dict[str, Any],
        series: SeriesId,
        candles: Candles,
        status: Status,
    ) -> Refuted | None:
        return refute(
            rules,
            options["factor"],
            candles,
            series.seconds,
            splits=options["splits"],
            progress=lambda way: status.update(f"{series}: {way}"),
        )

    def _sources(self, names: list[str], count: int) -> Iterator[tuple[SeriesId, Candles]]:
        """Yield the series to check on; a series without candles proves nothing."""
        if not names:
            yield bundled.SERIES, bundled.bundled_candles(count)
        for name in names:
            try:
                series = SeriesId.parse(name)
            except BadSeriesIdError as error:
                raise CommandError(str(error)) from error
            candles = selectors.candles_latest(name, count)
            if not len(candles):
                raise CommandError(f"{name}: no candles are stored")
            yield series, candles
