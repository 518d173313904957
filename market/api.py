"""GET /api/market/*: candles, their lamp, what is traded most, and what is watched."""

from collections.abc import Callable
from typing import Literal

from django.conf import settings
from django.http import StreamingHttpResponse
from pydantic import Field, FiniteFloat
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from market import (
    after_read,
    asyncapi,
    database,
    filling,
    hub,
    metrics,
    selectors,
    top_markets,
    top_markets_stream,
)
from market.access import DebugGate, MayWrite
from market.candles import Candles
from market.clock import now
from market.debug_events import emit, wanted
from market.health import kline_health
from market.http import Input, NotFoundError, SeriesText, Time, read_query
from market.series import BadSeriesIdError, SeriesId
from market.series_health import series_health
from market.top_markets import UnsupportedExchangeError, Wish
from market.whitelist import whitelist_current


class CandlesQuery(Input):
    """Which candles: the newest, or the first after `since`."""

    series_id: SeriesText
    since: Time | None = None
    limit: int = Field(default=500, ge=1, le=5000)


class CandlesView(APIView):
    """`GET /api/market/candles`."""

    clock: Callable[[], float] = staticmethod(now)

    def get(self, request: Request) -> Response:
        """Answer with closed candles, ascending; a text that is no series id has none."""
        query = read_query(CandlesQuery, request)
        try:
            series = SeriesId.parse(query.series_id)
        except BadSeriesIdError:
            return _answer(query.series_id, Candles.from_rows([]), None)
        with database.reading(), metrics.timed("market_query_candles_duration_ms"):
            candles = selectors.candles_closed(series, query.since, query.limit, self.clock())
            head = selectors.head_time(query.series_id)
        self._tell(query, candles, head)
        after_read.candles_read(query.series_id, head)
        if query.since is None and head is not None and filling.tails_are_filled():
            after_read.later(filling.tail_wanted, query.series_id, query.limit, self.clock())
        return _answer(query.series_id, candles, head)

    def _tell(self, query: CandlesQuery, candles: Candles, head: int | None) -> None:
        """Tell those who watch this process what was read."""
        metrics.count("market_query_candles_requests_total")
        metrics.gauge("market_query_candles_result_count", len(candles))
        if head is not None:
            metrics.gauge("market_query_head_time", head)
            metrics.gauge("market_query_head_lag_seconds", max(0.0, self.clock() - head))
        if len(candles) and wanted():
            about = {
                "since": query.since,
                "limit": query.limit,
                "count": len(candles),
                "last_time": int(candles.time[-1]),
                "server_head_time": head,
            }
            emit("read.http.market_candles", "read", query.series_id, data=about)


class HealthQuery(Input):
    """A series, and a time if it is not now."""

    series_id: SeriesText
    now_time: Time | None = None


class HealthView(APIView):
    """`GET /api/market/health`, the lamp of a series."""

    clock: Callable[[], float] = staticmethod(now)

    def get(self, request: Request) -> Response:
        """Answer with the lamp; both gates closed, there is no such route."""
        if not (
            settings.TRADE_CANVAS_ENABLE_KLINE_HEALTH_V2 or settings.TRADE_CANVAS_ENABLE_DEBUG_API
        ):
            raise NotFoundError
        query = read_query(HealthQuery, request)
        series = SeriesId.parse(query.series_id)
        with database.reading():
            head, filled = selectors.head_time(str(series)), filling.filling_read(str(series))
        lamp = kline_health(
            seconds=series.seconds,
            now=int(self.clock()) if query.now_time is None else query.now_time,
            head=head,
            filling=filled,
            grace=settings.TRADE_CANVAS_KLINE_HEALTH_GRACE_S,
            recent_seconds=settings.TRADE_CANVAS_KLINE_HEALTH_BACKFILL_RECENT_SECONDS,
        )
        return Response({"series_id": query.series_id} | lamp)


class SeriesHealthQuery(Input):
    """A series, and how much to tell of it."""

    series_id: SeriesText
    max_recent_gaps: int = Field(default=5, ge=1, le=50)
    recent_base_buckets: int = Field(default=8, ge=1, le=48)


class SeriesHealthView(APIView):
    """`GET /api/market/debug/series_health`."""

    permission_classes = (DebugGate, MayWrite)
    clock: Callable[[], float] = staticmethod(now)

    def get(self, request: Request) -> Response:
        """Answer with how whole the stored candles are."""
        query = read_query(SeriesHealthQuery, request)
        health = series_health(
            SeriesId.parse(query.series_id),
            int(self.clock()),
            most_gaps=query.max_recent_gaps,
            most_buckets=query.recent_base_buckets,
        )
        return Response(health)


class MetricsView(APIView):
    """`GET /api/market/debug/metrics`."""

    permission_classes = (DebugGate, MayWrite)

    def get(self, request: Request) -> Response:
        """Answer with what this process counted; where it does not count, no such route."""
        if not settings.TRADE_CANVAS_ENABLE_RUNTIME_METRICS:
            raise NotFoundError
        return Response(metrics.KEPT.shown())


class TopMarketsQuery(Input):
    """Which symbols of which market, and how many."""

    exchange: str = "binance"
    market: Literal["spot", "futures"]
    quote_asset: str = Field(default="USDT", min_length=1, max_length=12)
    limit: int = Field(default=20, ge=1, le=200)

    def wish(self) -> Wish:
        """Return what is asked for, of the one exchange that there is."""
        if self.exchange != "binance":
            raise UnsupportedExchangeError
        return Wish(self.market, self.quote_asset.upper(), self.limit)


class FreshTopMarketsQuery(TopMarketsQuery):
    """The same, kept answers not wanted with `force`."""

    force: bool = False


class TopMarketsStreamQuery(TopMarketsQuery):
    """The same, how often to look and after how many events to end; 0 never ends."""

    interval_s: FiniteFloat = Field(default=2.0, ge=0.2, le=30)
    max_events: int = Field(default=0, ge=0, le=1000)


class TopMarketsView(APIView):
    """`GET /api/market/top_markets`."""

    def get(self, request: Request) -> Response:
        """Answer with the most traded symbols."""
        query = read_query(FreshTopMarketsQuery, request)
        wish = query.wish()
        if query.force:
            top_markets.TOP.force_allowed(request.META["REMOTE_ADDR"], wish.market)
        return Response(top_markets.TOP.read_in_thread(wish, force=query.force))


class TopMarketsStreamView(APIView):
    """`GET /api/market/top_markets/stream`."""

    def get(self, request: Request) -> StreamingHttpResponse:
        """Answer with events that the server's own loop makes, so that no thread waits."""
        query = read_query(TopMarketsStreamQuery, request)
        events = top_markets_stream.events(
            top_markets.TOP,
            query.wish(),
            interval=query.interval_s,
            most=query.max_events,
            pause=hub.pause,
        )
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        kind = "text/event-stream; charset=utf-8"
        return StreamingHttpResponse(events, content_type=kind, headers=headers)


class WhitelistView(APIView):
    """`GET /api/market/whitelist`."""

    def get(self, request: Request) -> Response:
        """Answer with the series that are followed for ever: also while the file is unreadable."""
        return Response({"series_ids": whitelist_current(settings.TRADE_CANVAS_WHITELIST_PATH)})


def _answer(series_id: str, candles: Candles, head: int | None) -> Response:
    records = candles.records()
    return Response({"series_id": series_id, "server_head_time": head, "candles": records})


class AsyncApiView(APIView):
    """`GET /api/asyncapi`."""

    def get(self, _: Request) -> Response:
        """Answer with the AsyncAPI document of /ws/market."""
        return Response(asyncapi.document())
