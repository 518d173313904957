"""/: the series that are here, or how to get the first."""

import re
from typing import Any

import pytest
from django.test import Client

from ingest import pipeline
from ledger.models import LedgerHead
from market import selectors
from market.candles import Candles
from tests.ledger.reading import START, flat

pytestmark = pytest.mark.django_db(databases=["default", "reader"], transaction=True)

BTC, ETH = "test:spot:BTC/USDT:1m", "test:spot:ETH/USDT:5m"
ROW = re.compile(
    r'data-testid="series-row" data-series-id="([^"]+)" data-status="([a-z_]+)" data-lag="(\d*)"'
)


def shown(client: Client, **headers: str) -> str:
    answer = client.get("/", headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


def rising(count: int, step: int = 60) -> Candles:
    return flat(*range(1, count + 1), start=START // 300 * 300, step=step)


def test_every_series_with_candles_is_shown_with_its_line_and_chart(client: Client) -> None:
    pipeline.run_sync({BTC: rising(70), ETH: flat(2, 1, start=START // 300 * 300, step=300)})
    LedgerHead.objects.create(series_id="test:spot:EMPTY/USDT:1m")
    page = shown(client)
    first, second = re.findall(r'data-trend="(\w+)"><polyline points="([^"]*)"', page)

    assert ROW.findall(page) == [(BTC, "in_sync", "0"), (ETH, "in_sync", "0")]
    assert (first[0], len(first[1].split())) == ("up", 60)
    assert second == ("down", "2,2 118,26")
    assert 'href="/live?series_id=test%3Aspot%3ABTC%2FUSDT%3A1m"' in page
    assert '<td class="number">70</td>' in page


def test_a_series_of_one_candle_has_no_line_yet(client: Client) -> None:
    pipeline.run_sync({BTC: flat(0.00001234)})

    assert 'points=""' in shown(client)
    assert '<td class="number">0.00001234</td>' in shown(client)


def test_an_empty_database_says_how_to_fill_it(client: Client) -> None:
    page = shown(client)

    for command in ("./dev run", "load_bundled", "serve --demo", "backfill"):
        assert command in page
    assert "data-series-id" not in page


@pytest.mark.parametrize("count", [3, 30])
def test_any_number_of_series_costs_as_many_queries(
    count: int, client: Client, django_assert_num_queries: Any
) -> None:
    pipeline.run_sync({f"test:spot:M{n}/USDT:1m": flat(1, 2) for n in range(count)})

    with django_assert_num_queries(6, using="reader"), django_assert_num_queries(0):
        shown(client)


def test_the_newest_closes_of_many_series_are_in_the_order_of_time() -> None:
    pipeline.run_sync({BTC: rising(5), ETH: rising(2, step=300)})

    found = selectors.closes_newest([ETH, BTC, "test:spot:NO/USDT:1m"], 3)

    assert found == {ETH: [1, 2], BTC: [3, 4, 5], "test:spot:NO/USDT:1m": []}
    assert selectors.closes_newest([], 3) == {}


def test_the_page_is_chinese_for_a_chinese_browser(client: Client) -> None:
    pipeline.run_sync({BTC: rising(2)})

    page = shown(client, **{"accept-language": "zh-CN"})

    assert "同步" in page
    assert "最新K线" in page
