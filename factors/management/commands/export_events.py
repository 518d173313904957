"""Write the events of a series to the standard output."""

import csv
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError

from factors.engine import registry
from factors.selectors import events_in_order
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
        """Write the events page by page as they are read."""
        try:
            series = SeriesId.parse(options["series_id"])
        except BadSeriesIdError as error:
            raise CommandError(str(error)) from error
        events = events_in_order(str(series), options["factor"])
        if options["format"] == "csv":
            table = csv.writer(self.stdout, lineterminator="\n")
            table.writerow(NAMES)
            table.writerows(events)
            return
        for *values, payload in events:
            line = dict(zip(NAMES, [*values, orjson.Fragment(payload)], strict=True))
            self.stdout.write(orjson.dumps(line).decode())
