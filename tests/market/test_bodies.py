"""JSON bodies: what is taken, what is refused, and that a refusal can always be sent."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.market.factories import SERIES, START

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.market.probes")]

# What the client of tests returns has no public name.
Response = Any
CANDLE = {"candle_time": START, "open": 1, "high": 2.5, "low": 0.5, "close": 2, "volume": 10}


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("staff", is_staff=True))
    return client


def post(client: Client, body: bytes | object, path: str = "/api/write") -> Response:
    text = body if isinstance(body, bytes) else json.dumps(body)
    return client.generic("POST", path, text, content_type="application/json")


def candle(**changes: object) -> dict[str, Any]:
    return {"series_id": SERIES, "candle": CANDLE | changes}


def problems(response: Response) -> list[tuple[Any, ...]]:
    assert response.status_code == 422
    return [tuple(problem["loc"]) for problem in json.loads(response.content)["detail"]]


def test_integers_become_prices_with_a_decimal_point(staff: Client) -> None:
    assert post(staff, candle()).content == (
        b'{"candle_time":1700000000,"open":1.0,"high":2.5,"low":0.5,"close":2.0,"volume":10.0}'
    )


def test_numeric_strings_are_numbers(staff: Client) -> None:
    response = post(staff, candle(candle_time="1700000240", open="1.5"))
    assert json.loads(response.content)["candle_time"] == 1700000240
    assert json.loads(response.content)["open"] == 1.5


def test_unknown_keys_are_ignored(staff: Client) -> None:
    assert post(staff, candle(colour="red") | {"x": 1}).status_code == 200


def test_order_of_prices_is_not_checked(staff: Client) -> None:
    assert post(staff, candle(high=1, low=9, volume=-1)).status_code == 200


@pytest.mark.parametrize("field", [*CANDLE])
def test_each_field_of_a_candle_is_required(staff: Client, field: str) -> None:
    body = candle()
    del body["candle"][field]
    assert problems(post(staff, body)) == [("body", "candle", field)]


@pytest.mark.parametrize(
    "time", [0, -60, 1.5, "1.5", "x", "", None, [], {}, 1e30, 2**53, 2**63, 10**30, "9" * 5000]
)
def test_odd_time_is_422(staff: Client, time: object) -> None:
    assert problems(post(staff, candle(candle_time=time))) == [("body", "candle", "candle_time")]


@pytest.mark.parametrize("price", ["x", "", None, [], {}, "NaN", "Infinity", "-inf", "1e999"])
def test_odd_price_is_422(staff: Client, price: object) -> None:
    assert problems(post(staff, candle(close=price))) == [("body", "candle", "close")]


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"x",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"a":"\\ud800"}',
        b"[" * 5000,
    ],
)
def test_body_that_is_no_json_is_422(staff: Client, text: bytes) -> None:
    assert problems(post(staff, text)) == [("body",)]


@pytest.mark.parametrize("text", [b"[]", b"null", b"1", b'"x"', b"[" * 500 + b"]" * 500])
def test_body_that_is_no_object_is_422(staff: Client, text: bytes) -> None:
    assert problems(post(staff, text)) == [("body",)]


@pytest.mark.parametrize("series_id", [None, 1, "", [], {}])
def test_series_id_that_is_no_text_is_422(staff: Client, series_id: object) -> None:
    assert problems(post(staff, candle() | {"series_id": series_id})) == [("body", "series_id")]


@pytest.mark.parametrize(
    "series_id", ["x", "a:b:c:1w", "a:b:\x00:1m", "a:b: :1m", "a:b:c:" + "1" * 99]
)
def test_bad_series_id_is_400_with_the_reason(staff: Client, series_id: str) -> None:
    response = post(staff, candle() | {"series_id": series_id})
    assert response.status_code == 400
    assert json.loads(response.content)["detail"].startswith(("series_id must", "unsupported"))


def test_number_that_no_double_holds_is_422(staff: Client) -> None:
    assert problems(post(staff, candle(close=10**400))) == [("body",)]


def test_empty_body_is_422(staff: Client) -> None:
    response = staff.generic("POST", "/api/write", b"", CONTENT_TYPE="application/json")
    assert problems(response) == [("body",)]


def test_long_input_is_not_echoed(staff: Client) -> None:
    response = post(staff, candle(candle_time="9" * 5000))
    assert json.loads(response.content)["detail"][0]["input"] == "str"


def test_bound_is_told(staff: Client) -> None:
    (problem,) = json.loads(post(staff, candle(candle_time=0)).content)["detail"]
    assert (problem["input"], problem["ctx"]) == (0, {"gt": 0})


def test_body_of_64_kib_is_taken_and_one_more_byte_is_not(staff: Client) -> None:
    text = json.dumps(candle()).encode()
    assert post(staff, text + b" " * (65536 - len(text))).status_code == 200
    response = post(staff, text + b" " * (65537 - len(text)))
    assert (response.status_code, response.content) == (413, b'{"detail":"body_too_large"}')


def test_route_may_take_larger_bodies(staff: Client) -> None:
    text = json.dumps(candle()).encode()
    assert post(staff, text.ljust(100_000), "/api/large").status_code == 200
    assert post(staff, text.ljust(100_001), "/api/large").status_code == 413


def test_closed_gate_is_not_found(staff: Client) -> None:
    response = staff.get("/api/gate")
    assert (response.status_code, response.content) == (404, b'{"detail":"not_found"}')


def test_unforeseen_error_is_500_without_its_text() -> None:
    response = Client(raise_request_exception=False).get("/api/broken")
    assert (response.status_code, response.json()) == (500, {"detail": "internal_error"})
