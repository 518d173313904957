"""Write the events of a series to the standard output."""

import csv
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from factors.engine import registry
from factors.selectors import events_in_order
from ledger.alignment import OutOfSyncError
from ledger.selectors import heads_of
from ledger.sync import LedgerSyncService
from market import database
from market.series import BadSeriesIdError, SeriesId

NAMES = ("factor", "kind", "event_key", "candle_time", "payload")
EXAMPLE = """
example:
  manage.py export_events binance:futures:BTC/USDT:1m --factor pen --format csv > pens.csv

Each event in the order in which it became known: factor, kind, event_key, candle_time (the closed
candle that made it visible) and payload.
"""


class Command(BaseCommand):
    """Writes each event of a series, oldest first."""

    help = "Write the events of one series to the standard output, as JSON lines or CSV."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLE
        parser.add_argument("series_id", help="exchange:market:symbol:timeframe")
        names = [factor.name for factor in registry.known()]
        parser.add_argument("--factor", choices=names, help="only the events of this factor")
        parser.add_argument("--format", choices=["jsonl", "csv"], default="jsonl")

    def handle(self, *_: Any, **options: Any) -> None:
        """Write the events page by page, from one state of a ledger that is up to date."""
        try:
            series = SeriesId.parse(options["series_id"])
            with database.reading():
                self._require_ready(str(series))
                self._write(events_in_order(str(series), options["factor"]), options["format"])
        except BadSeriesIdError as error:
            raise CommandError(str(error)) from error
        except OutOfSyncError as error:
            raise CommandError(
                f"{series}: {error}; the next candle or `manage.py rebuild` brings it up to date"
            ) from error
        except BrokenPipeError:  # whoever reads has enough; Python would complain at its exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _require_ready(self, series_id: str) -> None:
        heads = heads_of(series_id)
        if heads.candle is None:
            raise CommandError(f"{series_id}: no candles are stored")
        LedgerSyncService().require_factor_ready(heads, heads.candle)

    def _write(self, events: Iterable[tuple[str, str, str, int, str]], form: str) -> None:
        if form == "csv":
            table = csv.writer(self.stdout, lineterminator="\n")
            table.writerow(NAMES)
            table.writerows(events)
            return
        for *values, payload in events:
            line = dict(zip(NAMES, [*values, orjson.Fragment(payload)], strict=True))
            self.stdout.write(orjson.dumps(line).decode())
