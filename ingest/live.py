"""The real surroundings of a market's loop: sockets, HTTP, threads and the pipeline."""

import os
import socket
import time
from collections.abc import Mapping
from functools import partial

from django.conf import settings
from websockets.asyncio.client import connect

from ingest import pipeline
from ingest.circuits import Circuits
from ingest.guardrail import IngestLoopGuardrailConfig
from ingest.lease import leases_require
from ingest.loop import Surroundings
from ingest.rest import BinanceRest, rest_client
from ingest.station import Station
from ingest.threads import Worker
from market.candles import Candles
from market.groups import announce_forming

MOST_FRAME = 1 << 20
# Feeds of one market fail together; chance keeps them from knocking together.
CIRCUITS = Circuits(IngestLoopGuardrailConfig(jitter_ratio=0.2))


def owner_name() -> str:
    """Return the name of this process: machine, process id and when it began."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{time.time_ns() // 1_000_000}"


def station(worker: Worker) -> Station:
    """Return what this process follows feeds with."""
    return Station(owner_name(), worker, CIRCUITS, time.time)


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


def commit(batches: Mapping[str, Candles], tokens: Mapping[str, int]) -> None:
    """Store closed candles under their lease tokens, and announce them."""
    pipeline.run_sync(batches, fence=partial(leases_require, tokens))
