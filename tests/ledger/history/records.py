"""What happened in a run: what the writer committed, and what each client asked and heard.

Records only: nothing here knows what is right. Moments are nanoseconds of one monotonic clock.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from market.candles import Candle


class Missing(NamedTuple):
    """A stored instruction that was deleted by hand."""

    instruction_id: str
    visible_time: int


@dataclass(frozen=True, slots=True)
class State:
    """What the database holds of the series, as the writer knows it.

    Its candles are those of the epoch up to `candle_head`: an epoch ends where a candle came that
    was no newer than all others. Factors and drawings reach `ledger_head`, and are to be computed
    again from `dirty_from` on.
    """

    epoch: int = 0
    candle_head: int | None = None
    ledger_head: int | None = None
    dirty_from: int | None = None
    generation: int = 0
    missing: frozenset[Missing] = frozenset()

    @property
    def announced(self) -> int | None:
        """Up to where subscribers may see candles."""
        return None if self.dirty_from is not None else self.ledger_head


@dataclass(frozen=True, slots=True)
class Commit:
    """A state, and between which moments it came about."""

    state: State
    began: int
    ended: int


class Question(NamedTuple):
    """A read: the route and its query, without the series."""

    route: str
    query: tuple[tuple[str, int], ...]

    def get(self, name: str) -> int | None:
        """Return a part of the query, None where it was left out."""
        return dict(self.query).get(name)


class Reply(NamedTuple):
    """What a read is answered."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got for a read, and between which moments."""

    client: int
    question: Question
    sent: int
    came: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that a socket heard."""

    heard: int
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listening:
    """One subscription of a socket, from its wish to its end.

    From `ready` on it had its catch-up. One that stayed to the `end` of the run heard everything.
    """

    client: int
    since: int | None
    supports_batch: bool
    began: int
    ready: int
    stayed: bool
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class History:
    """All of a run. The first commit is the empty database; `epochs` hold their candles in full."""

    series_id: str
    epochs: tuple[tuple[Candle, ...], ...]
    commits: tuple[Commit, ...]
    answers: tuple[Answer, ...]
    listenings: tuple[Listening, ...]
    began: Sequence[int] = field(init=False)
    ended: Sequence[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "began", [commit.began for commit in self.commits])
        object.__setattr__(self, "ended", [commit.ended for commit in self.commits])

    def current_between(self, sent: int, came: int) -> range:
        """Return the numbers of the commits whose state was current at some moment in between.

        From the last one that had ended before, to the last one that had begun before the end.
        """
        return range(max(0, bisect_left(self.ended, sent) - 1), bisect_left(self.began, came))

    def begun_before(self, moment: int) -> list[State]:
        """Return the states that may have been seen before a moment, the newest first."""
        begun = self.commits[: bisect_left(self.began, moment)]
        return [commit.state for commit in reversed(begun)]

    def times(self, state: State) -> list[int]:
        """Return the times of the candles of a state."""
        head = -1 if state.candle_head is None else state.candle_head
        return [c.candle_time for c in self.epochs[state.epoch] if c.candle_time <= head]
