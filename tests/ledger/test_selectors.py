"""What the ledger tells of any number of series."""

import pytest

from ingest import pipeline
from ledger.selectors import announced_heads
from market.subscriptions import AnnouncedHead
from tests.ledger.reading import SERIES, START, flat

pytestmark = pytest.mark.django_db


def test_heads_are_found_of_more_series_than_a_query_takes() -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})
    others = [f"test:spot:{number}/USDT:1m" for number in range(250_000)]

    assert announced_heads([*others, SERIES]) == {SERIES: AnnouncedHead(START + 60, 0)}
