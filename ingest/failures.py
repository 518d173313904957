"""Which failure is of which kind; the guardrail counts them by it (`ingest.md` D2)."""

from collections.abc import Callable

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from ingest.binance import UnsupportedSeriesError
from ingest.gate import RateLimitedError
from ingest.lease import LeaseLostError

ROTATIONS = frozenset({1000, 1001, 1012})
LIMITED = frozenset({403, 418, 429})


class StaleStreamError(Exception):
    """A socket that is connected and sends nothing while there is news."""


class RotationError(Exception):
    """The connection ends as it should; another one goes on."""


class BadFramesError(Exception):
    """Too many frames that are no candles."""


def kind_of(error: BaseException) -> str:
    """Return the kind of what ended a connection, or kept one from being made."""
    return next((kind for kind, is_it in KINDS.items() if is_it(error)), "pipeline")


def _is_orderly(error: BaseException) -> bool:
    received = error.rcvd if isinstance(error, ConnectionClosed) else None
    return received is not None and received.code in ROTATIONS


def _is_limited(error: BaseException) -> bool:
    return isinstance(error, InvalidStatus) and error.response.status_code in LIMITED


# The first that holds counts; what is none of these came from our own storing.
KINDS: dict[str, Callable[[BaseException], bool]] = {
    "config": lambda error: isinstance(error, UnsupportedSeriesError),
    "lease_lost": lambda error: isinstance(error, LeaseLostError),
    "rotation": lambda error: isinstance(error, RotationError) or _is_orderly(error),
    "rate_limit": lambda error: isinstance(error, RateLimitedError) or _is_limited(error),
    "parse": lambda error: isinstance(error, BadFramesError),
    "stream": lambda error: isinstance(error, ConnectionClosed | StaleStreamError),
    "connect": lambda error: isinstance(error, OSError | TimeoutError | WebSocketException),
}
