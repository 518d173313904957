"""Which failure is of which kind; the guardrail counts them by it."""

from collections.abc import Callable

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from ingest.binance import UnsupportedSeriesError
from ingest.gate import RateLimitedError
from ingest.guardrail import FailureKind
from ingest.lease import LeaseLostError
from ingest.rest import RestError

ROTATIONS = frozenset({1000, 1001, 1012})
LIMITED = frozenset({403, 418, 429})


class StaleStreamError(Exception):
    """A socket that is connected and sends nothing while there is news."""


class RotationError(Exception):
    """The connection ends as it should; another one goes on."""


class BadFramesError(Exception):
    """Too many frames that are no candles."""


def kind_of(error: BaseException) -> FailureKind:
    """Return the kind of what ended a connection, or kept one from being made."""
    return next((kind for kind, is_it in KINDS.items() if is_it(error)), FailureKind.PIPELINE)


def _is_orderly(error: BaseException) -> bool:
    received = error.rcvd if isinstance(error, ConnectionClosed) else None
    return received is not None and received.code in ROTATIONS


def _is_limited(error: BaseException) -> bool:
    return isinstance(error, InvalidStatus) and error.response.status_code in LIMITED


# The first that holds counts; what is none of these came from our own storing.
KINDS: dict[FailureKind, Callable[[BaseException], bool]] = {
    FailureKind.CONFIG: lambda error: isinstance(error, UnsupportedSeriesError),
    FailureKind.LEASE_LOST: lambda error: isinstance(error, LeaseLostError),
    FailureKind.ROTATION: lambda error: isinstance(error, RotationError) or _is_orderly(error),
    FailureKind.RATE_LIMIT: lambda error: isinstance(error, RateLimitedError) or _is_limited(error),
    FailureKind.PARSE: lambda error: isinstance(error, BadFramesError),
    FailureKind.STREAM: lambda error: isinstance(error, ConnectionClosed | StaleStreamError),
    FailureKind.CONNECT: lambda error: isinstance(
        error, OSError | TimeoutError | WebSocketException | RestError
    ),
}
