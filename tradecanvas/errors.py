"""Which error becomes which answer: one table for all apps, always JSON under /api."""

from typing import Any

import orjson
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.deprecation import MiddlewareMixin
from django.views import defaults
from rest_framework import exceptions
from rest_framework.response import Response

from ledger.advance import IngestPipelineError
from ledger.alignment import NoDataError, NoOverlayError, OutOfSyncError
from ledger.repair import OverlayRepairError
from market.access import CsrfFailedError, ForbiddenError, NotAuthenticatedError, NotJSONError
from market.http import (
    BodyTooLargeError,
    InvalidInputError,
    NotFoundError,
    OtherMethodError,
)
from market.series import BadSeriesIdError
from market.top_markets import RateLimitedError, UnsupportedExchangeError, UpstreamError

# Error class: status and detail. No detail: what the error itself says. Subclasses count.
ANSWERS: dict[type[Exception], tuple[int, str | None]] = {
    NotFoundError: (404, "not_found"),
    BadSeriesIdError: (400, None),
    NoDataError: (404, None),
    NoOverlayError: (404, None),
    OutOfSyncError: (409, None),
    IngestPipelineError: (500, None),
    OverlayRepairError: (500, None),
    NotAuthenticatedError: (401, "not_authenticated"),
    ForbiddenError: (403, "forbidden"),
    CsrfFailedError: (403, "csrf_failed"),
    BodyTooLargeError: (413, "body_too_large"),
    UnsupportedExchangeError: (400, "unsupported exchange"),
    RateLimitedError: (429, "rate_limited"),
    UpstreamError: (502, None),
    NotJSONError: (415, "unsupported_media_type"),
    Http404: (404, "Not Found"),
    PermissionDenied: (403, "forbidden"),
    RequestDataTooBig: (413, "body_too_large"),
    SuspiciousOperation: (400, "bad_request"),
    exceptions.MethodNotAllowed: (405, "Method Not Allowed"),
    exceptions.NotAuthenticated: (401, "not_authenticated"),
    exceptions.PermissionDenied: (403, "forbidden"),
    exceptions.UnsupportedMediaType: (415, "unsupported_media_type"),
}


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the answer of a view of the framework to a known error; others become a 500."""
    said = _said(error)
    return said and Response({"detail": said[1]}, status=said[0])


class KnownErrorsMiddleware(MiddlewareMixin):
    """Answers known errors of the API's plain views; every other one becomes a 500."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the answer, None where there is none."""
        said = _said(exception) if request.path.startswith("/api/") else None
        if said is None:
            return None
        status, detail = said
        response = HttpResponse(
            orjson.dumps({"detail": detail}), status=status, content_type="application/json"
        )
        if isinstance(exception, OtherMethodError):
            response["Allow"] = exception.allow
        return response


def _said(error: Exception) -> tuple[int, Any] | None:
    """Return status and detail of a known error."""
    if isinstance(error, InvalidInputError):
        return 422, error.errors
    for kind in type(error).__mro__:
        if kind in ANSWERS:
            status, detail = ANSWERS[kind]
            return status, detail or getattr(error, "detail", None) or str(error)
    return None


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer a request that Django refused before any view saw it."""
    return _json(request, 400, "bad_request") or defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an unknown path."""
    return _json(request, 404, "Not Found") or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer after an error that nobody foresaw; the log has it."""
    return _json(request, 500, "internal_error") or defaults.server_error(request)


def _json(request: HttpRequest, status: int, detail: str) -> HttpResponse | None:
    if request.path != "/api" and not request.path.startswith("/api/"):
        return None
    return JsonResponse({"detail": detail}, status=status)
