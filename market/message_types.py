"""The types of all messages of /ws/market, one source for documents and clients.

Imports no framework.
"""

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

STRICT = ConfigDict(extra="forbid", strict=True)


@with_config(STRICT)
class CandleFields(TypedDict):
    """A candle; `candle_time` is its open time in Unix seconds."""

    candle_time: Annotated[int, Field(gt=0)]
    open: float
    high: float
    low: float
    close: float
    volume: float


@with_config(STRICT)
class Subscribe(TypedDict):
    """Wish for a series: its candles after `since`, or its newest."""

    type: Literal["subscribe"]
    series_id: str
    since: NotRequired[int | None]
    supports_batch: NotRequired[bool | None]


@with_config(STRICT)
class Unsubscribe(TypedDict):
    """End a wish; there is no answer."""

    type: Literal["unsubscribe"]
    series_id: str


@with_config(STRICT)
class CandleClosed(TypedDict):
    """A candle has closed; its ledger is written."""

    type: Literal["candle_closed"]
    series_id: str
    candle: CandleFields


@with_config(STRICT)
class CandlesBatch(TypedDict):
    """Closed candles, ascending, for those who support batches."""

    type: Literal["candles_batch"]
    series_id: str
    candles: Annotated[list[CandleFields], Field(min_length=1)]


@with_config(STRICT)
class CandleForming(TypedDict):
    """A candle as it is now; it is stored nowhere."""

    type: Literal["candle_forming"]
    series_id: str
    candle: CandleFields


@with_config(STRICT)
class Gap(TypedDict):
    """The next message jumps: candles between are not stored."""

    type: Literal["gap"]
    series_id: str
    expected_next_time: int
    actual_time: int


@with_config(STRICT)
class Rebuilt(TypedDict):
    """What the system names in `data`."""

    series_id: str


@with_config(STRICT)
class System(TypedDict):
    """History changed: read candles and structures again."""

    type: Literal["system"]
    series_id: str
    event: Literal["factor.rebuild"]
    message: str
    data: Rebuilt


@with_config(STRICT)
class Error(TypedDict):
    """What was asked for is not done; the socket stays open."""

    type: Literal["error"]
    code: Literal["bad_request", "capacity"]
    message: str
    series_id: NotRequired[str]


CLIENT = (Subscribe, Unsubscribe)
SERVER = (CandleClosed, CandlesBatch, CandleForming, Gap, System, Error)
Message = Annotated[
    CandleClosed | CandlesBatch | CandleForming | Gap | System | Error,
    Field(discriminator="type"),
]
MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
