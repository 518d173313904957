"""Routes that read the ledger. Every answer is made from one state of the database."""

from typing import Annotated

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from rest_framework.decorators import api_view, permission_classes
from rest_framework.request import Request
from rest_framework.response import Response

from ledger import frames, telling
from ledger.alignment import OutOfSyncError
from ledger.answers import Answer
from ledger.diff import diff
from ledger.digest import digest
from ledger.health import factor_health
from ledger.repair import ReadRepairService
from ledger.replay import ReplayPrepareService
from market.access import MayWrite
from market.http import Input, NotFoundError, SeriesText, Time, plain_read, read_body, read_query
from market.series import SeriesId

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


class DigestQuery(SeriesQuery):
    """A series and a time; none is the factor head."""

    at_time: Time | None = None


class DiffQuery(WindowQuery):
    """Two times, the later one not before the earlier."""

    from_time: Time
    to_time: Time

    @field_validator("to_time")
    @classmethod
    def _not_before(cls, to_time: int, given: ValidationInfo) -> int:
        if to_time < given.data.get("from_time", to_time):
            raise PydanticCustomError("time_order", "to_time should not be before from_time")
        return to_time


def answered(request: HttpRequest, answer: Answer) -> HttpResponseBase:
    """Return the answer, or 304 to a client that has the same one; it asks again each time."""
    headers = {"ETag": answer.etag, "Cache-Control": "no-cache"}
    whole = HttpResponse(answer.body, content_type="application/json", headers=headers)
    return get_conditional_response(request, etag=answer.etag, response=whole) or whole


@plain_read(AtTimeQuery)
def factor_slices(request: HttpRequest, query: AtTimeQuery) -> HttpResponseBase:
    """Return what each factor knew at a time (`GET /api/factor/slices`)."""
    return answered(
        request,
        frames.slices(
            series_id=query.series_id,
            at_time=query.at_time,
            window_candles=query.window_candles,
        ),
    )


@api_view(["GET"])
def factor_health_view(request: Request) -> Response:
    """Return how far factors and drawings are behind the candles (`GET /api/factor/health`)."""
    return Response(factor_health(read_query(SeriesQuery, request).series_id))


@plain_read(DeltaQuery)
def draw_delta(request: HttpRequest, query: DeltaQuery) -> HttpResponseBase:
    """Return what is drawn, beyond a cursor (`GET /api/draw/delta`)."""
    try:
        drawn = frames.delta(
            series_id=query.series_id,
            cursor=query.cursor_version_id,
            window_candles=query.window_candles,
            at_time=query.at_time,
        )
    except OutOfSyncError as error:
        telling.overlay_refused(query.series_id, query.at_time, error)
        raise
    telling.delta_told(query.series_id, query.cursor_version_id, query.at_time, drawn)
    return answered(request, drawn)


@plain_read(WindowQuery)
def frame_live(request: HttpRequest, query: WindowQuery) -> HttpResponseBase:
    """Return the newest consistent frame (`GET /api/frame/live`)."""
    frame = frames.live(series_id=query.series_id, window_candles=query.window_candles)
    telling.frame_told("read.http.world_frame_live", query.series_id, frame)
    return answered(request, frame)


@plain_read(AtTimeQuery)
def frame_at_time(request: HttpRequest, query: AtTimeQuery) -> HttpResponseBase:
    """Return the frame at a time (`GET /api/frame/at_time`)."""
    frame = frames.at_time(
        series_id=query.series_id,
        at_time=query.at_time,
        window_candles=query.window_candles,
    )
    telling.frame_told("read.http.world_frame_at_time", query.series_id, frame)
    return answered(request, frame)


@plain_read(PollQuery)
def delta_poll(request: HttpRequest, query: PollQuery) -> HttpResponseBase:
    """Return a record of what is drawn now, if it is new to the client (`GET /api/delta/poll`)."""
    polled = frames.poll(
        series_id=query.series_id,
        after_id=query.after_id,
        window_candles=query.window_candles,
    )
    telling.poll_told(query.series_id, query.after_id, polled)
    return answered(request, polled)


@api_view(["GET"])
def ledger_digest(request: Request) -> Response:
    """Return one hash of all candles and events up to a time (`GET /api/ledger/digest`)."""
    query = read_query(DigestQuery, request)
    return Response(digest(series_id=query.series_id, at_time=query.at_time))


@api_view(["GET"])
def ledger_diff(request: Request) -> Response:
    """Return what happened between two times (`GET /api/ledger/diff`)."""
    query = read_query(DiffQuery, request)
    return Response(
        diff(
            series_id=query.series_id,
            from_time=query.from_time,
            to_time=query.to_time,
            window_candles=query.window_candles,
        )
    )


class PrepareBody(Input):
    """What to make ready for replay; without a time, up to the newest candle."""

    series_id: SeriesText
    to_time: Time | None = None
    window_candles: Window | None = None


class RepairBody(Input):
    """What to draw again."""

    series_id: SeriesText
    to_time: Time | None = None


@api_view(["POST"])
def replay_prepare(request: Request) -> Response:
    """Bring a ledger up to a time, if it is not there yet (`POST /api/replay/prepare`)."""
    body = read_body(PrepareBody, request)
    series = SeriesId.parse(body.series_id)
    done = ReplayPrepareService().prepare(
        series_id=str(series), to_time=body.to_time, window_candles=body.window_candles
    )
    return Response(
        {
            "ok": True,
            "series_id": body.series_id,
            "requested_time": done.requested_time,
            "aligned_time": done.aligned_time,
            "window_candles": done.window_candles,
            "factor_head_time": done.heads.factor,
            "overlay_head_time": done.heads.overlay,
            "computed": done.computed,
        }
    )


@api_view(["POST"])
@permission_classes([MayWrite])
def repair_overlay(request: Request) -> Response:
    """`POST /api/dev/repair/overlay`: draw a series again from its events; needs both gates."""
    if not (settings.TRADE_CANVAS_ENABLE_DEV_API and settings.TRADE_CANVAS_ENABLE_READ_REPAIR_API):
        raise NotFoundError
    body = read_body(RepairBody, request)
    series = SeriesId.parse(body.series_id)
    done = ReadRepairService().repair_overlay(series_id=str(series), to_time=body.to_time)
    return Response(
        {
            "ok": True,
            "series_id": body.series_id,
            "requested_time": done.requested_time,
            "aligned_time": done.aligned_time,
            "factor_head_time": done.heads.factor,
            "overlay_head_time": done.heads.overlay,
            "refreshed": bool(done.steps),
            "steps": done.steps,
        }
    )
