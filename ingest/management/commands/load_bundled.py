"""Load the real candles that come with the project."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from market import selectors
from market.bundled import PATH, SERIES

EXAMPLE = """
example:
  manage.py load_bundled --if-empty
"""


class Command(BaseCommand):
    """Imports the bundled BTC/USDT minutes, 2025-05-04 to 2025-06-24."""

    help = "Load the bundled real BTC/USDT 1m candles (73,139 of Binance futures, 2025)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLE
        parser.add_argument(
            "--if-empty", action="store_true", help="do nothing if the database has any candle"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Import the file, unless there are candles already and that was asked for."""
        if options["if_empty"] and selectors.any_candle():
            return
        self.stdout.write(f"Loading the bundled candles of {SERIES}")
        call_command("import_candles", str(SERIES), str(PATH), stdout=self.stdout)
