"""What one socket still has to hear of one series. Decides, sends nothing; knows no framework."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Protocol

from market import messages
from market.candles import Candle
from market.closing import closed_time
from market.messages import Frame
from market.series import SeriesId

MOST_NEWS = 32


class Run:
    """Closed candles of a series, ascending; each frame is encoded once for all sockets."""

    def __init__(self, series: SeriesId, candles: Sequence[Candle]) -> None:
        self.series = series
        self.candles = candles

    @cached_property
    def batch(self) -> Frame:
        """One frame with all candles."""
        return messages.candles_batch(str(self.series), self.candles)

    @cached_property
    def singles(self) -> list[Frame]:
        """One frame for each candle."""
        return [messages.candle_closed(str(self.series), candle) for candle in self.candles]

    @property
    def first(self) -> int:
        """The time of the first candle."""
        return self.candles[0].candle_time

    @property
    def last(self) -> int:
        """The time of the last candle."""
        return self.candles[-1].candle_time

    @cached_property
    def is_whole(self) -> bool:
        """Whether each candle comes one timeframe after the one before."""
        seconds = self.series.seconds
        times = (candle.candle_time for candle in self.candles)
        return all(later - earlier == seconds for earlier, later in pairwise(times))

    def frames(self, *, batch: bool) -> list[Frame]:
        """Return the frames of all candles, for a socket that takes batches or not."""
        return [self.batch] if batch and len(self.candles) > 1 else self.singles

    def after(self, time: int | None) -> "Run":
        """Return the run without the candles up to `time`."""
        if time is None or not self.candles or self.candles[0].candle_time > time:
            return self
        start = bisect_right(self.candles, time, key=lambda candle: candle.candle_time)
        return Run(self.series, self.candles[start:])


@dataclass(frozen=True, slots=True)
class AnnouncedHead:
    """Up to where a series may be shown, and how often its history was altered."""

    time: int | None
    generation: int


@dataclass(frozen=True, slots=True)
class News:
    """An announced head and, where they came along, the candles that led to it."""

    head: AnnouncedHead
    run: Run | None = None


class Socket(Protocol):
    """What a subscription needs of its socket."""

    def pass_on(self, frames: Sequence[Frame]) -> bool:
        """Send frames at once, unless something else is to go out before: then False."""

    def wake(self, subscription: "Subscription") -> None:
        """Let the subscription be served soon."""


class Subscription:
    """One socket's view of one series.

    `last_sent` is the time of the last closed candle that it got, or claimed to have. News wait
    in `news`, only so many: when there are more, the candles are let go and read again later.
    `gap` is the first and last time of the newest gap that it was told of.
    """

    def __init__(self, wish: messages.Subscribe, now: float, socket: Socket) -> None:
        self.series = wish.series
        self.series_id = str(wish.series)
        self.seconds = wish.series.seconds
        self.supports_batch = wish.supports_batch
        self.last_sent = None if wish.since is None else closed_time(wish.since, now, self.seconds)
        self.generation = 0
        self.knows_generation = False
        self.caught_up = False
        self.waits = False
        self.news: deque[News] = deque()
        self.gap: tuple[int, int] | None = None
        self._forming: tuple[int, Frame] | None = None
        self._socket = socket

    def go_on_from(self, before: "Subscription") -> None:
        """Keep the generation that the socket knew, so that it still hears of a later one."""
        self.generation, self.knows_generation = before.generation, before.knows_generation

    def begin_with(self, generation: int) -> None:
        """Take the generation for what the socket knows, unless it knows one already."""
        if not self.knows_generation:
            self.generation, self.knows_generation = generation, True

    def offer(self, news: News) -> None:
        """Let the socket send what just goes on at once; keep other news, and wake it."""
        if self._is_passed_on(news):
            return
        if len(self.news) >= MOST_NEWS:
            self.news.clear()
            news = replace(news, run=None)
        self.news.append(news)
        self._socket.wake(self)

    def _is_passed_on(self, news: News) -> bool:
        run = news.run
        if run is None or not self._just_goes_on(news.head, run):
            return False
        if not self._socket.pass_on(run.frames(batch=self.supports_batch)):
            return False
        self.last_sent = run.last
        return True

    def _just_goes_on(self, head: AnnouncedHead, run: Run) -> bool:
        """Say whether these candles are all that the socket lacks, and nothing else waits."""
        return (
            self._is_idle()
            and self.last_sent == run.first - self.seconds
            and run.last == head.time
            and run.is_whole
            and head.generation <= self.generation
        )

    def _is_idle(self) -> bool:
        return self.caught_up and not self.news and self._forming is None

    def offer_forming(self, time: int, frame: Frame) -> None:
        """Let the socket send a candle that still forms at once; else keep the newest one."""
        is_news = self.last_sent is None or time > self.last_sent
        if self._is_idle() and is_news and self._socket.pass_on([frame]):
            return
        self._forming = (time, frame)
        self._socket.wake(self)

    def forming(self) -> Iterator[Frame]:
        """Return the frame of the candle that forms now, unless its close was sent."""
        waiting, self._forming = self._forming, None
        if waiting is not None and (self.last_sent is None or waiting[0] > self.last_sent):
            yield waiting[1]

    def is_behind(self, head: AnnouncedHead, now: float) -> bool:
        """Say whether the socket has something to hear, and nothing waits for it yet."""
        if self.news:
            return False
        return head.generation > self.generation or self.target(head, now) is not None

    def target(self, head: AnnouncedHead, now: float) -> int | None:
        """Return the time up to which candles are missing, or None."""
        if head.time is None:
            return None
        latest = closed_time(head.time, now, self.seconds)
        return latest if self.last_sent is None or latest > self.last_sent else None

    def follows(self, run: Run) -> bool:
        """Say whether the run goes on, without a hole, where the socket stands."""
        fresh = run.after(self.last_sent)
        return (
            self.last_sent is not None
            and bool(fresh.candles)
            and fresh.candles[0].candle_time == self.last_sent + self.seconds
            and fresh.is_whole
        )

    def catch_up(self, run: Run) -> Iterator[Frame]:
        """Return the first frames after a subscribe; holes inside are not reported."""
        yield from self._jump_to(run.candles[0].candle_time)
        self.last_sent = run.candles[-1].candle_time
        yield from [run.batch] if self.supports_batch else run.singles

    def go_on(self, run: Run) -> Iterator[Frame]:
        """Return the frames for candles that came later; what was sent is left out."""
        fresh = run.after(self.last_sent)
        if not fresh.candles:
            return
        if self.supports_batch and len(run.candles) > 1:
            yield from self._jump_to(fresh.candles[0].candle_time)
            self.last_sent = fresh.candles[-1].candle_time
            yield fresh.batch
            return
        for candle, frame in zip(fresh.candles, fresh.singles, strict=True):
            yield from self._jump_to(candle.candle_time)
            self.last_sent = candle.candle_time
            yield frame

    def altered(self, generation: int) -> Iterator[Frame]:
        """Return the frame that says that history changed, once for each time it did."""
        if generation > self.generation:
            self.generation = generation
            yield messages.factors_rebuilt(self.series_id)

    def _jump_to(self, time: int) -> Iterator[Frame]:
        """Return the gap before a candle, if there is one; a cursor of 0 claims nothing."""
        if self.last_sent is not None and 0 < self.last_sent < time - self.seconds:
            self.gap = (self.last_sent + self.seconds, time - self.seconds)
            yield messages.gap(self.series_id, self.last_sent + self.seconds, time)
