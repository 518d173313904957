"""GET /api/market/*: stored candles and the whitelist."""

import time
from collections.abc import Callable

from django.conf import settings
from pydantic import Field
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from market import after_read, database, selectors
from market.candles import Candles
from market.http import Input, SeriesText, Time, read_query
from market.series import BadSeriesIdError, SeriesId
from market.whitelist import whitelist_read


class CandlesQuery(Input):
    """Which candles: the newest, or the first after `since`."""

    series_id: SeriesText
    since: Time | None = None
    limit: int = Field(default=500, ge=1, le=5000)


class CandlesView(APIView):
    """`GET /api/market/candles`."""

    clock: Callable[[], float] = staticmethod(time.time)

    def get(self, request: Request) -> Response:
        """Answer with closed candles, ascending; a text that is no series id has none."""
        query = read_query(CandlesQuery, request)
        try:
            series = SeriesId.parse(query.series_id)
        except BadSeriesIdError:
            return _answer(query.series_id, Candles.from_rows([]), None)
        with database.reading():
            candles = selectors.candles_closed(series, query.since, query.limit, self.clock())
            head = selectors.head_time(query.series_id)
        after_read.candles_read(query.series_id, head)
        return _answer(query.series_id, candles, head)


class WhitelistView(APIView):
    """`GET /api/market/whitelist`."""

    def get(self, request: Request) -> Response:
        """Answer with the series that are followed for ever."""
        return Response({"series_ids": whitelist_read(settings.TRADE_CANVAS_WHITELIST_PATH)})


def _answer(series_id: str, candles: Candles, head: int | None) -> Response:
    records = candles.records()
    return Response({"series_id": series_id, "server_head_time": head, "candles": records})
