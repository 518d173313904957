"""What the chart needs at once is named on its page: modules and first reads, and no others."""

import json
import re
from urllib.parse import quote

import pytest
from django.test import Client

from ledger.models import LedgerHead
from tradecanvas.modules import modules_of

KNOWN = "binance:futures:BTC/USDT:1m"
FIRST_READS = [
    "/api/market/candles?series_id=binance%3Afutures%3ABTC%2FUSDT%3A1m&limit=2000",
    "/api/frame/live?series_id=binance%3Afutures%3ABTC%2FUSDT%3A1m&window_candles=2000",
]


def test_all_that_a_module_imports_is_named_once() -> None:
    names = modules_of("tc/app/live.js")
    assert names[0] == "tc/app/live.js"
    assert len(set(names)) == len(names)
    assert {"tc/chart/chart.js", "tc/chart/structure-layer.js", "tc/app/overlay.js"} <= {*names}


def test_what_is_imported_later_is_left_out() -> None:
    assert not {"tc/app/card.js", "tc/app/keys.js", "tc/app/lamps.js"} & {
        *modules_of("tc/app/live.js")
    }


@pytest.mark.django_db
def test_page_asks_for_all_of_them_at_once(client: Client) -> None:
    page = client.get("/live").content.decode()
    for name in modules_of("tc/app/live.js"):
        assert f'rel="modulepreload" href="/static/{name}"' in page, name


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "reads"),
    [
        (f"?series_id={quote(KNOWN)}", FIRST_READS),
        (f"?series_id={quote(KNOWN)}&at=60", FIRST_READS),
        ("?series_id=binance:futures:ETH/USDT:1m", []),
        ("?series_id=</script><script>", []),
        ("", []),
    ],
)
def test_page_reads_a_known_series_before_its_modules_come(
    query: str, reads: list[str], client: Client
) -> None:
    LedgerHead.objects.create(series_id=KNOWN, candle_head=60)

    page = client.get(f"/live{query}").content.decode()

    found = re.search(r'<script id="reads"[^>]*>(.*?)</script>', page)
    assert found
    assert json.loads(found[1]) == reads
