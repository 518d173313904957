"""The admin of candles: for looking."""

import pytest
from django.test import Client

from market.models import StoredCandle
from tests.market.factories import OTHER, SERIES, minute, stored

pytestmark = pytest.mark.django_db
URL = "/admin/market/storedcandle/"


def test_list_links_to_the_chart(admin_client: Client) -> None:
    stored([3])
    page = admin_client.get(URL).content.decode()
    link = "/live?series_id=binance%3Afutures%3AAAA%2FUSDT%3A1m&amp;at=" + str(minute(3))
    assert f'href="{link}"' in page


def test_search_finds_one_series_only(admin_client: Client) -> None:
    stored(range(3))
    stored(range(5), OTHER)
    found = admin_client.get(URL, {"q": SERIES}).context["cl"].result_list
    assert [row.candle_time for row in found] == [minute(2), minute(1), minute(0)]
    assert not admin_client.get(URL, {"q": SERIES[:-1]}).context["cl"].result_list


def test_list_counts_no_more_rows_than_it_can_show(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market.looking.MOST_ROWS", 3)
    stored(range(5))
    assert admin_client.get(URL).context["cl"].result_count == 3


def test_nothing_can_be_changed(admin_client: Client) -> None:
    stored([0])
    row = StoredCandle.objects.get()
    assert admin_client.get(f"{URL}add/").status_code == 403
    assert admin_client.get(f"{URL}{row.pk}/delete/").status_code == 403
    assert admin_client.post(f"{URL}{row.pk}/change/", {"close": "9"}).status_code == 403
    assert StoredCandle.objects.get().close == 1.0
