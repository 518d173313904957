"""The real surroundings of the feeds: sockets, HTTP, threads and the pipeline."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from django.conf import settings
from websockets.asyncio.client import connect

from ingest import pipeline
from ingest.ccxt_rest import CcxtRest, client_of
from ingest.circuits import Circuits
from ingest.filler import Filler
from ingest.following import Errors
from ingest.guardrail import IngestLoopGuardrailConfig
from ingest.history import History
from ingest.lease import leases_inherit, leases_require
from ingest.loop import Surroundings
from ingest.polling import PollingLoop
from ingest.rest import BinanceRest, rest_client
from ingest.station import Station
from ingest.supervisor import IngestSupervisor
from ingest.threads import Threads, Worker
from ingest.venues import has_streams
from ingest.wishes import series_pinned
from ledger.advance import IngestPipelineError
from market import clock
from market.candles import Candles
from market.groups import announce_forming

logger = logging.getLogger(__name__)

MOST_FRAME = 1 << 20
WORKERS = 4
# Feeds of one market fail together; chance keeps them from knocking together.
CIRCUITS = Circuits(IngestLoopGuardrailConfig(jitter_ratio=0.2))


def owner_name() -> str:
    """Return the name of this process: machine, process id and when it began."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{time.time_ns() // 1_000_000}"


def station(worker: Worker) -> Station:
    """Return what this process follows feeds with."""
    return Station(owner_name(), worker, CIRCUITS, clock.now)


def surroundings(market: str, *, station: Station) -> Surroundings:
    """Return what the loop of a market talks to."""
    bases = {
        "spot": settings.TRADE_CANVAS_BINANCE_SPOT_WS_BASE,
        "futures": settings.TRADE_CANVAS_BINANCE_FUTURES_WS_BASE,
    }
    return Surroundings(
        rest=BinanceRest(market, rest_client(market), station.worker, station.clock),
        station=station,
        connect=partial(
            connect,
            ping_interval=20,
            ping_timeout=20,
            close_timeout=2,
            open_timeout=10,
            max_queue=32,
            max_size=MOST_FRAME,
            proxy=None,
        ),
        commit=commit,
        show_forming=announce_forming,
        base=bases[market],
    )


@asynccontextmanager
async def history_of(exchange: str, market: str, worker: Worker) -> AsyncIterator[History]:
    """Give what answers for the past of a market, for the block."""
    if has_streams(exchange):
        async with rest_client(market) as client:
            yield BinanceRest(market, client, worker, clock.now)
        return
    rest = CcxtRest(exchange, market, client_of(exchange, market), worker, clock.now)
    try:
        yield rest
    finally:
        await rest.close()


def polling(exchange: str, market: str, *, station: Station) -> PollingLoop:
    """Return the loop of a market that is asked again and again."""
    client = client_of(exchange, market)
    rest = CcxtRest(exchange, market, client, station.worker, station.clock)
    return PollingLoop(exchange, market, rest=rest, station=station, commit=commit)


def store(series_id: str, candles: Candles) -> None:
    """Store closed candles of the past; they need no lease: the ledger's lock orders writers."""
    pipeline.run_sync({series_id: candles})


def commit(batches: Mapping[str, Candles], tokens: Mapping[str, int]) -> Errors:
    """Store closed candles under their lease tokens, and announce them; return what failed."""
    errors: dict[str, IngestPipelineError] = {}
    pipeline.run_each(batches, errors, fence=partial(leases_require, tokens))
    return errors


async def follow_feeds(
    stop: asyncio.Event, named: Iterable[str] = (), *, once: bool = False
) -> set[str]:
    """Follow what is wanted, and `named`, until told to stop; `once`: or until it caught up.

    Returns the series that no exchange has.
    """
    worker = Threads(WORKERS, "ingest")
    here = station(worker)
    logger.info("ingest.started %s", here.owner)
    supervisor = IngestSupervisor(
        station=here,
        surroundings=partial(surroundings, station=here),
        polling=partial(polling, station=here),
        named=named,
    )
    filler = Filler(here, partial(history_of, worker=worker), store)
    filling = asyncio.create_task(filler.run(stop))
    try:
        await worker.run(leases_inherit)
        pinned = await worker.run(series_pinned, tuple(named))
        await filler.sync_at_start(pinned, stop)
        await supervisor.run(stop, once=once)
        return supervisor.refused()
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
        worker.close()
