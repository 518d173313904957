"""What all HTTP routes share: JSON in and out, bounds of bodies, validation, its errors.

Queries and bodies become frozen values here; what does not fit raises, and `tradecanvas.errors`
turns it into an answer.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import IO, Annotated, Any, TypeVar, cast

import orjson
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError
from pydantic_core import PydanticCustomError
from rest_framework.exceptions import MethodNotAllowed, UnsupportedMediaType
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from market.candles import Candle

MAX_BODY = 64 * 1024
MAX_ERRORS = 100
MAX_SHOWN = 1000
# A larger time could not be told apart from its neighbours by JavaScript, or overflow a column.
LATEST_TIME = 2**53 - 1

Time = Annotated[int, Field(ge=0, le=2**63 - 1)]
SeriesText = Annotated[str, Field(min_length=1)]


def no_switch(value: Any) -> Any:
    """Refuse true and false where a number is asked for; numbers as text are taken."""
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "Input should be a number")
    return value


CandleTime = Annotated[int, Field(gt=0, le=LATEST_TIME), BeforeValidator(no_switch)]
Price = Annotated[FiniteFloat, BeforeValidator(no_switch)]


class NotFoundError(Exception):
    """There is no such thing, or its gate is closed."""


class BodyTooLargeError(Exception):
    """The body is longer than this route takes."""


class OtherMethodError(MethodNotAllowed):
    """A plain route was asked by another method than its own."""

    def __init__(self, asked: str, own: str) -> None:
        super().__init__(asked)
        self.allow = f"{own}, OPTIONS"


class InvalidInputError(Exception):
    """The query or the body does not fit; `errors` says where and why, ready to be sent."""

    def __init__(self, errors: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(f"{len(errors)} invalid values")
        self.errors = errors


class Input(BaseModel):
    """The base of every query and body: frozen, unknown keys are ignored."""

    model_config = ConfigDict(frozen=True)


class CandleBody(Input):
    """A closed candle as clients send it. The order of prices is not checked, on purpose."""

    candle_time: CandleTime
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Price

    def candle(self) -> Candle:
        """Return the candle itself."""
        return Candle(self.candle_time, self.open, self.high, self.low, self.close, self.volume)


class OrjsonRenderer(BaseRenderer):
    """Compact JSON; an `orjson.Fragment` goes out as it is."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(
        self,
        data: object,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the body, empty for an answer without data."""
        return b"" if data is None else orjson.dumps(data)


class BoundedJSONParser(BaseParser):
    """JSON bodies of at most 64 KiB, or of the view's `max_body`."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the parsed body; NaN and Infinity are no JSON."""
        limit: int = getattr((parser_context or {}).get("view"), "max_body", MAX_BODY)
        return _parsed(stream, limit)


class AlwaysJSON(DefaultContentNegotiation):
    """Answers are JSON, whatever the client says that it accepts."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the first renderer."""
        first = next(iter(renderers))
        return first, first.media_type


M = TypeVar("M", bound=BaseModel)
PlainView = Callable[[HttpRequest], HttpResponseBase]


def read_query(model: type[M], request: HttpRequest | Request) -> M:
    """Return the query as a value; of a name given twice the last one counts."""
    return _validated(model, dict(request.GET.items()), "query")


def plain(method: str) -> Callable[[PlainView], PlainView]:
    """Make a route of a function that takes the request and returns bytes that are ready.

    The framework's dispatch (content negotiation, parsers, renderers) has no part in it and would
    cost more than many an answer. Errors rise; `tradecanvas.errors` answers them.
    """

    def route(view: PlainView) -> PlainView:
        @csrf_exempt
        @wraps(view)
        def answer(request: HttpRequest) -> HttpResponseBase:
            if request.method != method:
                raise OtherMethodError(request.method or "", method)
            return view(request)

        return answer

    return route


def plain_read(
    model: type[M],
) -> Callable[[Callable[[HttpRequest, M], HttpResponseBase]], PlainView]:
    """Make a plain GET route of a function that takes a query."""

    def route(view: Callable[[HttpRequest, M], HttpResponseBase]) -> PlainView:
        @plain("GET")
        @wraps(view)
        def read(request: HttpRequest) -> HttpResponseBase:
            return view(request, read_query(model, request))

        return read

    return route


def read_plain_body(model: type[M], request: HttpRequest) -> M:
    """Return the JSON body of a plain route as a value."""
    return _validated(model, _parsed(request, MAX_BODY), "body")


def json_answer(content: object) -> HttpResponse:
    """Return what a plain route answers."""
    return HttpResponse(orjson.dumps(content), content_type="application/json")


def read_body(model: type[M], request: Request) -> M:
    """Return the JSON body as a value.

    `request.data` is not used: it takes a body sent in chunks, without a length, for none.
    """
    parser = AlwaysJSON().select_parser(request, request.parsers or ())
    if parser is None:
        raise UnsupportedMediaType(request.content_type)
    stream = cast("IO[bytes]", request)
    data = parser.parse(stream, request.content_type, request.parser_context)
    return _validated(model, data, "body")


def _parsed(stream: IO[Any] | HttpRequest, limit: int) -> Any:
    text = stream.read(limit + 1)
    if len(text) > limit:
        raise BodyTooLargeError
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        problem = {"type": "json_invalid", "loc": ["body"], "msg": str(error), "input": None}
        raise InvalidInputError([problem]) from None


def _validated(model: type[M], data: object, where: str) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False)[:MAX_ERRORS]
        raise InvalidInputError([_problem(item, where) for item in found]) from None


def _problem(error: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return one entry of a 422 answer, whatever odd value it is about."""
    problem = {
        "type": error["type"],
        "loc": [where, *error["loc"]],
        "msg": error["msg"],
        "input": _showable(error["input"]),
    }
    context = {name: _showable(value) for name, value in error.get("ctx", {}).items()}
    return problem | ({"ctx": context} if context else {})


def _showable(value: object) -> object:
    """Return the value if it is short and JSON can hold it, else the name of its type."""
    try:
        return value if len(orjson.dumps(value)) <= MAX_SHOWN else type(value).__name__
    except orjson.JSONEncodeError:
        return str(value) if isinstance(value, Exception) else type(value).__name__
