"""Random candles, and random stories of how they come into a ledger and what befalls it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from unittest.mock import patch

from django.db import connection
from django.test import override_settings
from hypothesis import strategies as st

from factors.engine.plugins.anchor import Anchor
from factors.engine.plugins.pen import Pen
from factors.engine.plugins.pivot import Pivot
from factors.engine.plugins.zhongshu import Zhongshu
from factors.models import FactorEvent, FactorHeadSnapshot
from ingest import pipeline
from ledger.advance import IngestPipelineError
from ledger.models import LedgerHead, OverlayInstructionVersion
from ledger.rebuild import series_rebuild
from ledger.recovery import recover
from ledger.repair import ReadRepairService
from ledger.replay import ReplayPrepareService
from ledger.sync import LedgerSyncService
from ledger.warmup import MarketLedgerWarmupService
from market.candles import Candle, Candles
from tests.ledger.reading import SERIES, START
from tests.ledger.stored import Killed, failing, restart

MOST = 150


@dataclass
class World:
    """The right candles, and how far they are known: those still to come, and those sent wrong."""

    candles: list[Candle]
    left: list[int] = field(default_factory=list)
    wrong: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.left = list(range(len(self.candles)))

    @property
    def is_begun(self) -> bool:
        """Whether a candle is stored."""
        return LedgerHead.objects.filter(candle_head__isnull=False).exists()

    def to_come(self, first: int, count: int) -> list[int]:
        """Return so many of the candles that are still to come."""
        start = first % len(self.left) if self.left else 0
        return self.left[start : start + count]

    def known(self, first: int, count: int) -> list[int]:
        """Return so many of the candles that have come."""
        came = sorted({*range(len(self.candles))} - {*self.left})
        start = first % len(came) if came else 0
        return came[start : start + count]

    def send(self, chosen: list[int]) -> None:
        """Send these candles in this order, as they should be; an error rises afterwards."""
        if not chosen:
            return
        try:
            pipeline.run_sync({SERIES: Candles.from_rows(self.candles[n] for n in chosen)})
        finally:
            self.note(chosen)

    def note(self, chosen: list[int]) -> None:
        """Note that these candles are stored as they should be."""
        self.left = [n for n in self.left if n not in set(chosen)]
        self.wrong -= set(chosen)

    def finish(self) -> None:
        """Send all that is missing or wrong, and let the recovery sweep have a turn."""
        self.send(sorted({*self.left, *self.wrong}))
        assert recover() == []


class Happening(Protocol):
    """One thing that befalls a ledger."""

    def act(self, world: World) -> None:
        """Let it happen."""


@dataclass(frozen=True)
class Arrive:
    """Some of the candles to come arrive in one run, in their order or turned about."""

    first: int
    count: int
    turned: bool = False

    def act(self, world: World) -> None:
        """Let it happen."""
        world.send(world.to_come(self.first, self.count)[:: -1 if self.turned else 1])


@dataclass(frozen=True)
class Again:
    """Candles that have come are sent once more."""

    first: int
    count: int

    def act(self, world: World) -> None:
        """Let it happen."""
        world.send(world.known(self.first, self.count))


@dataclass(frozen=True)
class Wrong:
    """A candle, known or not, is sent with other numbers; later it is corrected."""

    number: int
    factor: float

    def act(self, world: World) -> None:
        """Let it happen."""
        number = self.number % len(world.candles)
        right = world.candles[number]
        odd = right._replace(high=right.high * self.factor, close=right.close * self.factor)
        pipeline.run_sync({SERIES: Candles.from_rows([odd])})
        world.note([number])
        world.wrong.add(number)


@dataclass(frozen=True)
class Under:
    """Candles arrive while something is switched off or other rules hold."""

    setting: tuple[str, Any]
    arrival: Arrive

    def act(self, world: World) -> None:
        """Let it happen."""
        with override_settings(**dict([self.setting])):
            self.arrival.act(world)


@dataclass(frozen=True)
class Broken:
    """Candles arrive while a rule raises."""

    part: tuple[type[Any], str]
    arrival: Arrive

    def act(self, world: World) -> None:
        """Let it happen; the candles stay."""
        with patch.object(*self.part, failing):
            try:
                self.arrival.act(world)
            except IngestPipelineError:
                return


@dataclass(frozen=True)
class Kill:
    """The process is killed at a statement of a run, and starts anew."""

    statement: int
    arrival: Arrive

    def act(self, world: World) -> None:
        """Let it happen; the sender keeps what was not acknowledged."""
        left, wrong, seen = list(world.left), set(world.wrong), [0]

        def execute(run: Callable[..., Any], *statement: Any) -> Any:
            seen[0] += 1
            if seen[0] == self.statement:
                raise Killed
            return run(*statement)

        try:
            with connection.execute_wrapper(execute):
                self.arrival.act(world)
        except Killed:
            world.left, world.wrong = left, wrong
            restart()


@dataclass(frozen=True)
class Damage:
    """A stored row is changed or deleted by hand, and what was drawn or computed is mended."""

    damage: tuple[type[Any], dict[str, Any]]
    row: int

    def act(self, world: World) -> None:
        """Let it happen."""
        table, change = self.damage
        rows = table.objects.order_by("pk")
        if not rows:
            return
        damaged = table.objects.filter(pk=rows[self.row % len(rows)].pk)
        if change:
            damaged.update(**change)
        else:
            damaged.delete()
        if table is OverlayInstructionVersion:
            ReadRepairService().repair_overlay(series_id=SERIES)
        else:
            series_rebuild(SERIES)


@dataclass(frozen=True)
class Do:
    """Something that people or processes do with a ledger at any time."""

    what: str

    def act(self, world: World) -> None:
        """Let it happen, once there is a ledger."""
        if world.is_begun:
            DEEDS[self.what]()


DEEDS: dict[str, Callable[[], Any]] = {
    "restart": restart,
    "repair": lambda: ReadRepairService().repair_overlay(series_id=SERIES),
    "rebuild": lambda: series_rebuild(SERIES),
    "refresh": lambda: LedgerSyncService().refresh(SERIES, 2**62),
    "prepare": lambda: ReplayPrepareService().prepare(series_id=SERIES),
    "warm up": lambda: MarketLedgerWarmupService().ensure_ledgers_warm(SERIES, START),
    "recover": recover,
}
DAMAGES: list[tuple[type[Any], dict[str, Any]]] = [
    (OverlayInstructionVersion, {}),
    (OverlayInstructionVersion, {"def_json": "{}"}),
    (FactorEvent, {}),
    (FactorEvent, {"payload_json": "{}"}),
    (FactorHeadSnapshot, {}),
    (FactorHeadSnapshot, {"state": b""}),
    (FactorHeadSnapshot, {"digest": b""}),
]
SWITCHES = [
    ("TRADE_CANVAS_ENABLE_OVERLAY_INGEST", False),
    ("TRADE_CANVAS_ENABLE_FACTOR_INGEST", False),
    ("TRADE_CANVAS_PIVOT_WINDOW_MAJOR", 4),
]
PARTS = [(factor, "step") for factor in (Pivot, Pen, Zhongshu, Anchor)] + [(Pivot, "marks")]

places = st.integers(0, MOST - 1)
# Most candles come in order: a late one has much computed again, which mends what was wrong.
nexts = st.one_of(st.just(0), st.just(0), st.just(0), places)
arrivals = st.builds(Arrive, nexts, st.sampled_from([1, 2, 5, 20, MOST]), st.booleans())
happenings = st.one_of(
    arrivals,
    arrivals,
    st.builds(Again, places, st.sampled_from([1, 3, MOST])),
    st.builds(Wrong, places, st.sampled_from([0.5, 1.5, 40.0])),
    st.builds(Under, st.sampled_from(SWITCHES), arrivals),
    st.builds(Broken, st.sampled_from(PARTS), arrivals),
    st.builds(Kill, st.integers(1, 25), arrivals),
    st.builds(Damage, st.sampled_from(DAMAGES), places),
    st.builds(Do, st.sampled_from(sorted(DEEDS))),
)
stories: st.SearchStrategy[list[Happening]] = st.lists(happenings, min_size=1, max_size=12)
windows = st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (50, 5)])


@st.composite
def walks(draw: st.DrawFn) -> list[Candle]:
    """Draw a random walk: with gaps, dojis, plateaus and outside bars, of any magnitude."""
    size = draw(st.sampled_from([1e-8, 0.1, 1.0, 64_000.0, 1e12]))
    kinds = st.sampled_from(["bar", "doji", "flat", "outside", "after a gap"])
    moves = st.tuples(st.integers(-4, 4), kinds)
    time, price, candles = START - 60, 50, []
    for change, kind in draw(st.lists(moves, min_size=40, max_size=MOST)):
        time += 180 if kind == "after a gap" else 60
        opened = price
        price = max(5, price + (0 if kind in {"doji", "flat"} else change))
        reach = {"flat": 0, "outside": 4}.get(kind, 1)
        high, low = max(opened, price) + reach, min(opened, price) - reach
        candles.append(
            Candle(time, opened * size, high * size, low * size, price * size, float(reach))
        )
    return candles
