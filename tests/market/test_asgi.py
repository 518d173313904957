"""What is checked before Django sees an HTTP request, and CORS."""

import json
from collections.abc import Sequence

import pytest
from asgiref.sync import async_to_sync
from channels.testing import HttpCommunicator
from django.http import HttpResponse
from django.test import RequestFactory
from pytest_django import Settings

from market.cors import CorsMiddleware
from tests.market.factories import SERIES, START
from tradecanvas.asgi import MOST_BODY, application

FLAT = dict.fromkeys(("open", "high", "low", "close", "volume"), 1)
BODY = json.dumps({"series_id": SERIES, "candle": {"candle_time": START} | FLAT}).encode()
OTHER_PAGE = "http://chart.example"


def send(parts: Sequence[bytes], **headers: str) -> tuple[int, bytes]:
    """Send a body in parts, as a program on this machine does, and return the answer."""

    async def exchange() -> tuple[int, bytes]:
        named = {"host": "localhost", "content-type": "application/json"} | headers
        pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in named.items()]
        communicator = HttpCommunicator(application, "POST", "/api/write", headers=pairs)
        communicator.scope |= {"tradecanvas.loopback": True, "client": ("127.0.0.1", 1)}
        for part in parts:
            await communicator.send_input({"type": "http.request", "body": part, "more_body": True})
        await communicator.send_input({"type": "http.request", "body": b""})
        start = await communicator.receive_output(timeout=10)
        body = (await communicator.receive_output(timeout=10))["body"]
        await communicator.wait(timeout=10)
        return start["status"], body

    return async_to_sync(exchange)()


@pytest.mark.django_db
@pytest.mark.urls("tests.market.probes")
def test_body_in_chunks_without_a_length_is_read() -> None:
    status, body = send([BODY[:20], BODY[20:]])
    assert (status, json.loads(body)["candle_time"]) == (200, START)


@pytest.mark.parametrize("length", [str(MOST_BODY + 1), "9" * 400, "-1", "x"])
def test_length_that_no_route_takes_is_refused(length: str) -> None:
    assert send([], content_length=length) == (413, b'{"detail":"body_too_large"}')


def test_chunks_that_no_route_takes_are_refused() -> None:
    parts = [b"x" * 2**20] * 9
    assert send(parts) == (413, b'{"detail":"body_too_large"}')
    assert send(parts, content_length=str(9 * 2**20)) == (413, b'{"detail":"body_too_large"}')


def through_cors(method: str = "GET", **headers: str) -> HttpResponse:
    request = RequestFactory().generic(
        method,
        "/api/market/whitelist",
        headers={name.replace("_", "-"): text for name, text in headers.items()},
    )
    response = CorsMiddleware(lambda _: HttpResponse())(request)
    assert isinstance(response, HttpResponse)
    return response


def test_configured_origin_may_read_without_cookies(settings: Settings) -> None:
    settings.TRADE_CANVAS_CORS_ORIGINS = [OTHER_PAGE]
    response = through_cors(origin=OTHER_PAGE)
    assert response.headers["Access-Control-Allow-Origin"] == OTHER_PAGE
    assert response.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in response.headers


def test_other_origin_may_not_read(settings: Settings) -> None:
    settings.TRADE_CANVAS_CORS_ORIGINS = [OTHER_PAGE]
    assert "Access-Control-Allow-Origin" not in through_cors(origin="http://evil.example").headers


def test_without_configured_origins_nothing_is_said(settings: Settings) -> None:
    settings.TRADE_CANVAS_CORS_ORIGINS = []
    response = through_cors(origin=OTHER_PAGE)
    assert not {"Access-Control-Allow-Origin", "Vary"} & response.headers.keys()


def test_preflight_is_answered(settings: Settings) -> None:
    settings.TRADE_CANVAS_CORS_ORIGINS = [OTHER_PAGE]
    response = through_cors("OPTIONS", origin=OTHER_PAGE, access_control_request_method="POST")
    assert response.status_code == 204
    assert response.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
