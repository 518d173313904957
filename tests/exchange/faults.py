"""Everything that can go wrong at an exchange, as small values.

A fault says when it may strike (`at` seconds after the start, for `seconds`), how often (`times`)
and whom (`venue`, `symbol`; empty means any). The server asks the book at each place where
something can go wrong; those that strike by themselves (`Strike`) happen when their time comes.
"""

from dataclasses import dataclass, fields
from typing import Any, TypeVar


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What may go wrong, when, how often and for whom; `times` None is without end."""

    at: float = 0.0
    seconds: float | None = None
    times: int | None = 1
    venue: str = ""
    symbol: str = ""

    def record(self) -> dict[str, Any]:
        """Return the fault as JSON has it, without what is left at its default."""
        changed = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }
        return {"fault": type(self).__name__, **changed}


@dataclass(frozen=True, kw_only=True)
class Strike(Fault):
    """A fault that happens by itself when its time comes."""


# At the door of a stream.


@dataclass(frozen=True, kw_only=True)
class Refuse(Fault):
    """A connection is reset as soon as it is there; `times` of them, and each one is counted."""


@dataclass(frozen=True, kw_only=True)
class Unreachable(Strike):
    """Nobody listens for `seconds`: a real `connection refused`, which nobody can count."""

    door: str = "futures"


@dataclass(frozen=True, kw_only=True)
class NoHandshake(Fault):
    """The connection stays, and the hand-shake is never answered: a connect timeout."""


@dataclass(frozen=True, kw_only=True)
class HandshakeStatus(Fault):
    """The hand-shake is answered with a status such as 503, 429 or 403."""

    status: int = 503
    retry_after: int | None = None


# Of one connection; taken when it opens, or in its course.


@dataclass(frozen=True, kw_only=True)
class OfConnection(Fault):
    """A fault that stays with the connection it struck, after that many frames.

    With `seconds` it ends when they have passed.
    """

    after: int = 0


@dataclass(frozen=True, kw_only=True)
class CloseAtOnce(Fault):
    """The connection opens and is closed with this code."""

    code: int = 1000


@dataclass(frozen=True, kw_only=True)
class Silence(OfConnection):
    """No candle comes; messages are acknowledged or not, pings are answered."""

    acknowledge: bool = False


@dataclass(frozen=True, kw_only=True)
class HalfOpen(OfConnection):
    """The other side is gone, TCP does not know: nothing is read, answered or sent."""


@dataclass(frozen=True, kw_only=True)
class NoPongs(OfConnection):
    """Pings of the client are not answered; candles flow."""


@dataclass(frozen=True, kw_only=True)
class Drip(OfConnection):
    """Frames trickle: so many bytes, then a pause in real seconds."""

    size: int = 16
    pause: float = 0.01


@dataclass(frozen=True, kw_only=True)
class OldFrames(Fault):
    """The frames of the last `age` seconds come in a burst when a stream is asked for."""

    age: float = 4.0


# What strikes by itself.


@dataclass(frozen=True, kw_only=True)
class CloseAll(Strike):
    """Every connection is closed with this code: 1000, 1001, 1011 or 1012."""

    code: int = 1001
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class DropAll(Strike):
    """Every connection breaks without a closing frame."""


@dataclass(frozen=True, kw_only=True)
class Shutdown(Strike):
    """Spot says `serverShutdown`, and closes its connections `grace` seconds later."""

    grace: float = 10.0
    code: int = 1001


@dataclass(frozen=True, kw_only=True)
class Burst(Strike):
    """The closes of the last bars come at once, on every connection."""

    bars: int = 1440


@dataclass(frozen=True, kw_only=True)
class Quiet(Strike):
    """Nobody trades for `seconds`, from the next bar on."""

    seconds: float | None = 600.0


@dataclass(frozen=True, kw_only=True)
class ClockOff(Strike):
    """The local clock is so many seconds behind the exchange from now on (`Clock.local`)."""

    offset: float = 10.0


# Of a bar, where the stream tells of it.


@dataclass(frozen=True, kw_only=True)
class LateClose(Fault):
    """The closing frame comes `delay` seconds late, and nothing of the next bar before it."""

    delay: float = 2.0


@dataclass(frozen=True, kw_only=True)
class LostClose(Fault):
    """The closing frame never comes; the next bar does."""


@dataclass(frozen=True, kw_only=True)
class TwiceClose(Fault):
    """The closing frame comes twice."""


@dataclass(frozen=True, kw_only=True)
class CloseAfterNext(Fault):
    """The closing frame comes after the first frame of the next bar."""


@dataclass(frozen=True, kw_only=True)
class Corrected(Fault):
    """The closing frame comes again `delay` seconds later with another close, as REST then says."""

    delay: float = 1.0
    change: float = 0.01


@dataclass(frozen=True, kw_only=True)
class SkippedBar(Fault):
    """The stream tells nothing of a bar; REST has it, `hidden` seconds after its end."""

    hidden: float = 0.0


@dataclass(frozen=True, kw_only=True)
class NeverClosing(Fault):
    """The stream goes on telling of one bar that never closes, for `seconds` or for ever."""


@dataclass(frozen=True, kw_only=True)
class Poison(Fault):
    """A frame that no client should take comes before the next good one; `kind`: `poison.KINDS`."""

    kind: str = "not_json"


# Of REST.


@dataclass(frozen=True, kw_only=True)
class OfRest(Fault):
    """A fault of answers whose path holds this text."""

    path: str = ""


@dataclass(frozen=True, kw_only=True)
class RestStatus(OfRest):
    """A status such as 429, 418, 403 or 503 instead of the answer."""

    status: int = 503
    retry_after: int | None = None


@dataclass(frozen=True, kw_only=True)
class RestDown(OfRest):
    """The connection breaks instead of an answer; streams go on."""


@dataclass(frozen=True, kw_only=True)
class RestSlow(OfRest):
    """The answer takes so many real seconds."""

    delay: float = 2.0


@dataclass(frozen=True, kw_only=True)
class RestPage(OfRest):
    """A page of candles is wrong; `kind`: `pages.KINDS`."""

    path: str = "klines"
    kind: str = "empty"


KINDS: dict[str, type[Fault]] = {
    kind.__name__: kind
    for kind in (
        *(Refuse, Unreachable, NoHandshake, HandshakeStatus, CloseAtOnce, Silence, HalfOpen),
        *(NoPongs, Drip, OldFrames, CloseAll, DropAll, Shutdown, Burst, Quiet, ClockOff),
        *(LateClose, LostClose, TwiceClose, CloseAfterNext, Corrected, SkippedBar, NeverClosing),
        *(Poison, RestStatus, RestDown, RestSlow, RestPage),
    )
}
AnyFault = TypeVar("AnyFault", bound=Fault)


def from_record(record: dict[str, Any]) -> Fault:
    """Return the fault of a record, as `Fault.record` made it."""
    facts = dict(record)
    return KINDS[facts.pop("fault")](**facts)


@dataclass(slots=True)
class _Page:
    """A fault in the book: from when to when, and how often it may still strike."""

    fault: Fault
    start: float
    end: float | None
    left: int | None

    def meets(self, now: float, venue: str, symbol: str) -> bool:
        """Say whether it may strike here and now."""
        return (
            self.left != 0
            and self.start <= now
            and (self.end is None or now < self.end)
            and self.fault.venue in {"", venue}
            and self.fault.symbol in {"", symbol}
        )


class FaultBook:
    """The faults that may still strike."""

    def __init__(self) -> None:
        self._pages: dict[type[Fault], list[_Page]] = {}

    def add(self, fault: Fault, start: float) -> None:
        """Let a fault strike from `start` on."""
        lasts = isinstance(fault, OfConnection) or fault.seconds is None
        end = None if lasts else start + (fault.seconds or 0.0)
        page = _Page(fault, start, end, fault.times)
        self._pages.setdefault(type(fault), []).append(page)

    def clear(self) -> None:
        """Forget all faults; what struck a connection stays with it."""
        self._pages.clear()

    def take(
        self, kind: type[AnyFault], now: float, venue: str = "", symbol: str = "", **facts: Any
    ) -> AnyFault | None:
        """Return the fault of this kind that strikes here, if one does; it counts as struck.

        `frames` is how many frames the connection has seen, `path` the path of a REST call.
        """
        for page in self._pages.get(kind, ()):
            if page.meets(now, venue, symbol) and _fits(page.fault, facts):
                page.left = None if page.left is None else page.left - 1
                assert isinstance(page.fault, kind)
                return page.fault
        return None


def _fits(fault: Fault, facts: dict[str, Any]) -> bool:
    if isinstance(fault, OfConnection):
        return bool(facts.get("frames", 0) >= fault.after)
    return not isinstance(fault, OfRest) or fault.path in str(facts.get("path", ""))
