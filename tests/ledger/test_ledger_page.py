"""/ledger: how far every ledger has come, for everybody to read, and for some to mend."""

import re
import time
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from factors.engine.plugins.pivot import Pivot
from ingest import pipeline
from ledger.models import LedgerHead
from tests.ledger.reading import SERIES, START, flat

pytestmark = pytest.mark.django_db(databases=["default", "reader"], transaction=True)

BEHIND = "test:spot:BEHIND/USDT:1m"
BROKEN = "test:spot:BROKEN/USDT:1m"
BARE = "test:spot:BARE/USDT:1m"
ROW = re.compile(
    r'data-testid="ledger-row" data-series-id="([^"]+)" data-status="([a-z_]+)" data-lag="(\d*)"'
)
HEAD = START + 180


@pytest.fixture(autouse=True)
def ledgers() -> None:
    """Have four series: in sync, two candles behind, with an error, and with candles alone."""
    for name in (SERIES, BEHIND, BROKEN):
        pipeline.run_sync({name: flat(1, 2, 3, 4)})
    with override_settings(TRADE_CANVAS_ENABLE_FACTOR_INGEST=False):
        pipeline.run_sync({BARE: flat(1, 2, start=START, step=180)})
    LedgerHead.objects.filter(series_id=BEHIND).update(factor_head=HEAD - 120)
    LedgerHead.objects.filter(series_id=BROKEN).update(
        last_error="ValueError: <odd>", last_error_step="factor.ingest_closed"
    )


def shown(client: Client, status: int = 200, **query: str) -> str:
    answer = client.get("/ledger", query)
    assert answer.status_code == status
    return answer.content.decode()


def ask(client: Client, action: str, name: str = BEHIND, **options: Any) -> Any:
    return client.post("/ledger/mend", {"series_id": name, "action": action}, **options)


def test_the_worst_come_first_each_with_status_and_lag(client: Client) -> None:
    page = shown(client)

    assert ROW.findall(page) == [
        (BROKEN, "error", "0"),
        (BARE, "not_built", ""),
        (BEHIND, "behind", "2"),
        (SERIES, "in_sync", "0"),
    ]
    assert '<td class="number">120</td>' in page
    assert f'title="{HEAD}">2023-11-14 22:16</time>' in page


def test_candles_without_a_head_row_are_a_series_too(client: Client) -> None:
    LedgerHead.objects.filter(series_id=SERIES).delete()

    assert (SERIES, "not_built", "") in ROW.findall(shown(client))
    assert "/change/" not in shown(client, series_id=SERIES)


def test_candles_alone_are_in_sync_where_factors_are_off(client: Client, settings: Any) -> None:
    settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST = False

    assert (BARE, "in_sync", "0") in ROW.findall(shown(client))


def test_a_ledger_made_by_other_rules_is_behind(client: Client) -> None:
    LedgerHead.objects.filter(series_id=SERIES).update(rules_fingerprint="other")

    assert ROW.findall(shown(client, series_id=SERIES)) == [(SERIES, "behind", "")]
    assert "not the rules of now" in shown(client, series_id=SERIES)


def test_the_list_is_filtered_by_text_and_by_lag(client: Client) -> None:
    assert [name for name, *_ in ROW.findall(shown(client, q="behind"))] == [BEHIND]
    assert SERIES not in shown(client, lagging="1")
    assert 'value="&lt;b&gt;"' in shown(client, q="<b>")
    assert "Nothing to show." in shown(client, q="<b>")


def test_a_row_opens_to_all_that_is_known_of_the_ledger(client: Client) -> None:
    page = shown(client, series_id=BARE)
    head = LedgerHead.objects.get(series_id=BROKEN)
    broken = shown(client, series_id=BROKEN)

    assert "Newest gaps" in page
    assert '<td class="number">2</td></tr></tbody>' in page
    assert "factor.ingest_closed: ValueError: &lt;odd&gt;" in broken
    assert head.digest in broken
    assert head.rules_fingerprint in broken
    assert "/live?series_id=test%3Aspot%3ABROKEN%2FUSDT%3A1m" in broken
    assert f"/admin/ledger/ledgerhead/{head.pk}/change/" in broken


def test_a_series_that_is_not_here_is_named_as_text(client: Client) -> None:
    page = shown(client, status=404, series_id="<script>")

    assert "“&lt;script&gt;” is not a series that this server knows." in page


def test_who_may_not_write_is_told_so(client: Client) -> None:
    page = shown(client, series_id=BEHIND)
    refused = ask(client, "sync")

    assert "Staff only." in page
    assert "/ledger/mend" not in page
    assert refused.status_code == 403
    assert "Staff only." in refused.content.decode()
    assert LedgerHead.objects.get(series_id=BEHIND).factor_head == HEAD - 120


def test_staff_brings_a_ledger_up_to_date_and_repairs_it(client: Client) -> None:
    client.force_login(User.objects.create(username="researcher", is_staff=True))

    assert "/ledger/mend" in shown(client, series_id=BARE)
    page = ask(client, "sync", BARE, follow=True).content.decode()
    assert "The ledger is up to date." in page
    assert ROW.findall(page) == [(BARE, "in_sync", "0")]
    page = ask(client, "repair", BARE, follow=True).content.decode()
    assert "The ledger was drawn again from its events." in page


def test_this_machine_may_mend_where_serve_says_so(client: Client) -> None:
    """The right is that of the API's writes (`market/access.py`)."""
    with patch("ledger.pages.may_write", return_value=True):
        assert (
            "The ledger is up to date." in ask(client, "sync", BARE, follow=True).content.decode()
        )


def test_a_mend_that_fails_says_why(admin_client: Client) -> None:
    with patch.object(Pivot, "step", side_effect=ValueError("<broken>")):
        page = ask(admin_client, "sync", BARE, follow=True).content.decode()

    assert 'data-level="error"' in page
    assert "&lt;broken&gt;" in page
    assert ROW.findall(page) == [(BARE, "error", "")]


def test_a_mend_needs_its_token_a_post_and_a_series_that_is_here(admin_client: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = admin_client.cookies

    assert ask(strict, "sync").status_code == 403
    assert admin_client.get("/ledger/mend").status_code == 405
    assert ask(admin_client, "sync", "test:spot:NEW/USDT:1m").status_code == 404
    assert ask(admin_client, "explode").status_code == 200
    assert not LedgerHead.objects.filter(series_id="test:spot:NEW/USDT:1m").exists()


def many(count: int) -> None:
    LedgerHead.objects.bulk_create(
        LedgerHead(series_id=f"test:spot:M{n}/USDT:1m", candle_head=60, factor_head=60)
        for n in range(count)
    )


@pytest.mark.parametrize("count", [3, 30])
def test_any_number_of_series_costs_as_many_queries(
    count: int, client: Client, django_assert_num_queries: Any
) -> None:
    many(count)

    with django_assert_num_queries(5, using="reader"), django_assert_num_queries(0):
        shown(client)


@pytest.mark.long
def test_500_series_are_answered_within_300_ms(client: Client) -> None:
    many(500)
    shown(client)

    taken = []
    for _ in range(5):
        began = time.perf_counter()
        shown(client)
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.3


def test_the_page_is_chinese_for_a_chinese_browser() -> None:
    page = Client(headers={"accept-language": "zh-CN"}).get("/ledger").content.decode()

    assert "账本" in page
    assert "头部" in page
