"""Follow feeds until told to stop."""

import asyncio
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from channels.layers import get_channel_layer
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from ingest.lease import SupervisorBusyError, SupervisorLock
from ingest.live import follow_feeds
from ingest.stopping import stop_when_told
from ingest.sweep import recovery_sweep
from ingest.wishes import jobs_allowed
from market import debug_relay
from market.groups import use_loop
from market.series import BadSeriesIdError, SeriesId

BUSY = 3
EXAMPLE = """
examples:
  manage.py run_ingest                                     the whitelist and what is watched
  manage.py run_ingest --series binance:spot:BTC/USDT:1m   this series, too
  manage.py run_ingest --once --series binance:futures:BTC/USDT:1m
                                                           catch up and end

On SQLite one process follows feeds: a second one ends with status 3. On PostgreSQL any number do.
"""


class Command(BaseCommand):
    """The supervisor of feeds in a process of its own."""

    help = "Follow the feeds of the whitelist, and of what is watched, until told to stop."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLE
        parser.add_argument(
            "--series", action="append", default=[], metavar="SERIES_ID", help="follow it for ever"
        )

        parser.add_argument("--once", action="store_true", help="end when everything has caught up")

    def handle(self, *_: Any, **options: Any) -> None:
        """Take the place of the supervisor, and supervise."""
        for name in options["series"]:
            try:
                SeriesId.parse(name)
            except BadSeriesIdError as error:
                raise CommandError(f"{name}: {error}") from None
        if not jobs_allowed("ingest"):
            raise CommandError("TRADE_CANVAS_INGEST_ROLE=read: this process may not follow feeds")
        call_command("migrate", verbosity=0, interactive=False)
        try:
            lock = SupervisorLock().take()
        except SupervisorBusyError as error:
            raise CommandError(
                f"another process follows the feeds of this database ({error})", returncode=BUSY
            ) from None
        try:
            refused = asyncio.run(supervise(tuple(options["series"]), once=options["once"]))
        finally:
            lock.release()
        if refused and options["once"]:
            raise CommandError(f"no exchange has {', '.join(sorted(refused))}; /ingest says why")
        self.stdout.write("stopped")


async def supervise(named: tuple[str, ...], *, once: bool) -> set[str]:
    """Supervise until SIGINT or SIGTERM; a second signal ends the process at once.

    Returns the series that no exchange has.
    """
    stop = stop_when_told()
    use_loop(asyncio.get_running_loop())
    besides = [asyncio.create_task(recovery_sweep())]
    if debug_relay.is_wanted():
        relay = debug_relay.Relay(get_channel_layer())
        besides.append(asyncio.create_task(relay.send_for_ever()))
    refused = await follow_feeds(stop, named, once=once)
    for task in besides:
        task.cancel()
    return refused
