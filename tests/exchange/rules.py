"""What the exchange demands of its clients, and how it sees to that."""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.exchange.connection import Connection

if TYPE_CHECKING:
    from tests.exchange.server import Exchange

ANSWER_SECONDS = 1.0  # real ones, for a pong that is on its way


@dataclass(frozen=True, slots=True)
class Rules:
    """What one market demands of its clients; seconds of the exchange's clock."""

    ping_every: float
    pong_within: float
    messages_per_second: int
    streams: int
    lifetime: float = 86_400.0
    attempts_per_5m: int = 300


RULES = {
    "futures": Rules(ping_every=180, pong_within=600, messages_per_second=10, streams=1024),
    "spot": Rules(ping_every=20, pong_within=60, messages_per_second=5, streams=1024),
}


def ping_later(exchange: "Exchange", connection: Connection, now: float) -> None:
    """Ping a connection from now on, and close it where no pong comes in time."""
    rules = exchange.rules[connection.venue]

    def ping(due: float) -> None:
        if not connection.open:
            return
        sent = time.monotonic()
        connection.ping(due)
        exchange.schedule.at(due + rules.pong_within, lambda then: check(then, sent))
        exchange.schedule.at(due + rules.ping_every, ping)

    def check(due: float, sent: float) -> None:
        if connection.open and connection.last_pong < sent:
            exchange.spawn(last_chance(exchange, connection, due, sent))

    exchange.schedule.at(now + rules.ping_every, ping)


async def last_chance(
    exchange: "Exchange", connection: Connection, now: float, sent: float
) -> None:
    """Close a connection without a pong; in real time it may be on its way."""
    await asyncio.sleep(ANSWER_SECONDS)
    if connection.open and connection.last_pong < sent:
        facts = {"number": connection.number, "rule": "pong"}
        exchange.log.add("breach", now, connection.venue, **facts)
        connection.close(now, 1008, "Pong timeout")


def count_messages(exchange: "Exchange", connection: Connection, now: float) -> None:
    """Disconnect a client that says too much in a second; not by a clock that stands still."""
    connection.said = [t for t in connection.said if t > now - 1] + [now]
    most = exchange.rules[connection.venue].messages_per_second
    if len(connection.said) > most and connection.open and not exchange.clock.by_hand:
        facts = {"number": connection.number, "rule": "messages"}
        exchange.log.add("breach", now, connection.venue, **facts)
        connection.close(now, 1008, "Too many requests")


def count_attempts(exchange: "Exchange", venue: str) -> None:
    """Note where a client knocks more often than it may."""
    now = exchange.clock.now()
    recent = [e for e in exchange.log.of("attempt", venue) if e.time > now - 300]
    if len(recent) > exchange.rules[venue].attempts_per_5m:
        exchange.log.add("breach", now, venue, rule="attempts", count=len(recent))
