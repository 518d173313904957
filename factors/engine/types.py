"""What a factor is, what it gives and what it may look at. Imports no framework.

A factor is one file in `factors.engine.plugins`: it declares what it needs, its parameters, its
state and its kinds of events, and says how one closed candle after the other changes the state
(`step`), what may still change (`head`) and what is drawn (`marks`, `draw`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import orjson
from numpy.typing import NDArray

from market.candles import Candles

Json = dict[str, Any]
State = Any
"""The state of one factor: by default one record of its `state_dtype`, a numpy array of shape (1,);
a factor that overrides `start`, `dump` and `load` may use anything that `step` changes in place."""
Records = Mapping[str, NDArray[np.void]]
"""Structured arrays by name. Each row holds the `ordinal` of the candle that made it visible."""
Number = int | float
Params = Mapping[str, Number]
"""Numbers by name. `step` gets the factor's own parameters, those of the factors it needs, as in
`pivot.window_major`, and `seconds`, the length of one candle."""


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of a factor; where the default is whole, so are all values."""

    name: str
    default: Number
    minimum: Number
    maximum: Number | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that a factor draws. Polylines of a low `layer` come first in a patch."""

    key: str
    label: str
    default_visible: bool = True
    layer: int = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of event: its columns, and how a row becomes a key and a payload.

    `dtype` begins with `ordinal` and `visible_time`; it may hold columns that only other factors
    read and no payload shows, and object columns for what does not fit a number. `history` names
    the list of these payloads in a slice.
    """

    name: str
    history: str
    dtype: np.dtype[np.void]
    key: Callable[[Json], str]
    payload: Callable[[Json], Json]


@dataclass(frozen=True, slots=True)
class Provisional:
    """A part of a factor's head that the next candle may change, named as clients know it.

    Declared, because no name can be made from the head's: `anchor.current` is the part
    `current_anchor_ref`. The part is an object, or a list of at most one. An event of `kind` that
    agrees with it in all of `same` states it for good.
    """

    name: str
    part: str
    kind: str = ""
    same: tuple[str, ...] = ()

    def of(self, head: Json) -> Json | None:
        """Return this part of a head as slices show it, or None."""
        found: Json | list[Json] | None = head.get(self.part)
        return next(iter(found), None) if isinstance(found, list) else found

    def is_stated(self, thing: Json, payloads: Iterable[Json]) -> bool:
        """Say whether one of the payloads of `kind` states what this part was."""
        return any(all(p[name] == thing[name] for name in self.same) for p in payloads)


@dataclass(frozen=True, slots=True)
class FactorEvent:
    """A fact that became known with the candle of this ordinal, and is never edited.

    `seq` is its place among the events of that candle.
    """

    ordinal: int
    seq: int
    candle_time: int
    factor: str
    kind: str
    event_key: str
    payload: Json


@dataclass(frozen=True)
class StoredEvent:
    """An event as the ledger keeps it: the payload is the stored text, parsed when asked for."""

    kind: str
    candle_time: int
    text: str

    @cached_property
    def payload(self) -> Json:
        """The payload, parsed once."""
        payload: Json = orjson.loads(self.text)
        return payload


@dataclass(frozen=True, slots=True)
class Instruction:
    """One thing to draw: a `marker` or a `polyline` (`GET /api/draw/delta`)."""

    instruction_id: str
    kind: str
    visible_time: int
    definition: Json


@dataclass(frozen=True, slots=True)
class View:
    """What a factor may look at when it shows itself at the closed candle `at_time`.

    `history` holds, by kind, the events that became visible in [from_time, at_time], in ledger
    order; `heads` the shown heads of the factors before it. States and heads know the whole past.
    """

    at_time: int
    from_time: int
    states: Mapping[str, State]
    history: Mapping[str, Sequence[StoredEvent]]
    heads: Mapping[str, Json]

    def payloads(self, kind: str) -> list[Json]:
        """Return the payloads of one kind, in ledger order."""
        return [event.payload for event in self.history.get(kind, ())]


class Factor:
    """The base of every factor. Subclasses declare the class values and override the methods."""

    name: ClassVar[str]
    label: ClassVar[str]
    default_on: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()
    params: ClassVar[tuple[Param, ...]] = ()
    features: ClassVar[tuple[Feature, ...]] = ()
    kinds: ClassVar[tuple[Kind, ...]] = ()
    provisional: ClassVar[tuple[Provisional, ...]] = ()
    state_version: ClassVar[int] = 1
    state_dtype: ClassVar[np.dtype[np.void]]

    def start(self) -> State:
        """Return the state before the first candle."""
        state: State = np.zeros(1, self.state_dtype)
        return state

    def dump(self, state: State) -> bytes:
        """Return the state as bytes, to be stored beside `state_version`."""
        blob: bytes = state.tobytes()
        return blob

    def load(self, blob: bytes) -> State:
        """Return the state that `dump` wrote."""
        return np.ndarray(1, self.state_dtype, bytearray(blob))

    def lookback(self, params: Params) -> int:
        """Return how many candles before a new one `step` reads at most.

        `params` are as `step` gets them, without `seconds`.
        """
        return 0

    def reads_from(self, state: State, count: int, params: Params) -> int:
        """Return the ordinal from which `step` still reads candles, `count` being the next one."""
        return max(0, count - self.lookback(params))

    def step(
        self, state: State, candles: Candles, new_from: int, upstream: Records, params: Params
    ) -> dict[str, NDArray[np.void]]:
        """Take the candles from row `new_from` on; change `state`, return the new records.

        One candle or a million at once give the same. `upstream` holds the records that the
        needed factors gave for the same candles. Records named after a kind are events.
        """
        raise NotImplementedError

    def head(self, state: State, now: int) -> Json | None:
        """Return what may still change, as of the candle `now`; None: no head yet."""
        return None

    def shown(self, state: State, view: View) -> Json:
        """Return the head as a slice shows it, given the heads before it."""
        return self.head(state, view.at_time) or {}

    def appears(self, view: View) -> bool:
        """Say whether a slice of the view's window lists this factor."""
        return any(view.history.get(kind.name) for kind in self.kinds)

    def history(self, view: View) -> Json:
        """Return the lists of a slice's history."""
        return {
            kind.history: [orjson.Fragment(e.text) for e in view.history.get(kind.name, ())]
            for kind in self.kinds
        }

    def marks(self, kind: str, payload: Json) -> list[Instruction]:
        """Return what is drawn for ever once this event is visible."""
        return []

    def draw(self, view: View) -> list[Instruction]:
        """Return what is drawn at the view's time and may change with the next candle."""
        return []


def polyline(
    feature: str, at_time: int, points: list[tuple[int, float]], look: Json, name: str = ""
) -> Instruction:
    """Return a line through (time, price) points; its id defaults to the feature."""
    shape = [{"time": time, "value": value} for time, value in points]
    definition = {"type": "polyline", "feature": feature, "points": shape} | look
    return Instruction(name or feature, "polyline", at_time, definition)
