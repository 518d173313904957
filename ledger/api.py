"""Routes that read the ledger. Every answer is made from one state of the database."""

from typing import Annotated

from pydantic import Field
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from ledger import frames
from ledger.health import factor_health
from market.http import Input, SeriesText, Time, read_query

Window = Annotated[int, Field(ge=1, le=5000)]
Cursor = Annotated[int, Field(ge=0, le=2**63 - 1)]


class SeriesQuery(Input):
    """A series."""

    series_id: SeriesText


class WindowQuery(SeriesQuery):
    """A series and how many candles of it to look at."""

    window_candles: Window = 2000


class AtTimeQuery(WindowQuery):
    """A window that ends at a time."""

    at_time: Time


class DeltaQuery(WindowQuery):
    """A window, what the client already has, and a time if it is not now."""

    cursor_version_id: Cursor = 0
    at_time: Time | None = None


class PollQuery(WindowQuery):
    """A window and the last record that the client has; `limit` is checked and has no effect."""

    after_id: Cursor = 0
    limit: Window = 2000


@api_view(["GET"])
def factor_slices(request: Request) -> Response:
    """Return what each factor knew at a time (`protocol.md` 4.1)."""
    query = read_query(AtTimeQuery, request)
    return Response(
        frames.slices(
            series_id=query.series_id,
            at_time=query.at_time,
            window_candles=query.window_candles,
        )
    )


@api_view(["GET"])
def factor_health_view(request: Request) -> Response:
    """Return how far factors and drawings are behind the candles (`protocol.md` 4.3)."""
    return Response(factor_health(read_query(SeriesQuery, request).series_id))


@api_view(["GET"])
def draw_delta(request: Request) -> Response:
    """Return what is drawn, beyond a cursor (`protocol.md` 5.1)."""
    query = read_query(DeltaQuery, request)
    return Response(
        frames.delta(
            series_id=query.series_id,
            cursor=query.cursor_version_id,
            window_candles=query.window_candles,
            at_time=query.at_time,
        )
    )


@api_view(["GET"])
def frame_live(request: Request) -> Response:
    """Return the newest consistent frame (`protocol.md` 6.1)."""
    query = read_query(WindowQuery, request)
    return Response(frames.live(series_id=query.series_id, window_candles=query.window_candles))


@api_view(["GET"])
def frame_at_time(request: Request) -> Response:
    """Return the frame at a time (`protocol.md` 6.2)."""
    query = read_query(AtTimeQuery, request)
    return Response(
        frames.at_time(
            series_id=query.series_id,
            at_time=query.at_time,
            window_candles=query.window_candles,
        )
    )


@api_view(["GET"])
def delta_poll(request: Request) -> Response:
    """Return a record of what is drawn now, if it is new to the client (`protocol.md` 6.3)."""
    query = read_query(PollQuery, request)
    return Response(
        frames.poll(
            series_id=query.series_id,
            after_id=query.after_id,
            window_candles=query.window_candles,
        )
    )
