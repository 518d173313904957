"""Import closed candles from a file."""

import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from factors.services import engine_warm_for
from ingest import pipeline
from ledger.advance import IngestPipelineError
from market import selectors
from market.candle_file import CandleFileError, read_candles
from market.candles import Candles
from market.series import BadSeriesIdError, SeriesId

PART = 20_000
EXAMPLE = """
example:
  manage.py import_candles binance:futures:BTC/USDT:1m btc_1m.csv.gz

The file is CSV, plain or gzip, with the header
  candle_time,open,high,low,close,volume
where candle_time is the open time of the candle in Unix seconds. It is checked whole before the
first write. The same file twice changes nothing.
"""


class Command(BaseCommand):
    """Takes a file of closed candles in through the pipeline."""

    help = "Import closed candles of one series from a CSV or CSV.gz file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLE
        parser.add_argument("series_id", help="exchange:market:symbol:timeframe")
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--skip-bad", action="store_true", help="leave out bad lines and count them"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Check the file, import it, and print what changed and how fast."""
        try:
            series = SeriesId.parse(options["series_id"])
            began = time.perf_counter()
            found = read_candles(options["file"], skip_bad=options["skip_bad"])
            candles = pipeline.normalised(found.candles)
            self._say_genesis(series, candles)
            engine_warm_for(len(candles))
            stored = self._import(series, candles)
        except (BadSeriesIdError, CandleFileError, IngestPipelineError) as error:
            raise CommandError(str(error)) from error
        self._say_result(candles, stored, found.bad, time.perf_counter() - began)

    def _import(self, series: SeriesId, candles: Candles) -> int:
        stored = 0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        console = Console(stderr=True)
        with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
            task = progress.add_task(str(series), total=len(candles))
            for first in range(0, len(candles), PART):
                part = candles.take(slice(first, first + PART))
                stored += pipeline.run_sync({str(series): part}).stored[str(series)]
                progress.advance(task, len(part))
        return stored

    def _say_genesis(self, series: SeriesId, candles: Candles) -> None:
        first = selectors.first_time(str(series))
        if first is not None and int(candles.time[0]) < first:
            self.stderr.write(
                f"The file begins before the first stored candle ({first}): everything is "
                "computed again, and older structures may change."
            )

    def _say_result(self, candles: Candles, stored: int, bad: list[str], seconds: float) -> None:
        total = len(candles)
        self.stdout.write(
            f"{total} candles read, {stored} new or changed, {total - stored} already there, "
            f"{len(bad)} bad lines left out; {seconds:.2f} s, {total / seconds:,.0f} candles/s"
        )
        for line in bad[:10]:
            self.stderr.write(f"left out: {line}")
