"""Check what must hold of every ledger and costs little to ask."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from ledger.invariants import violations
from ledger.selectors import dirty_series, ledger_facts, series_known
from market.series import BadSeriesIdError, SeriesId

# The recovery looks every 30 s.
SETTLED = timedelta(seconds=90)
EXAMPLE = """
example:
  manage.py check_ledger
  manage.py check_ledger binance:futures:BTC/USDT:1m

A few queries a series, for cron and CI; nothing is computed or written. One line for each thing
that does not hold, and exit status 1 if there is any. A series that waits to be computed again is
named, but is no failure. Whether all rows are right says manage.py verify_ledger.
"""


class Command(BaseCommand):
    """Checks the invariants of some series or of all."""

    help = "Check heads, checkpoints and digests of ledgers against each other, in a few queries."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLE
        parser.add_argument("series_id", nargs="*", help="default: every series that is stored")

    def handle(self, *_: Any, **options: Any) -> None:
        """Print what does not hold."""
        names = _asked(options["series_id"])
        found = [(name, words) for name in names for words in violations(ledger_facts(name))]
        for name, words in found:
            self.stdout.write(f"{name}: {words}")
        dirty = dirty_series(timezone.now() - SETTLED)
        for name in sorted(set(dirty) & set(names)):
            self.stdout.write(f"{name}: is still to be computed again from {dirty[name]} on")
        if found:
            series = len({name for name, _ in found})
            raise CommandError(f"{len(found)} violations in {series} of {len(names)} series")
        self.stdout.write(f"{len(names)} series checked, no violation")


def _asked(texts: list[str]) -> list[str]:
    """Return the series that were asked for, all where none was."""
    known = series_known()
    try:
        asked = [str(SeriesId.parse(text)) for text in texts]
    except BadSeriesIdError as error:
        raise CommandError(str(error)) from error
    if unknown := sorted(set(asked) - set(known)):
        raise CommandError(f"nothing is stored of {', '.join(unknown)}")
    return asked or known
