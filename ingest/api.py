"""Routes that take closed candles in, and one that shows what the feeds do."""

from typing import Annotated, Any

from django.conf import settings
from pydantic import Field
from rest_framework.decorators import api_view, permission_classes
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ingest.debug import ingest_state
from ingest.feed_state import feed_state
from ingest.taking import candles_take
from market.access import DebugGate, MayWrite, plain_write
from market.candles import Candles
from market.groups import announce_forming
from market.http import CandleBody, Input, NotFoundError, SeriesText, read_body, read_query
from market.series import SeriesId


class CandleClosed(Input):
    """One closed candle of a series."""

    series_id: SeriesText
    candle: CandleBody


class CandlesClosedBatch(Input):
    """Closed candles of a series, in any order."""

    series_id: SeriesText
    candles: Annotated[list[CandleBody], Field(min_length=1, max_length=20_000)]
    publish_ws: bool = False


@plain_write(CandleClosed)
def candle_closed(body: CandleClosed) -> dict[str, Any]:
    """`POST /api/market/ingest/candle_closed`: after the answer every read sees the candle."""
    series = SeriesId.parse(body.series_id)
    candle = body.candle.candle()
    candles_take(
        "candle_closed",
        "closed",
        str(series),
        Candles.from_rows([candle]),
        candle_time=candle.candle_time,
    )
    return {"ok": True, "series_id": body.series_id, "candle_time": body.candle.candle_time}


@plain_write(CandleClosed, debug=True)
def candle_forming(body: CandleClosed) -> dict[str, Any]:
    """`POST /api/market/ingest/candle_forming`: subscribers see it, and nothing is stored."""
    announce_forming(str(SeriesId.parse(body.series_id)), body.candle.candle())
    return {"ok": True, "series_id": body.series_id, "candle_time": body.candle.candle_time}


class CandlesClosedBatchView(APIView):
    """`POST /api/dev/market/ingest/candles_closed_batch`: many closed candles, for development."""

    permission_classes = (MayWrite,)
    max_body = 8 * 1024 * 1024

    def post(self, request: Request) -> Response:
        """Take the candles; the gate closed, there is no such route."""
        if not settings.TRADE_CANVAS_ENABLE_DEV_API:
            raise NotFoundError
        body = read_body(CandlesClosedBatch, request)
        series = SeriesId.parse(body.series_id)
        candles = Candles.from_rows([item.candle() for item in body.candles])
        told = {
            "count": len(body.candles),
            "first_candle_time": int(candles.time.min()),
            "last_candle_time": int(candles.time.max()),
        }
        candles_take(
            "candles_closed_batch",
            "closed_batch",
            str(series),
            candles,
            publish=body.publish_ws,
            publish_ws=body.publish_ws,
            **told,
        )
        return Response({"ok": True, "series_id": body.series_id} | told)


@api_view(["GET"])
@permission_classes([DebugGate, MayWrite])
def ingest_state_view(request: Request) -> Response:
    """Return what the feeds do (`GET /api/market/debug/ingest_state`)."""
    return Response(ingest_state())


class FeedQuery(Input):
    """A series."""

    series_id: SeriesText


@api_view(["GET"])
def feed_state_view(request: Request) -> Response:
    """Return how the feed of a series does: what the lamps of its chart open to."""
    return Response(feed_state(str(SeriesId.parse(read_query(FeedQuery, request).series_id))))
