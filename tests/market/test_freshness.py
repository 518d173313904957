"""How fresh the newest candle of a series is."""

import pytest

from market.freshness import Freshness, freshness


@pytest.mark.parametrize(
    ("timeframe", "head", "lag", "state"),
    [
        ("1m", None, None, "missing"),
        ("odd", None, None, "missing"),
        ("1m", 1000, 0, "fresh"),
        ("1m", 1060, 0, "fresh"),
        ("1m", 880, 120, "fresh"),
        ("1m", 879, 121, "stale"),
        ("1m", 700, 300, "stale"),
        ("1m", 699, 301, "degraded"),
        ("5m", 699, 301, "fresh"),
        ("7w", 1000, 0, "degraded"),
    ],
)
def test_two_candles_are_fresh_and_five_are_stale(
    timeframe: str, head: int | None, lag: int | None, state: str
) -> None:
    found = freshness(timeframe, head, 1000, fresh_candles=2, stale_candles=5)

    assert found == Freshness(head, 1000, lag, state)  # type: ignore[arg-type]  # the table's text
