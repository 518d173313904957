"""Serve the pages, the API and the sockets in one process."""

import asyncio
import gc
import logging
import socket
import sys
import threading
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string

from factors.services import engine_warm
from ingest.demo_run import demo_run
from ingest.lease import SupervisorBusyError, SupervisorLock
from ingest.live import follow_feeds
from ingest.serving import Server, WritingProtocol
from ingest.stopping import stop_when_told
from ingest.sweep import recovery_sweep
from ingest.wishes import jobs_allowed, jobs_wanted
from market import hub

logger = logging.getLogger(__name__)

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
BACKLOG = 2048
MAX_FRAME = 64 * 1024
FEEDS_PATIENCE = 10.0
RESTART_SECONDS = 2.0
FASTEST_DEMO = 600
EXAMPLE = """
examples:
  manage.py serve --port 8000
  manage.py serve --demo                   recorded candles as a live feed, a minute a second

Bound to loopback (the default), programs on this machine may write candles without logging in.
"""


class LoopbackScope:
    """Marks every request as one to a server that only this machine can reach."""

    def __init__(self, application: Callable[..., Any]) -> None:
        self.application = application

    async def __call__(self, scope: MutableMapping[str, Any], *channels: Any) -> None:
        """Pass on to the application."""
        await self.application({**scope, "tradecanvas.loopback": True}, *channels)


class Command(BaseCommand):
    """Checks, migrates, catches up and serves until it is told to stop."""

    help = "Check, migrate and serve pages, API and sockets in one process."
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLE
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
        parser.add_argument(
            "--demo", action="store_true", help="play recorded candles instead of live feeds"
        )
        parser.add_argument(
            "--demo-speed", type=float, default=60.0, help="1 is as it was; default: 60"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Prepare the database, then serve."""
        if options["demo"]:
            self._demo(options)
            return
        call_command("migrate", verbosity=0, interactive=False)
        if not settings.CHART_LIBRARY_DIR.is_dir():
            self.stderr.write(
                "The chart library is missing, so /live stays empty: run ./dev run, or npm ci."
            )
        listener = self._listen(options["host"], options["port"])
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self.stdout.write(f"serving on http://{shown}:{port}")
        self.stdout.flush()
        is_loopback = options["host"] in LOOPBACK
        lock = self._supervisor_lock()
        asyncio.run(serve(listener, is_loopback=is_loopback, follows=lock is not None))
        if lock is not None:
            lock.release()
        self.stdout.write("stopped")

    def _demo(self, options: dict[str, Any]) -> None:
        """Serve recorded candles from a database that ends with the demo."""
        if not 0 < options["demo_speed"] <= FASTEST_DEMO:
            raise CommandError(f"--demo-speed must lie between 0 and {FASTEST_DEMO}")

        def say(text: str) -> None:
            self.stdout.write(text)
            self.stdout.flush()

        arguments = ["--host", options["host"], "--port", str(options["port"])]
        if status := demo_run(arguments, options["demo_speed"], say):
            sys.exit(status)

    def _supervisor_lock(self) -> SupervisorLock | None:
        """Take the place of the supervisor, where feeds are wanted and nobody else has it."""
        if not (jobs_wanted() and jobs_allowed("hybrid")):
            return None
        try:
            return SupervisorLock().take()
        except SupervisorBusyError:
            self.stdout.write("another process follows the feeds; serving without them")
            return None

    def _listen(self, host: str, port: int) -> socket.socket:
        """Return a bound socket, or say why the address cannot be used."""
        try:
            family, kind, proto, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )[0]
            listener = socket.socket(family, kind, proto)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)  # from here on nobody is refused, only kept waiting
        except (OSError, OverflowError) as error:
            raise CommandError(f"cannot listen on {host}:{port}: {error}") from error
        return listener


async def serve(listener: socket.socket, *, is_loopback: bool, follows: bool = False) -> None:
    """Serve until SIGINT or SIGTERM; a second signal ends the process at once."""
    application = import_string(settings.ASGI_APPLICATION)
    config = uvicorn.Config(
        LoopbackScope(application) if is_loopback else application,
        ws=WritingProtocol,
        ws_per_message_deflate=False,
        ws_max_size=MAX_FRAME,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    server = Server(config)
    stop = stop_when_told()
    hub.current()
    threading.Thread(target=_warm, name="warming", daemon=True).start()
    sweep = asyncio.create_task(recovery_sweep())
    following = asyncio.create_task(follow(stop)) if follows else None
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.wait(
        [serving, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED
    )
    sweep.cancel()
    stop.set()
    await hub.close()
    if following is not None:
        await asyncio.wait([following], timeout=FEEDS_PATIENCE)
    server.should_exit = True
    await serving


async def follow(stop: asyncio.Event) -> None:
    """Follow feeds until told to stop; what ends them before is logged, and they begin again."""
    while not stop.is_set():
        try:
            await follow_feeds(stop)
        except Exception:
            logger.exception("ingest.feeds_ended")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RESTART_SECONDS)


def _warm() -> None:
    """Make the rules fast; until then, and where that fails, they run all the same.

    The compiler leaves two million objects behind, which last: without `freeze`, every full
    collection would look at each of them and stop the server for a tenth of a second.
    """
    try:
        engine_warm()
    except Exception:
        logger.exception("engine.not_warmed")
    gc.collect()
    gc.freeze()
