"""Tells the streams of the bars of the market, each in its time, with the faults of bars."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from market.series import timeframe_seconds
from tests.exchange.clock import Schedule
from tests.exchange.faults import (
    AnyFault,
    CloseAfterNext,
    Corrected,
    FaultBook,
    LateClose,
    LostClose,
    NeverClosing,
    SkippedBar,
    TwiceClose,
)
from tests.exchange.frames import Event, kline
from tests.exchange.log import Log
from tests.exchange.market import Bar, Listing, Market, Step, bucket
from tests.exchange.pages import INTERVALS

Intervals = Callable[[str, str], list[str]]
Tell = Callable[[Listing, str, Event], None]


@dataclass(slots=True)
class Told:
    """How far one symbol has been told, and what is wrong with it now."""

    skipped: int | None = None
    hushed_until: float = 0.0
    kept: tuple[int, Step] | None = None
    stuck: tuple[int, float | None] | None = None


@dataclass(slots=True)
class Player:
    """Turns bars into events for whoever listens.

    `intervals` says which intervals of a symbol anybody wants, `tell` hands over an event.
    """

    market: Market
    schedule: Schedule
    book: FaultBook
    log: Log
    intervals: Intervals
    tell: Tell
    _told: dict[tuple[str, str], Told] = field(default_factory=dict)

    def start(self) -> None:
        """Begin with the bars that form now."""
        now = self.schedule.clock.now()
        for listing in self.market.listings.values():
            self._told[listing.venue, listing.symbol] = Told()
            if listing.played:
                self._plan(now, listing, bucket(now, listing.interval))
                before = bucket(now, listing.interval) - listing.seconds
                self._plan_steps(now, listing, before)

    def events(self, listing: Listing, time: int, step: Step) -> list[tuple[str, Event]]:
        """Return what is told at this step, by interval.

        Where nobody traded nothing is told, but the close of a longer bar with trades before.
        """
        bar = listing.forming(time, step.share)
        if bar is None:
            return []
        wanted = self.intervals(listing.venue, listing.symbol)
        made = [i for i in wanted if i in INTERVALS and not timeframe_seconds(i) % listing.seconds]
        events = [(i, self._event(listing, i, bar, step)) for i in made]
        if bar.trades or listing.zero_frames:
            return events
        return [(i, event) for i, event in events if event["k"]["x"] and event["k"]["n"]]

    def recent(self, listing: Listing, since: float, now: float) -> list[tuple[int, Step]]:
        """Return the steps of a time that has passed, in order."""
        first = bucket(since, listing.interval) - listing.seconds
        times = range(first, int(now) + 1, listing.seconds)
        steps = [(time, step) for time in times for step in listing.steps(time)]
        return [(time, step) for time, step in steps if since <= step.due <= now]

    def _plan(self, due: float, listing: Listing, time: int) -> None:
        """Put the steps of a bar on the schedule, and the next bar after it."""
        self._plan_steps(due, listing, time)
        after = time + listing.seconds
        self.schedule.at(after, lambda then: self._plan(then, listing, after))

    def _plan_steps(self, now: float, listing: Listing, time: int) -> None:
        for step in listing.steps(time):
            if step.due > now:
                self.schedule.at(step.due, partial(self._play, listing, time, step))

    def _play(self, listing: Listing, time: int, step: Step, _: float) -> None:
        """Tell of a step, or let a fault have it; none is spent where nobody would hear."""
        if not self.events(listing, time, step):
            return
        told = self._told[listing.venue, listing.symbol]
        if self._skips(listing, time, step, told) or self._sticks(listing, time, step, told):
            return
        if step.final and self._keeps(listing, time, step, told):
            return
        if not step.final and step.due < told.hushed_until:
            return
        self._say(listing, time, step)
        if step.final:
            self._again(listing, time, step)
        elif told.kept is not None:
            late, kept = told.kept
            told.kept = None
            self._say(listing, late, kept._replace(due=step.due))

    def _skips(self, listing: Listing, time: int, step: Step, told: Told) -> bool:
        skip = self._take(SkippedBar, listing, step) if step.number == 0 else None
        if skip is not None:
            told.skipped = time
            listing.hide(time, time + listing.seconds + skip.hidden)
        return told.skipped == time

    def _sticks(self, listing: Listing, time: int, step: Step, told: Told) -> bool:
        """Tell of the bar that never closes instead of this step, if there is one."""
        fault = self._take(NeverClosing, listing, step) if told.stuck is None else None
        if fault is not None:
            told.stuck = (time, None if fault.seconds is None else step.due + fault.seconds)
        if told.stuck is None:
            return False
        stuck, until = told.stuck
        if until is not None and step.due >= until:
            told.stuck = None
            return False
        share = step.share if stuck == time else 1.0
        self._say(listing, stuck, step._replace(final=False, share=share))
        return True

    def _keeps(self, listing: Listing, time: int, step: Step, told: Told) -> bool:
        """Say whether the close of a bar is not told now: late, lost, or after the next bar."""
        if self._take(LostClose, listing, step):
            return True
        if late := self._take(LateClose, listing, step):
            told.hushed_until = step.due + late.delay
            later = step._replace(due=told.hushed_until)
            self.schedule.at(later.due, lambda _: self._say(listing, time, later))
            return True
        if self._take(CloseAfterNext, listing, step):
            told.kept = (time, step)
        return told.kept is not None

    def _again(self, listing: Listing, time: int, step: Step) -> None:
        """Tell of a close once more where a fault wants it."""
        if self._take(TwiceClose, listing, step):
            self._say(listing, time, step)
        if fault := self._take(Corrected, listing, step):
            later = step._replace(due=step.due + fault.delay)
            self.schedule.at(later.due, lambda _: self._correct(listing, time, later, fault))

    def _correct(self, listing: Listing, time: int, step: Step, fault: Corrected) -> None:
        bar = listing.bar(time)
        assert bar is not None
        close = round(bar.close * (1 + fault.change), listing.price_places)
        listing.correct(time, close)
        self._say(listing, time, step)

    def _say(self, listing: Listing, time: int, step: Step) -> None:
        for interval, event in self.events(listing, time, step):
            self.tell(listing, interval, event)

    def _event(self, listing: Listing, interval: str, bar: Bar, step: Step) -> Event:
        longer = listing.merged(interval, bar.time, bar) if interval != listing.interval else bar
        ends = bucket(bar.time + listing.seconds, interval) != longer.time
        event_ms = int(step.due * 1000)
        return kline(listing, interval, longer, event_ms, final=step.final and ends)

    def _take(self, kind: type[AnyFault], listing: Listing, step: Step) -> AnyFault | None:
        fault = self.book.take(kind, step.due, listing.venue, listing.symbol)
        if fault is not None:
            self.log.strikes(fault, step.due, listing.venue, symbol=listing.symbol)
        return fault
