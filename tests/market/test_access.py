"""Who may write."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.test import RequestFactory
from pytest_django import Settings

from tests.market.factories import SERIES, START
from tests.market.probes import WriteProbe

pytestmark = pytest.mark.django_db

FLAT = dict.fromkeys(("open", "high", "low", "close", "volume"), 1)
BODY = json.dumps({"series_id": SERIES, "candle": {"candle_time": START} | FLAT})
JSON = "application/json"


def write_request(
    user: User | AnonymousUser | None = None,
    headers: Mapping[str, str] | None = None,
    content_type: str = JSON,
    **extra: Any,
) -> HttpRequest:
    request = RequestFactory().generic(
        "POST",
        "/api/write",
        BODY,
        content_type,
        headers={"Host": "testserver", **(headers or {})},
        **extra,
    )
    request.user = user or AnonymousUser()
    return request


def answer(request: HttpRequest) -> tuple[int, Any]:
    response = WriteProbe.as_view()(request).render()
    body = json.loads(response.content)
    return response.status_code, body.get("detail", "ok")


def local(headers: Mapping[str, str] | None = None, **extra: Any) -> HttpRequest:
    """Return a write to a server that `serve` has bound to loopback."""
    request = write_request(headers={"Host": "127.0.0.1:8000", **(headers or {})}, **extra)
    request.scope = {"tradecanvas.loopback": True}  # type: ignore[attr-defined]
    return request


def with_token(request: HttpRequest) -> HttpRequest:
    token = get_token(request)
    request.COOKIES["csrftoken"] = request.META["CSRF_COOKIE"]
    request.META["HTTP_X_CSRFTOKEN"] = token
    return request


def staff(*, is_staff: bool = True, is_active: bool = True) -> User:
    return User.objects.create_user("somebody", is_staff=is_staff, is_active=is_active)


def test_nobody_is_401() -> None:
    assert answer(write_request()) == (401, "not_authenticated")


def test_user_who_is_not_staff_is_403() -> None:
    user = staff(is_staff=False)
    assert answer(with_token(write_request(user))) == (403, "forbidden")


def test_inactive_staff_is_401() -> None:
    user = staff(is_active=False)
    assert answer(with_token(write_request(user))) == (401, "not_authenticated")


def test_staff_with_the_token_may_write() -> None:
    assert answer(with_token(write_request(staff()))) == (200, "ok")


def test_staff_without_the_token_is_403() -> None:
    assert answer(write_request(staff())) == (403, "csrf_failed")


@pytest.mark.parametrize("content_type", ["text/plain", "", "multipart/form-data; boundary=x", "x"])
def test_write_that_is_no_json_is_415(content_type: str) -> None:
    request = with_token(write_request(staff(), content_type=content_type))
    assert answer(request) == (415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_name_its_charset_and_case(content_type: str) -> None:
    assert answer(with_token(write_request(staff(), content_type=content_type))) == (200, "ok")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://testserver.evil", "", "["]
)
def test_foreign_origin_is_403_even_for_staff(origin: str) -> None:
    request = with_token(write_request(staff(), {"Origin": origin}))
    assert answer(request) == (403, "forbidden")


def test_own_origin_may_write() -> None:
    request = with_token(write_request(staff(), {"Origin": "http://testserver"}))
    assert answer(request) == (200, "ok")


def test_loopback_server_takes_writes_of_this_machine() -> None:
    assert answer(local()) == (200, "ok")


@pytest.mark.parametrize("host", ["localhost", "localhost:18080", "127.0.0.1", "[::1]:8000"])
def test_loopback_may_have_each_of_its_names(host: str) -> None:
    assert answer(local({"Host": host})) == (200, "ok")


def test_loopback_takes_its_own_page() -> None:
    assert answer(local({"Origin": "http://127.0.0.1:8000"})) == (200, "ok")


def test_loopback_refuses_a_foreign_page() -> None:
    assert answer(local({"Origin": "http://127.0.0.1:9000"})) == (403, "forbidden")


def test_loopback_takes_a_configured_origin(settings: Settings) -> None:
    settings.TRADE_CANVAS_CORS_ORIGINS = ["http://localhost:5173"]
    assert answer(local({"Origin": "http://localhost:5173"})) == (200, "ok")


def test_loopback_refuses_another_host_name() -> None:
    assert answer(local({"Host": "testserver"})) == (401, "not_authenticated")


@pytest.mark.parametrize(
    "name", ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "Via"]
)
def test_loopback_refuses_what_a_proxy_forwards(name: str) -> None:
    assert answer(local({name: "127.0.0.1"})) == (401, "not_authenticated")


@pytest.mark.parametrize("address", ["10.0.0.5", "", "unknown", "::ffff:10.0.0.5"])
def test_loopback_refuses_another_machine(address: str) -> None:
    assert answer(local(REMOTE_ADDR=address)) == (401, "not_authenticated")


def test_server_that_is_not_bound_to_loopback_takes_nothing_from_this_machine() -> None:
    request = local()
    request.scope = {}  # type: ignore[attr-defined]
    assert answer(request) == (401, "not_authenticated")


def test_loopback_write_must_be_json_too() -> None:
    assert answer(local(content_type="text/plain")) == (415, "unsupported_media_type")
