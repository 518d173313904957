"""What one series of a socket has heard, and what it still needs. Imports no framework.

Pure: it is told what came and what time it is, and says what to commit, to publish and to ask for.
All times are seconds: `now` by the exchange's clock, `tick` by one that never jumps.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from itertools import pairwise

from ingest.binance import KlineFrame
from market.candles import Candle, Candles
from market.closing import expected_closed_time
from market.series import SeriesId

MOST_BUFFERED = 10_000
CLOSE_PATIENCE = 5.0
CLOSE_RETRIES = (5.0, 10.0, 20.0)
HOLE_TRIES = 3
MOST_ASKED_AGAIN = 500
HOLE_RETRY, HOLE_RETRY_LATER, HOLE_SOON = 60.0, 3600.0, 3600.0
EMPTY = "empty at the exchange"
MOST_BAD_FRAMES, BAD_FRAME_WINDOW = 20, 60.0


@dataclass(slots=True)
class Hole:
    """Missing candles [start, end], and when to ask for them again."""

    start: int
    end: int
    since: float
    state: str = "unknown"
    tries: int = 0
    next_try: float = 0.0

    def failed(self, tick: float) -> None:
        """Note a try in vain: again in a minute, after an hour only once an hour."""
        self.tries += 1
        self.state = "unknown"
        soon = tick - self.since < HOLE_SOON
        self.next_try = tick + (HOLE_RETRY if soon else HOLE_RETRY_LATER)


@dataclass(slots=True)
class SeriesFeed:
    """One series on a socket.

    `head` is the newest candle known to be stored, `heard_close` the newest whose close the stream
    told. Closed candles wait in `buffer`, by time, until they are committed; what is equal to a
    committed candle changes nothing, so nothing is dropped. `is_proven` since it connected: its
    circuit knows that it works; `is_troubled`: its job shows a failure that is not over.
    """

    series: SeriesId
    head: int | None = None
    buffer: dict[int, Candle] = field(default_factory=dict)
    holes: list[Hole] = field(default_factory=list)
    frames: int = 0
    last_frame: float | None = None
    since: float = 0.0
    missed_trades: bool = False
    retry_at: float = 0.0
    is_filled: bool = False
    is_proven: bool = False
    is_troubled: bool = False
    forming: Candle | None = None
    heard_close: int | None = None
    _published: tuple[int, float] | None = None
    _asked_for: int | None = None
    _asks: int = 0
    _ask_at: float = 0.0
    _bad: deque[float] = field(default_factory=deque)
    _tried: dict[tuple[int, int], int] = field(default_factory=dict)

    def connected(self, tick: float) -> None:
        """Begin anew on another socket; what waits to be committed stays."""
        self.subscribed(tick)
        self.last_frame = self.forming = None
        self.is_proven = self.is_troubled = False
        self._bad.clear()

    def subscribed(self, tick: float) -> None:
        """Listen to the same series anew."""
        self.since = tick
        self.frames = 0
        self.is_filled = self.missed_trades = False

    def hear(self, frame: KlineFrame, tick: float) -> None:
        """Take a frame: a closed candle waits to be committed, a forming one to be published."""
        self.frames += 1
        self.last_frame = tick
        self.missed_trades = False
        if frame.is_closed:
            self.heard_close = max(self.heard_close or 0, frame.candle.candle_time)
            self.keep([frame.candle])
        elif self._is_ahead(frame.candle.candle_time):
            self.forming = frame.candle

    def keep(self, candles: list[Candle]) -> None:
        """Let closed candles wait; beyond the bound the oldest are left for REST to bring."""
        for candle in candles:
            self.buffer[candle.candle_time] = candle
        while len(self.buffer) > MOST_BUFFERED:
            del self.buffer[min(self.buffer)]

    def brought(self, candles: Candles) -> None:
        """Keep what REST brought; trades among it that no frame showed speak against the stream."""
        self.missed_trades = self.missed_trades or bool((candles.volume > 0).any())
        self.keep(candles.rows())

    def is_silent(self, tick: float) -> bool:
        """Say whether the stream sent nothing for longer than a live one may."""
        return tick - max(self.last_frame or 0.0, self.since) > self.patience

    def _is_ahead(self, time: int) -> bool:
        newest = max([self.head or 0, *self.buffer])
        return time > newest

    def reject(self, tick: float) -> bool:
        """Count a bad frame; say whether there were too many of them lately."""
        self._bad.append(tick)
        while self._bad[0] < tick - BAD_FRAME_WINDOW:
            self._bad.popleft()
        return len(self._bad) > MOST_BAD_FRAMES

    def to_publish(self, tick: float, interval: float) -> Candle | None:
        """Return the forming candle if it is time to show it: the newest value wins."""
        candle = self.forming
        if candle is None or not self._is_ahead(candle.candle_time):
            return None
        if self._published is not None:
            time, at = self._published
            if time == candle.candle_time and tick - at < interval:
                return None
        self._published = (candle.candle_time, tick)
        self.forming = None
        return candle

    def fill_from(self) -> int | None:
        """Return from where a fill begins, None for a series without candles.

        It asks again for the newest close that the stream told and for what came by other ways
        since: a correction of those may have been missed.
        """
        if self.head is None:
            return None
        earliest = self.head - MOST_ASKED_AGAIN * self.series.seconds
        return max(earliest, min(self.head, self.heard_close or self.head))

    def hole_before(self) -> tuple[int, int] | None:
        """Return the first and last time missing between the head and what waits, if any."""
        ahead = [time for time in self.buffer if self.head is not None and time > self.head]
        if self.head is None or not ahead:
            return None
        first, expected = min(ahead), self.head + self.series.seconds
        return (expected, first - self.series.seconds) if first > expected else None

    def is_ready(self, tick: float) -> bool:
        """Say whether what waits may be committed: no hole before it is still to be asked for."""
        hole = self.hole_before()
        tried = hole is None or self._tried.get(hole, 0) >= HOLE_TRIES
        return bool(self.buffer) and self.is_filled and tried and tick >= self.retry_at

    def hole_tried(self, hole: tuple[int, int], tick: float) -> None:
        """Note that a hole was asked for in vain; after three times it is recorded instead."""
        self._tried[hole] = self._tried.get(hole, 0) + 1
        if self._tried[hole] == HOLE_TRIES:
            self.record(*hole, tick)

    def record(self, start: int, end: int, tick: float, state: str = "unknown") -> None:
        """Keep a hole as a fact, to be asked for again in a minute; it takes in those it meets."""
        met = [hole for hole in self.holes if hole.start <= end and start <= hole.end]
        if any(hole.start <= start and end <= hole.end for hole in met):
            return
        start = min([start, *(hole.start for hole in met)])
        end = max([end, *(hole.end for hole in met)])
        self.holes = [hole for hole in self.holes if hole not in met]
        self.holes.append(Hole(start, end, tick, state, next_try=tick + HOLE_RETRY))

    def hole_to_ask(self, tick: float) -> Hole | None:
        """Return a recorded hole that it is time to ask for again, if any."""
        return next((hole for hole in self.holes if tick >= hole.next_try), None)

    def asked_again(self, hole: Hole, end: int, stored: Candles, tick: float) -> None:
        """Note what is stored of the part of a hole up to `end`, now that the exchange was asked.

        What is not stays a hole, one for each run of missing candles; the rest comes at once.
        """
        seconds = self.series.seconds
        edges = [hole.start - seconds, *stored.time.tolist(), end + seconds]
        empty = [
            replace(hole, start=before + seconds, end=after - seconds, state=EMPTY)
            for before, after in pairwise(edges)
            if after - before > seconds
        ]
        rest = (
            [replace(hole, start=end + seconds, tries=0, next_try=tick)] if end < hole.end else []
        )
        self.holes = [other for other in self.holes if other is not hole] + empty + rest

    def pending(self) -> Candles:
        """Return what waits to be committed, ascending."""
        return Candles.from_rows([self.buffer[time] for time in sorted(self.buffer)])

    def committed(self, candles: Candles) -> None:
        """Forget what is stored now, unless another value came meanwhile."""
        for candle in candles.rows():
            if self.buffer.get(candle.candle_time) == candle:
                del self.buffer[candle.candle_time]
            self.head = max(self.head or 0, candle.candle_time)

    def overdue(self, now: float, tick: float) -> int | None:
        """Return the newest candle that should have closed and did not, when it is time to ask.

        It is asked for five seconds after its end, then after 5, 10 and 20 more, then every 20.
        """
        due = expected_closed_time(now - CLOSE_PATIENCE, self.series.seconds)
        if self.head is None or not self._is_ahead(due):
            return None
        if self._asked_for != due:
            self._asked_for, self._asks, self._ask_at = due, 0, tick
        if tick < self._ask_at:
            return None
        self._ask_at = tick + CLOSE_RETRIES[min(self._asks, len(CLOSE_RETRIES) - 1)]
        self._asks += 1
        return due

    @property
    def has_caught_up(self) -> bool:
        """Whether all that the exchange had closed is stored, but for what it does not have."""
        is_whole = all(hole.state == EMPTY for hole in self.holes)
        return self.is_filled and is_whole and not self.buffer

    @property
    def patience(self) -> float:
        """For how long a live series may send nothing before somebody asks why."""
        return min(300.0, max(90.0, 1.5 * self.series.seconds))
