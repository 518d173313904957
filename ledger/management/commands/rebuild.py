"""Compute ledgers again from their candles."""

import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from factors.services import current_fingerprint, engine_warm
from ledger import jobs
from ledger.advance import IngestPipelineError
from ledger.alignment import NoDataError
from ledger.models import LedgerJob
from ledger.rebuild import RebuildOffError, Rebuilt, series_rebuild
from ledger.selectors import series_with_candles
from market import selectors
from market.series import BadSeriesIdError, SeriesId

KIND = "rebuild"
EXAMPLE = """
example:
  manage.py rebuild binance:futures:BTC/USDT:1m
  manage.py rebuild --all

No candle is deleted, and reads see the former ledger until the new one is there. A run of --all
that was cut off goes on where it stopped when it is started again; --anew begins from the first
series.
A series that fails keeps its former ledger; the others go on, and the exit status is 1.
"""


class Command(BaseCommand):
    """Rebuilds one series or all of them, one transaction each."""

    help = "Compute factors, drawings and heads of one series or of all again from the candles."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLE
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("series_id", nargs="?", help="exchange:market:symbol:timeframe")
        which.add_argument("--all", action="store_true", help="every series that has candles")
        parser.add_argument("--anew", action="store_true", help="with --all: not where it stopped")

    def handle(self, *_: Any, **options: Any) -> None:
        """Rebuild what was asked for and say what came out."""
        engine_warm()
        try:
            if not options["all"]:
                self._rebuild(str(SeriesId.parse(options["series_id"])))
                return
        except (BadSeriesIdError, IngestPipelineError, RebuildOffError) as error:
            raise CommandError(str(error)) from error
        except NoDataError as error:
            raise CommandError(f"{options['series_id']}: no candles are stored") from error
        self._rebuild_all(anew=options["anew"])

    def _rebuild_all(self, *, anew: bool) -> None:
        every = series_with_candles()
        open_jobs = jobs.jobs_open(KIND, current_fingerprint(), every, anew=anew)
        if len(open_jobs) < len(every):
            done = len(every) - len(open_jobs)
            self.stdout.write(f"going on: {done} of {len(every)} series were done before")
        failed = [job.series_id for job in open_jobs if not self._done(job)]
        self.stdout.write(f"{len(open_jobs) - len(failed)} series rebuilt, {len(failed)} failed")
        if failed:
            raise CommandError(f"failed: {', '.join(failed)}")

    def _done(self, job: LedgerJob) -> bool:
        """Run a job; say whether it succeeded. Its row keeps the error."""
        try:
            jobs.job_run(job, self._rebuild)
        except (IngestPipelineError, NoDataError, RebuildOffError, DatabaseError) as error:
            self.stderr.write(f"{job.series_id}: {error}")
            return False
        return True

    def _rebuild(self, series_id: str) -> Rebuilt:
        began = time.perf_counter()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress:
            total = selectors.candle_count(series_id, 0, 2**62)
            task = progress.add_task(series_id, total=total)
            done = series_rebuild(series_id, lambda n: progress.update(task, completed=n))
        what = "something came out differently" if done.is_altered else "nothing changed"
        self.stdout.write(
            f"{series_id}: {done.candles} candles, {done.events} events, {what}, "
            f"generation {done.generation}; {time.perf_counter() - began:.2f} s"
        )
        return done
