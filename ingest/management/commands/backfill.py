"""Fill a window of a series from its exchange."""

import asyncio
import time
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from factors.services import engine_warm_for
from ingest import live
from ingest.backfill import Backfill, DerivedSeriesError, Filled
from ingest.binance import UnsupportedSeriesError
from ingest.rest import RestError
from ingest.threads import Threads
from ingest.venues import require_feed
from ledger.advance import IngestPipelineError
from market import clock, selectors
from market.progress import BusyError, Window
from market.series import BadSeriesIdError, SeriesId

STOPPED = 130
REASON = "command"
EXAMPLE = """
examples:
  manage.py backfill binance:futures:BTC/USDT:1m --from 2025-01-01
  manage.py backfill binance:spot:ETH/USDT:1h --from 2024-01-01 --to 2024-06-30T12:00

Times are UTC, as a date, a date and time, or Unix seconds. What is stored is not asked for again:
stopped half way, the same command goes on where it stopped. It may run while feeds are followed.
"""


def moment(text: str) -> int:
    """Return the Unix seconds of a date, a date and time (UTC unless it says), or of themselves.

    >>> moment("2025-01-01"), moment("1735689600")
    (1735689600, 1735689600)
    """
    if text.isdecimal():
        return int(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date and no Unix seconds") from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


class Command(BaseCommand):
    """Brings closed candles of the past in through the pipeline."""

    help = "Fill a window of a series with closed candles from its exchange."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLE
        parser.add_argument("series_id", help="exchange:market:symbol:timeframe")
        parser.add_argument("--from", dest="start", type=moment, required=True, metavar="TIME")
        parser.add_argument("--to", dest="end", type=moment, metavar="TIME", help="default: now")

    def handle(self, *_: Any, **options: Any) -> None:
        """Fill, and print what came of it."""
        try:
            series = SeriesId.parse(options["series_id"])
            require_feed(series)
        except (BadSeriesIdError, UnsupportedSeriesError) as error:
            raise CommandError(str(error)) from error
        start, end = options["start"], options["end"] or int(clock.now())
        if end < start:
            raise CommandError("--to lies before --from")
        self._say_genesis(series, start)
        engine_warm_for((end - start) // series.seconds)
        began = time.perf_counter()
        try:
            done = asyncio.run(self._filled(series, Window(str(series), start, end, REASON)))
        except KeyboardInterrupt:
            raise CommandError(
                "stopped; the same command goes on from here", returncode=STOPPED
            ) from None
        except RestError as error:
            raise CommandError(f"the exchange cannot be asked: {error}") from error
        except (
            BusyError,
            DerivedSeriesError,
            IngestPipelineError,
            UnsupportedSeriesError,
        ) as error:
            raise CommandError(str(error)) from error
        self._say_result(done, time.perf_counter() - began)

    async def _filled(self, series: SeriesId, window: Window) -> Filled:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        worker = Threads(2, "backfill")
        console = Console(stderr=True)
        with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
            task = progress.add_task(str(series), total=None)
            async with live.history_of(series.exchange, series.market, worker) as history:
                fill = Backfill(
                    history,
                    worker,
                    live.store,
                    owner=live.owner_name(),
                    tell=partial(_show, progress, task),
                )
                try:
                    return await fill.fill(window)
                finally:
                    worker.close()

    def _say_genesis(self, series: SeriesId, start: int) -> None:
        first = selectors.first_time(str(series))
        if first is not None and start < first:
            self.stderr.write(
                f"The window begins before the first stored candle ({first}): everything is "
                "computed again, and older structures may change."
            )

    def _say_result(self, done: Filled, spent: float) -> None:
        lacked = done.lacked - done.lacks
        self.stdout.write(
            f"{lacked} candles filled in {spent:.1f} s; {done.covered} of {done.wanted} in the "
            "window are stored"
        )
        if done.lacks:
            self.stdout.write(f"{done.lacks} are not there at the exchange")
        if done.error is not None:
            raise CommandError(str(done.error))


def _show(progress: Progress, task: TaskID, state: Filled) -> None:
    waits = f" (the exchange lets us wait {state.waits:.0f} s)" if state.waits else ""
    progress.update(
        task,
        total=state.lacked,
        completed=state.lacked - state.lacks,
        description=f"{state.window.series_id}{waits}",
    )
