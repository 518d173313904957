"""Routes that exist only in tests: what every write of the project goes through."""

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from market.access import MayWrite, SessionUser
from market.http import CandleBody, Input, NotFoundError, SeriesText, read_body
from market.series import SeriesId

handler400 = "tradecanvas.errors.bad_request"
handler404 = "tradecanvas.errors.not_found"
handler500 = "tradecanvas.errors.server_error"


class ProbeBody(Input):
    """A series and a candle."""

    series_id: SeriesText
    candle: CandleBody


class WriteProbe(APIView):
    """Validates as the ingest of a candle does, and stores nothing."""

    authentication_classes = [SessionUser]
    permission_classes = [MayWrite]

    def post(self, request: Request) -> Response:
        """Answer with the candle as it was understood."""
        body = read_body(ProbeBody, request)
        SeriesId.parse(body.series_id)
        return Response(body.candle.candle()._asdict())


class LargeProbe(WriteProbe):
    """Takes larger bodies."""

    max_body = 100_000


class BrokenProbe(APIView):
    """Fails in a way that nobody foresaw."""

    def get(self, request: Request) -> Response:
        """Raise."""
        raise RuntimeError("secret")


class GateProbe(APIView):
    """A route whose gate is closed."""

    def get(self, request: Request) -> Response:
        """Raise."""
        raise NotFoundError


urlpatterns = [
    path("api/write", WriteProbe.as_view()),
    path("api/large", LargeProbe.as_view()),
    path("api/broken", BrokenProbe.as_view()),
    path("api/gate", GateProbe.as_view()),
]
