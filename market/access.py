"""Who may write: a staff session, or anybody on the same machine where `serve` says so.

Reads are open. A write must also be JSON and must not come from a page of another origin, so that
a page elsewhere cannot write to a server on this machine.
"""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from io import BytesIO
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth import get_user
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http.request import HttpHeaders, HttpRequest, split_domain_port
from django.http.response import HttpResponse, HttpResponseBase
from pydantic import BaseModel
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from market.http import NotFoundError, PlainView, json_answer, plain, read_plain_body

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
FORWARDING_HEADERS = frozenset(
    {"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"}
)

M = TypeVar("M", bound=BaseModel)


class NotAuthenticatedError(Exception):
    """The request says nothing about who sent it."""


class ForbiddenError(Exception):
    """The sender is known and has no right, or the request comes from a foreign page."""


class CsrfFailedError(Exception):
    """A staff session wrote without its CSRF token."""


class NotJSONError(Exception):
    """A write whose Content-Type is not `application/json`."""


class SessionUser(BaseAuthentication):
    """The user of the session. CSRF is checked by `MayWrite`, because only writes need it."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """Return the user, who is looked up when somebody asks about them; None without one."""
        user = getattr(request._request, "user", None)
        return None if user is None else (user, None)


class DebugGate(BasePermission):
    """Lets a request pass while the debug API is on; else there is no such route."""

    def has_permission(self, request: Request, view: object) -> bool:
        """Say so, or raise."""
        require_debug()
        return True


def require_debug() -> None:
    """Raise unless the debug API is on."""
    if not settings.TRADE_CANVAS_ENABLE_DEBUG_API:
        raise NotFoundError


class MayWrite(BasePermission):
    """Lets a write pass, or raises what is missing. Debug routes use it too."""

    def has_permission(self, request: Request, view: object) -> bool:
        """Say so, or raise."""
        require_write(request._request)
        return True


def require_write(request: HttpRequest) -> None:
    """Raise unless the sender may write: checks origin, media type and right, in this order."""
    origin, host = request.headers.get("Origin"), request.get_host()
    if not origin_allowed(origin, host, settings.TRADE_CANVAS_CORS_ORIGINS):
        raise ForbiddenError
    if request.method == "POST" and request.content_type != "application/json":
        raise NotJSONError
    if not from_this_machine(request):
        _check_sender(request)


def may_write(request: HttpRequest) -> bool:
    """Say whether the sender has the right; a form of a page brings its CSRF token, too."""
    user = request.user
    return from_this_machine(request) or (user.is_active and user.is_staff)


def plain_write(
    model: type[M], *, debug: bool = False
) -> Callable[[Callable[[M], Mapping[str, Any]]], PlainView]:
    """Make a plain POST route of a function that takes a body, for those who may write.

    There is no such route if it belongs to the debug API, and that is off.
    """

    def route(view: Callable[[M], Mapping[str, Any]]) -> PlainView:
        @plain("POST")
        @wraps(view)
        def write(request: HttpRequest) -> HttpResponse:
            require_write(request)
            return json_answer(view(read_plain_body(model, request)))

        @wraps(write)
        def gated(request: HttpRequest) -> HttpResponseBase:
            require_debug()
            return write(request)

        return gated if debug else write

    return route


def origin_allowed(origin: str | None, host: str, others: Sequence[str]) -> bool:
    """Say whether this origin is none at all, this host's own, or one of `others`.

    >>> origin_allowed("https://chart.example", "chart.example", [])
    True
    >>> origin_allowed("null", "chart.example", [])
    False
    """
    if origin is None or origin in others:
        return True
    scheme, _, place = origin.lower().partition("://")
    return scheme in {"http", "https"} and place == host.lower()


def socket_may_write(scope: dict[str, Any]) -> bool:
    """Say whether who opens a socket might also write; looks the session up in the database."""
    request = ASGIRequest({**scope, "type": "http", "method": "GET"}, BytesIO())
    try:
        if from_this_machine(request):
            return True
    except DisallowedHost:
        return False
    sessions = import_module(settings.SESSION_ENGINE)
    request.session = sessions.SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    user = get_user(request)
    return user.is_active and user.is_staff


def from_this_machine(request: HttpRequest) -> bool:
    """Say whether the request comes straight from this machine to a server bound to it alone."""
    if getattr(request, "scope", {}).get("tradecanvas.loopback") is not True:
        return False
    host = split_domain_port(request.get_host())[0]
    return (
        host in LOOPBACK_HOSTS
        and _is_loopback(request.META.get("REMOTE_ADDR", ""))
        and not _is_forwarded(request.headers)
    )


def _check_sender(request: HttpRequest) -> None:
    """Raise unless the sender is staff. API tokens will be looked at here, first."""
    user = request.user
    if not (user.is_authenticated and user.is_active):
        raise NotAuthenticatedError
    if not user.is_staff:
        raise ForbiddenError
    if _csrf_fails(request):
        raise CsrfFailedError


def _csrf_fails(request: HttpRequest) -> bool:
    check = CSRFCheck(_no_view)
    check.process_request(request)
    return check.process_view(request, _no_view, (), {}) is not None


def _no_view(_: HttpRequest) -> HttpResponse:
    """Stand in for the view that the CSRF check wants to wrap."""
    return HttpResponse()


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_forwarded(headers: HttpHeaders) -> bool:
    names = {name.lower() for name in headers}
    return any(name in FORWARDING_HEADERS or name.startswith("x-forwarded") for name in names)
