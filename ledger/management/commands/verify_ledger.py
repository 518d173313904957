"""Prove that what is stored of a ledger is what its candles give."""

import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from factors.services import engine_warm_for
from ledger.advance import IngestPipelineError
from ledger.alignment import NoDataError
from ledger.rebuild import RebuildOffError, series_rebuild
from ledger.selectors import series_known
from ledger.verify import Verdict, series_verify
from market import selectors
from market.series import BadSeriesIdError, SeriesId

EXAMPLE = """
example:
  manage.py verify_ledger binance:futures:BTC/USDT:1m
  manage.py verify_ledger --all --repair

Computes each series again from its first candle, in memory, and compares every stored event,
checkpoint, drawing and head byte for byte. A ledger that is behind its candles is compared as far
as it goes. Says the first difference of a series: table, row, what is stored, what it should be.
The exit status is 1 if a series differs, or still differs after --repair, which rebuilds it from
its candles. Without --repair nothing is written.
"""


class Command(BaseCommand):
    """Verifies one series or all of them, each by itself."""

    help = "Compute ledgers again from their candles and compare all that is stored, byte for byte."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLE
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("series_id", nargs="?", help="exchange:market:symbol:timeframe")
        which.add_argument("--all", action="store_true", help="every series that is stored")
        parser.add_argument("--repair", action="store_true", help="rebuild what differs")

    def handle(self, *_: Any, **options: Any) -> None:
        """Verify what was asked for and say what came out."""
        names = series_known()
        if not options["all"]:
            names = [_known(options["series_id"], names)]
        totals = {name: selectors.candle_count(name, 0, 2**62) for name in names}
        engine_warm_for(sum(totals.values()))
        failed = []
        for number, (name, total) in enumerate(totals.items(), 1):
            show = partial(_with_bar, f"{number}/{len(names)} {name}", total)
            if not self._is_sound(name, show, repair=options["repair"]):
                failed.append(name)
        if options["all"]:
            self.stdout.write(f"{len(names)} series verified, {len(failed)} not sound")
        if failed:
            raise CommandError(f"not sound: {', '.join(failed)}")

    def _is_sound(self, name: str, show: Callable[[Any], Any], *, repair: bool) -> bool:
        """Verify a series, and if asked mend it and verify it again; an error does not rise."""
        try:
            is_sound = self._verify(name, show)
            if is_sound or not repair:
                return is_sound
            done = show(partial(series_rebuild, name))
            self.stdout.write(f"{name}: rebuilt, generation {done.generation}")
            return self._verify(name, show)
        except NoDataError:
            self.stderr.write(f"{name}: cannot be rebuilt, no candles are stored")
        except (DatabaseError, IngestPipelineError, RebuildOffError) as error:
            self.stderr.write(f"{name}: {error}")
        return False

    def _verify(self, name: str, show: Callable[[Any], Any]) -> bool:
        began = time.perf_counter()
        verdict = show(partial(series_verify, name))
        self.stdout.write(f"{name}: {_words(verdict, time.perf_counter() - began)}")
        return bool(verdict.is_sound)


def _known(text: str, names: list[str]) -> str:
    try:
        name = str(SeriesId.parse(text))
    except BadSeriesIdError as error:
        raise CommandError(str(error)) from error
    if name not in names:
        raise CommandError(f"{name}: no candles are stored")
    return name


def _with_bar(title: str, total: int, action: Callable[[Callable[[int], None]], Any]) -> Any:
    """Run the action, which is given something to report candles to, under a progress bar."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        task = progress.add_task(title, total=total)
        return action(lambda done: progress.update(task, completed=done))


def _words(verdict: Verdict, seconds: float) -> str:
    if verdict.refused:
        return verdict.refused
    if verdict.difference:
        return f"differs; {seconds:.2f} s\n  {verdict.difference}"
    events, checkpoints, instructions = verdict.rows.values()
    behind = f", behind: {verdict.behind}" if verdict.behind else ""
    return (
        f"all agrees: {verdict.candles} candles, {events} events, {checkpoints} checkpoint rows, "
        f"{instructions} instructions{behind}; {seconds:.2f} s"
    )
