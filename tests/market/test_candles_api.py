"""GET /api/market/candles and /api/market/whitelist."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, RequestFactory
from pytest_django import Settings

from market.api import CandlesView
from market.models import StoredCandle
from tests.market.factories import SERIES, minute, stored

pytestmark = pytest.mark.django_db

URL = "/api/market/candles"


def get(client: Client, **query: str | int) -> dict[str, Any]:
    response = client.get(URL, {"series_id": SERIES, **query})
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def times(body: dict[str, Any]) -> list[int]:
    return [candle["candle_time"] for candle in body["candles"]]


def at(now: float, **query: str | int) -> dict[str, Any]:
    """Return the answer as it would be at another time."""
    request = RequestFactory().get(URL, {"series_id": SERIES, **query})
    response = CandlesView.as_view(clock=lambda: now)(request)
    body: dict[str, Any] = response.data
    return body


def test_answer_is_the_documented_text(client: Client) -> None:
    stored([1], price=2.0)
    response = client.get(URL, {"series_id": SERIES})
    assert response.headers["Content-Type"] == "application/json"
    assert response.content.decode() == (
        '{"series_id":"binance:futures:AAA/USDT:1m","server_head_time":1700000060,"candles":['
        '{"candle_time":1700000060,"open":2.0,"high":2.0,"low":2.0,"close":2.0,"volume":10.0}]}'
    )


def test_newest_come_without_since(client: Client) -> None:
    stored(range(5))
    assert times(get(client, limit=2)) == [minute(3), minute(4)]


def test_first_come_after_since(client: Client) -> None:
    stored(range(5))
    assert times(get(client, since=minute(1), limit=2)) == [minute(2), minute(3)]


def test_limit_is_500_unless_told(client: Client) -> None:
    stored(range(501))
    assert len(get(client)["candles"]) == 500


def test_unknown_series_is_empty(client: Client) -> None:
    assert get(client) == {"series_id": SERIES, "server_head_time": None, "candles": []}


@pytest.mark.parametrize("bad", ["x", "a:b:c:1w", "a:b:c\x00:1m", "a:b:\n:1m", "a" * 5000])
def test_bad_series_id_is_empty_too(client: Client, bad: str) -> None:
    assert get(client, series_id=bad) == {"series_id": bad, "server_head_time": None, "candles": []}


def test_candle_that_is_not_over_is_left_out_but_is_the_head() -> None:
    stored(range(3))
    body = at(minute(2) + 30)
    assert times(body) == [minute(0)]
    assert body["server_head_time"] == minute(2)


def test_candles_far_ahead_of_the_clock_pass() -> None:
    stored(range(9))
    assert len(at(minute(3))["candles"]) == 9


def test_since_is_lowered_to_the_last_closed_candle() -> None:
    stored(range(9))
    now = minute(3) + 40  # the last closed candle began 20 s before minute 3
    assert times(at(now, since=minute(3)))[0] == minute(3)
    assert times(at(now, since=minute(5)))[0] == minute(6)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "series_id"),
        ({"series_id": ""}, "series_id"),
        ({"series_id": SERIES, "limit": "0"}, "limit"),
        ({"series_id": SERIES, "limit": "5001"}, "limit"),
        ({"series_id": SERIES, "limit": ""}, "limit"),
        ({"series_id": SERIES, "limit": "many"}, "limit"),
        ({"series_id": SERIES, "limit": "1.5"}, "limit"),
        ({"series_id": SERIES, "since": "-1"}, "since"),
        ({"series_id": SERIES, "since": "nan"}, "since"),
        ({"series_id": SERIES, "since": "inf"}, "since"),
        ({"series_id": SERIES, "since": "1e3"}, "since"),
        ({"series_id": SERIES, "since": str(2**63)}, "since"),
        ({"series_id": SERIES, "since": "9" * 5000}, "since"),
        ({"series_id": SERIES, "since": "\x00"}, "since"),
        ({"series_id": SERIES, "since": "\U0001f600"}, "since"),
    ],
)
def test_bad_query_is_422_and_says_where(client: Client, query: dict[str, str], field: str) -> None:
    response = client.get(URL, query)
    assert response.status_code == 422
    (problem,) = response.json()["detail"]
    assert problem["loc"] == ["query", field]
    assert {"type", "msg", "input"} <= problem.keys()


def test_of_a_name_given_twice_the_last_counts(client: Client) -> None:
    stored(range(5))
    response = client.get(f"{URL}?series_id=x&series_id={SERIES}&limit=x&limit=2")
    assert times(response.json()) == [minute(3), minute(4)]


def test_unknown_names_and_bytes_that_are_no_text_are_ignored(client: Client) -> None:
    stored([0])
    assert times(client.get(f"{URL}?series_id={SERIES}&x=%ff&%ff=1").json()) == [minute(0)]
    assert client.get(f"{URL}?series_id=%ff:%ed%a0%80:c:1m").json()["candles"] == []


def test_accept_header_changes_nothing(client: Client) -> None:
    response = client.get(URL, {"series_id": SERIES}, headers={"Accept": "text/html"})
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")


def test_other_methods_are_405(client: Client) -> None:
    response = client.post(URL, {}, content_type="application/json")
    assert (response.status_code, response.json()) == (405, {"detail": "Method Not Allowed"})


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", f"{URL}/", "/api/health"])
def test_unknown_path_is_json(client: Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})


def test_too_many_names_are_400(client: Client) -> None:
    response = client.get(URL + "?" + "&".join(f"a{n}=1" for n in range(2000)))
    assert (response.status_code, response.json()) == (400, {"detail": "bad_request"})


def test_foreign_host_name_is_400(client: Client) -> None:
    response = client.get(URL, {"series_id": SERIES}, headers={"Host": "evil.example"})
    assert (response.status_code, response.json()) == (400, {"detail": "bad_request"})


def test_reading_changes_no_row(client: Client) -> None:
    stored(range(3))
    before = list(StoredCandle.objects.order_by("pk").values_list())
    first, second = (client.get(f"{URL}?series_id={SERIES}&limit=2").content for _ in range(2))
    assert first == second
    assert list(StoredCandle.objects.order_by("pk").values_list()) == before


def test_numbers_keep_their_decimal_point(client: Client) -> None:
    stored([0], price=44)
    assert re.search(rb'"close":44\.0,', client.get(URL, {"series_id": SERIES}).content)


def whitelist(client: Client, settings: Settings, path: Path, text: str | None) -> Any:
    settings.TRADE_CANVAS_WHITELIST_PATH = path / "whitelist.json"
    if text is not None:
        settings.TRADE_CANVAS_WHITELIST_PATH.write_text(text)
    return client.get("/api/market/whitelist").json()


def test_whitelist_keeps_order_and_drops_blanks_and_doubles(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    text = '{"series_ids":[" b:b:b:1m ","a:a:a:1m","","b:b:b:1m"]}'
    assert whitelist(client, settings, tmp_path, text) == {"series_ids": ["b:b:b:1m", "a:a:a:1m"]}


def test_whitelist_without_a_file_is_empty(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    assert whitelist(client, settings, tmp_path, None) == {"series_ids": []}


def test_whitelist_that_became_unreadable_is_what_it_was(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    whitelist(client, settings, tmp_path, '{"series_ids":["b:b:b:1m"]}')

    assert whitelist(client, settings, tmp_path, "{") == {"series_ids": ["b:b:b:1m"]}
    assert whitelist(client, settings, tmp_path, '{"series_ids":3}') == {"series_ids": ["b:b:b:1m"]}
