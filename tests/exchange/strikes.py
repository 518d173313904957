"""Faults that happen by themselves: what each does to the exchange."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.exchange.connection import Connection
from tests.exchange.faults import (
    Burst,
    ClockOff,
    CloseAll,
    DropAll,
    Quiet,
    Shutdown,
    Strike,
    Unreachable,
)
from tests.exchange.frames import compact
from tests.exchange.market import Step, bucket

if TYPE_CHECKING:
    from tests.exchange.server import Exchange


def strike(exchange: "Exchange", fault: Strike, now: float) -> None:
    """Let a fault happen now."""
    exchange.log.strikes(fault, now, fault.venue)
    STRIKES[type(fault)](exchange, fault, now)


def _of(exchange: "Exchange", fault: Strike) -> list[Connection]:
    """Return the open connections that a fault strikes."""
    known = exchange.connections.values()
    return [c for c in known if c.path and fault.venue in {"", c.venue}]


def _close_all(exchange: "Exchange", fault: CloseAll, now: float) -> None:
    for connection in _of(exchange, fault):
        connection.close(now, fault.code, fault.reason)


def _drop_all(exchange: "Exchange", fault: DropAll, now: float) -> None:
    for connection in _of(exchange, fault):
        connection.drop()


def _shutdown(exchange: "Exchange", fault: Shutdown, now: float) -> None:
    said = {"e": "serverShutdown", "E": int(now * 1000)}
    hearing = _of(exchange, fault)
    for connection in hearing:
        if connection.venue == "spot":
            connection.send(compact(said), now)

    def close(due: float) -> None:
        for connection in hearing:
            connection.close(due, fault.code, "shutdown")

    exchange.schedule.at(now + fault.grace, close)


def _burst(exchange: "Exchange", fault: Burst, now: float) -> None:
    for listing in exchange.market.chosen(fault.venue, fault.symbol):
        end = bucket(now, listing.interval)
        for time in range(end - fault.bars * listing.seconds, end, listing.seconds):
            step = Step(now, 0, 1.0, final=True)
            for interval, event in exchange.player.events(listing, time, step):
                if event["k"]["x"]:
                    exchange.tell(listing, interval, event)


def _quiet(exchange: "Exchange", fault: Quiet, now: float) -> None:
    for listing in exchange.market.chosen(fault.venue, fault.symbol):
        listing.quiet(now, now + (fault.seconds or float("inf")))


def _clock_off(exchange: "Exchange", fault: ClockOff, now: float) -> None:
    exchange.clock.offset = fault.offset


def _unreachable(exchange: "Exchange", fault: Unreachable, now: float) -> None:
    exchange.close_door(fault.door)
    if fault.seconds is not None:
        again = now + fault.seconds
        exchange.schedule.at(again, lambda _: exchange.spawn(exchange.open_door(fault.door)))


STRIKES: dict[type[Strike], Callable[["Exchange", Any, float], None]] = {
    CloseAll: _close_all,
    DropAll: _drop_all,
    Shutdown: _shutdown,
    Burst: _burst,
    Quiet: _quiet,
    ClockOff: _clock_off,
    Unreachable: _unreachable,
}
