"""Frames that no client should take: each is made of a good one."""

import copy
from collections.abc import Callable

from tests.exchange.frames import Event, compact

Made = Callable[[Event], str | bytes]
HUGE = 5 * 1024 * 1024


def changed(**facts: object) -> Made:
    """Return a maker that changes the candle of an event."""

    def made(event: Event) -> str:
        event["k"].update(facts)
        return compact(event)

    return made


def without_candle(event: Event) -> str:
    """Return the event without its candle."""
    del event["k"]
    return compact(event)


def low_above_high(event: Event) -> str:
    """Return the event with high and low exchanged; a flat bar gets a higher low."""
    candle = event["k"]
    candle["h"], candle["l"] = candle["l"], str(float(candle["h"]) + 1)
    return compact(event)


def wrong_symbol(event: Event) -> str:
    """Return the event of a symbol that nobody asked for."""
    event["s"] = event["k"]["s"] = "WRONGUSDT"
    return compact(event)


def wrong_kind(event: Event) -> str:
    """Return the event under another name."""
    event["e"] = "continuous_kline"
    return compact(event)


def time_as_text(event: Event) -> str:
    """Return the event with its open time as text."""
    event["k"]["t"] = str(event["k"]["t"])
    return compact(event)


def off_the_grid(event: Event) -> str:
    """Return the event with an open time between two bars."""
    event["k"]["t"] += 1000
    return compact(event)


def far_ahead(event: Event) -> str:
    """Return the event a day ahead of the clock."""
    event["k"]["t"] += 86_400_000
    event["k"]["T"] += 86_400_000
    return compact(event)


KINDS: dict[str, Made] = {
    "not_json": lambda _: "<html>502 Bad Gateway</html>",
    "binary": lambda event: compact(event).encode(),
    "truncated": lambda event: compact(event)[:-40],
    "huge": lambda event: compact({**event, "padding": "x" * HUGE}),
    "empty": lambda _: "",
    "not_an_object": lambda _: "[1,2,3]",
    "nan": changed(c="NaN"),
    "infinite": changed(h="Infinity"),
    "not_a_number": changed(o="a lot"),
    "negative_volume": changed(v="-1"),
    "low_above_high": low_above_high,
    "no_candle": without_candle,
    "candle_as_text": lambda event: compact({**event, "k": "candle"}),
    "time_as_text": time_as_text,
    "off_the_grid": off_the_grid,
    "far_ahead": far_ahead,
    "wrong_symbol": wrong_symbol,
    "wrong_interval": changed(i="7m"),
    "wrong_kind": wrong_kind,
}


def poisoned(kind: str, event: Event) -> str | bytes:
    """Return a bad frame of this kind, made of a good event."""
    return KINDS[kind](copy.deepcopy(event))
