"""What truly happens at the exchange: bars of each symbol, their values while they form.

All of it follows from the seed and the rows, so two markets made alike are alike to the byte.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple, Self

from market.candles import Candle
from market.series import timeframe_seconds

QUICK_CLOSE, LATE_CLOSE = (0.15, 0.8), 2.004  # seconds after the end, as recorded
LATE_SHARE = 0.25
BREATH = 0.3  # no two frames of a symbol are closer, as recorded


class Bar(NamedTuple):
    """One candle with its trades; `first_trade` is the id its first trade has or would have."""

    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote: float
    first_trade: int
    trades: int


class Step(NamedTuple):
    """A moment at which the exchange tells of a bar: which part of its trades has happened."""

    due: float
    number: int
    share: float
    final: bool


def walk(
    seed: str, start: int, *, seconds: int = 60, price: float = 100.0, idle: float = 1 / 12
) -> Iterator[Candle]:
    """Yield the candles of a random walk for ever.

    A share of them is `idle`, without a trade; now and then one opens away from the close before.
    """
    dice = random.Random(seed)  # noqa: S311 (a walk that can be repeated)
    for time in count(start, seconds):
        if dice.random() < idle:
            yield Candle(time, price, price, price, price, 0.0)
            continue
        jump = dice.uniform(-0.3, 0.3) if dice.random() < 0.1 else 0.0
        first = max(1.0, price + jump)
        last = max(1.0, first + dice.uniform(-0.8, 0.8))
        high = max(first, last) + dice.uniform(0, 0.4)
        low = max(0.5, min(first, last) - dice.uniform(0, 0.4))
        first, high, low, last = (round(value, 2) for value in (first, high, low, last))
        yield Candle(time, first, high, low, last, round(dice.uniform(0.001, 90), 3))
        price = last


@dataclass(slots=True)
class Listing:
    """One symbol of one market: its base bars, as far as anybody has asked for them.

    `rows` are its candles in order; a time that is left out has no candle at this exchange, and
    after the last row nobody trades. With `zero_frames` the stream tells of a bar without a trade
    when it closes, without only REST does. `played` False: the frames come from a recording.
    """

    venue: str
    symbol: str
    rows: Iterable[Candle]
    interval: str = "1m"
    price_places: int = 2
    volume_places: int = 3
    forming_frames: int = 4
    zero_frames: bool = False
    played: bool = True
    base_asset: str = ""
    quote_asset: str = ""
    _bars: dict[int, Bar] = field(default_factory=dict)
    _quiet: list[tuple[float, float]] = field(default_factory=list)
    _hidden: dict[int, float] = field(default_factory=dict)
    _source: Iterator[Candle] = field(init=False)
    _next: Candle | None = field(init=False)
    _until: int = field(init=False)
    _dice: random.Random = field(init=False)
    _trade: int = 1000
    _close: float = 0.0

    def __post_init__(self) -> None:
        self._source = iter(self.rows)
        self._next = next(self._source)
        self._until = self._next.candle_time
        self._close = self._next.open
        self._dice = random.Random(self.symbol)  # noqa: S311 (trades that can be repeated)
        if not self.base_asset:
            base, quote = split_symbol(self.symbol)
            self.base_asset, self.quote_asset = base, quote

    @property
    def seconds(self) -> int:
        """The length of a base bar."""
        return timeframe_seconds(self.interval)

    def bar(self, time: int) -> Bar | None:
        """Return the whole bar that opens at this time, or None where the exchange has none."""
        self._learn(time)
        return self._bars.get(time)

    def quiet(self, start: float, end: float) -> None:
        """Let nobody trade in the bars that open in this time and are not known yet."""
        self._quiet.append((start, end))

    def hide(self, time: int, until: float) -> None:
        """Let REST not know a bar before `until`."""
        self._hidden[time] = until

    def forget(self, before: int) -> None:
        """Drop the bars before a time, so that a long story does not fill the memory."""
        self._bars = {time: bar for time, bar in self._bars.items() if time >= before}
        self._hidden = {time: until for time, until in self._hidden.items() if time >= before}

    def correct(self, time: int, close: float) -> Bar:
        """Give a bar another close; high and low hold it."""
        bar = self.bar(time)
        assert bar is not None, f"{self.symbol} has no bar at {time}"
        high, low = max(bar.high, close), min(bar.low, close)
        self._bars[time] = bar._replace(close=close, high=high, low=low)
        return self._bars[time]

    def steps(self, time: int) -> list[Step]:
        """Return when the exchange tells of the bar of this time, its close last."""
        bar = self.bar(time)
        if bar is None:
            return []
        end = Step(time + self.seconds + self.close_delay(time), 0, 1.0, final=True)
        if not bar.trades:
            return [end]
        many = min(self.forming_frames, bar.trades)
        first = time + self.close_delay(time - self.seconds) + BREATH
        room = (time + self.seconds - BREATH - first) / max(1, many)
        forming = [Step(first + k * room, k, (k + 1) / many, final=False) for k in range(many)]
        return [*forming, end._replace(number=many)]

    def close_delay(self, time: int) -> float:
        """Return how long after its end the close of a bar is told."""
        dice = random.Random(f"{self.symbol} {time}")  # noqa: S311 (the same at each call)
        return LATE_CLOSE if dice.random() < LATE_SHARE else dice.uniform(*QUICK_CLOSE)

    def forming(self, time: int, share: float) -> Bar | None:
        """Return the bar as it stands after a part of its trades."""
        bar = self.bar(time)
        if bar is None or not bar.trades or share >= 1:
            return bar
        turns = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
        seen = (bar.open, *turns)[: 1 + int(share * 3)]
        trades = max(1, round(bar.trades * share))
        return bar._replace(
            high=max(seen),
            low=min(seen),
            close=seen[-1],
            volume=round(bar.volume * trades / bar.trades, self.volume_places),
            quote=bar.quote * trades / bar.trades,
            trades=trades,
        )

    def at(self, time: int, now: float) -> Bar | None:
        """Return the bar of this time as REST knows it now: whole once its time is over."""
        if now < self._hidden.get(time, 0.0):
            return None
        if now >= time + self.seconds:
            return self.bar(time)
        done = [step.share for step in self.steps(time) if step.due <= now and not step.final]
        bar = self.bar(time)
        return self.forming(time, done[-1]) if done else bar and untraded(bar)

    def merged(self, interval: str, time: int, last: Bar) -> Bar:
        """Return the bar of a longer interval whose newest base bar is `last`."""
        inside = range(bucket(time, interval), time, self.seconds)
        return merge([*filter(None, map(self.bar, inside)), last], bucket(time, interval))

    def first_time(self) -> int:
        """Return when the oldest bar opens."""
        return min(self._bars) if self._bars else self._until

    def _learn(self, time: int) -> None:
        """Read the rows up to this time."""
        while self._until <= time:
            row = self._row(self._until)
            if row is not None:
                self._bars[self._until] = self._traded(row)
                self._close = row.close
            self._until += self.seconds

    def _row(self, time: int) -> Candle | None:
        row = self._next
        if row is not None:
            if row.candle_time > time:
                return None
            self._next = next(self._source, None)
        if row is None or any(start <= time < end for start, end in self._quiet):
            price = self._close
            return Candle(time, price, price, price, price, 0.0)
        return row

    def _traded(self, row: Candle) -> Bar:
        trades = 4 + int(self._dice.random() * 57) if row.volume else 0
        quote = row.volume * (row.open + row.close) / 2
        first, self._trade = self._trade, self._trade + trades
        return Bar(*row, quote, first, trades)


class Market:
    """The listings of the exchange by market and symbol."""

    def __init__(self, *listings: Listing) -> None:
        self.listings = {(listing.venue, listing.symbol): listing for listing in listings}

    @classmethod
    def walking(
        cls, start: float, *symbols: str, seed: int = 0, history: int = 3000, frames: int = 4
    ) -> Self:
        """Return a market of random walks in both markets, with bars before `start`."""
        first = int(start) // 86_400 * 86_400 - history * 60
        return cls(
            *(
                Listing(
                    venue,
                    symbol,
                    walk(f"{seed} {venue} {symbol}", first),
                    price_places=2 if venue == "futures" else 8,
                    volume_places=3 if venue == "futures" else 8,
                    zero_frames=venue == "spot",
                    forming_frames=frames,
                )
                for venue in ("futures", "spot")
                for symbol in symbols or ("BTCUSDT", "ETHUSDT")
            )
        )

    def of(self, venue: str) -> list[Listing]:
        """Return the listings of one market."""
        return [listing for (where, _), listing in self.listings.items() if where == venue]

    def chosen(self, venue: str, symbol: str) -> list[Listing]:
        """Return the listings of this market and symbol; empty text means any."""
        return [
            listing
            for (where, name), listing in self.listings.items()
            if venue in {"", where} and symbol in {"", name}
        ]


def bucket(time: float, interval: str) -> int:
    """Return when the bar of this interval that holds `time` opens."""
    seconds = timeframe_seconds(interval)
    return int(time) // seconds * seconds


def merge(bars: list[Bar], time: int) -> Bar:
    """Return one bar made of these, in order."""
    return Bar(
        time,
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        round(sum(bar.volume for bar in bars), 8),
        sum(bar.quote for bar in bars),
        bars[0].first_trade,
        sum(bar.trades for bar in bars),
    )


def untraded(bar: Bar) -> Bar:
    """Return the bar before its first trade."""
    price = bar.open
    return bar._replace(high=price, low=price, close=price, volume=0.0, quote=0.0, trades=0)


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return the base and quote asset of a symbol.

    >>> split_symbol("BTCUSDT")
    ('BTC', 'USDT')
    """
    quotes = ("USDT", "BUSD", "USDC", "BTC", "TRY", "USD")
    quote = next((q for q in quotes if symbol.endswith(q) and symbol != q), symbol[-3:])
    return symbol.removesuffix(quote), quote
