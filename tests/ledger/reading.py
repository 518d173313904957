"""What the tests of reads share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from django.test import Client, override_settings

from ledger.answers import Answer
from market.candles import Candles

SERIES = "test:spot:READ/USDT:1m"
START = 1_700_000_000


@contextmanager
def use_golden_windows(case: dict[str, Any]) -> Iterator[None]:
    """Use the pivot windows of a golden case."""
    with override_settings(
        TRADE_CANVAS_PIVOT_WINDOW_MAJOR=case["params"]["pivot_window_major"],
        TRADE_CANVAS_PIVOT_WINDOW_MINOR=case["params"]["pivot_window_minor"],
    ):
        yield


def flat(*prices: float, start: int = START, step: int = 60) -> Candles:
    """Return candles whose four prices are the same."""
    rows = [(start + step * n, p, p, p, p, 10.0) for n, p in enumerate(map(float, prices))]
    return Candles.from_rows(rows)


def get(client: Client, path: str, **query: object) -> Any:
    """Return the answer to a read."""
    return client.get(f"/api/{path}", {key: str(value) for key, value in query.items()})


def on_the_wire(value: Any) -> Any:
    """Return an answer as a client reads it."""
    return orjson.loads(value.body if isinstance(value, Answer) else orjson.dumps(value))
