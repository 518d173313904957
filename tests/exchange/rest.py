"""The REST side: what the exchange answers to a GET."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.exchange import pages
from tests.exchange.clock import Clock
from tests.exchange.market import Listing, Market, merge
from tests.exchange.pages import BadRequestError
from tests.exchange.wire import exchange_info

PREFIX = {"/fapi/v1/": "futures", "/api/v3/": "spot"}
MOST_ROWS = {"futures": 1500, "spot": 1000}
STALE_SECONDS = {"futures": 37 * 3600, "spot": 0}  # serverTime of exchangeInfo, as recorded
LIMIT_1M = {"futures": 2400, "spot": 1200}
HOUR, DAY = 3600, 86_400


@dataclass(frozen=True, slots=True)
class Answer:
    """A status with a body, and what it says of retries and weight."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    weight: int = 0


class Rest:
    """Answers requests about the market, and counts their weight by the minute."""

    def __init__(self, market: Market, clock: Clock) -> None:
        self.market = market
        self.clock = clock
        self._weights: dict[str, tuple[int, int]] = {}
        self._calls: dict[str, Callable[[str, dict[str, str]], tuple[Any, int]]] = {
            "klines": self._klines,
            "time": self._time,
            "ping": lambda venue, query: ({}, 1),
            "exchangeInfo": self._info,
            "ticker/24hr": self._ticker,
        }

    def answer(self, path: str, query: dict[str, str]) -> Answer:
        """Return the answer to a GET."""
        venue = venue_of(path)
        call = self._calls.get(path.removeprefix(next(iter(_prefixes(path)), "")))
        if not venue or call is None:
            return Answer(404, {"code": -5000, "msg": f"Path {path}, Method GET is invalid"})
        if used := self._over(venue):
            left = 60 - int(self.clock.now()) % 60
            body = {"code": -1003, "msg": f"Too many requests; weight used: {used}."}
            return Answer(429, body, {"Retry-After": str(left)} | self._header(venue, 0))
        try:
            body, weight = call(venue, query)
        except BadRequestError as error:
            body = {"code": error.code, "msg": str(error)}
            return Answer(400, body, self._header(venue, 1), 1)
        return Answer(200, body, self._header(venue, weight), weight)

    def _over(self, venue: str) -> int:
        """Return the weight used in this minute if it is all that may be."""
        used = self._used(venue)
        return used if used >= LIMIT_1M[venue] else 0

    def _used(self, venue: str) -> int:
        """Return the weight used in this minute; earlier ones are forgotten."""
        minute, used = self._weights.get(venue, (0, 0))
        return used if minute == int(self.clock.now()) // 60 else 0

    def _header(self, venue: str, weight: int) -> dict[str, str]:
        used = self._used(venue) + weight
        self._weights[venue] = int(self.clock.now()) // 60, used
        return {"X-MBX-USED-WEIGHT-1M": str(used)}

    def _klines(self, venue: str, query: dict[str, str]) -> tuple[Any, int]:
        listing = self._listing(venue, query)
        most = MOST_ROWS[venue]
        wanted = pages.asked(query, most=most, strict=venue == "futures")
        return pages.page(listing, wanted, self.clock.now()), _weight(venue, wanted.limit)

    def _time(self, venue: str, query: dict[str, str]) -> tuple[Any, int]:
        return {"serverTime": int(self.clock.now() * 1000)}, 1

    def _info(self, venue: str, query: dict[str, str]) -> tuple[Any, int]:
        info = copy.deepcopy(exchange_info(venue))
        shape = info["symbols"][0]
        said = int((self.clock.now() - STALE_SECONDS[venue]) * 1000)
        symbols = [_symbol(shape, listing) for listing in self.market.of(venue)]
        body = {"timezone": "UTC", "serverTime": said, "rateLimits": info["rateLimits"]}
        return {**body, "exchangeFilters": [], "symbols": symbols}, 1 if venue == "futures" else 10

    def _ticker(self, venue: str, query: dict[str, str]) -> tuple[Any, int]:
        now = self.clock.now()
        if "symbol" in query:
            return day(self._listing(venue, query), now), 1
        return [day(listing, now) for listing in self.market.of(venue)], 40

    def _listing(self, venue: str, query: dict[str, str]) -> Listing:
        if not query.get("symbol"):
            raise BadRequestError(
                -1102,
                "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.",
            )
        listing = self.market.listings.get((venue, query["symbol"]))
        if listing is None:
            raise BadRequestError(-1121, "Invalid symbol.")
        return listing


def venue_of(path: str) -> str:
    """Return the market that a path belongs to, or nothing."""
    return next((PREFIX[prefix] for prefix in _prefixes(path)), "")


def _prefixes(path: str) -> list[str]:
    return [prefix for prefix in PREFIX if path.startswith(prefix)]


def _weight(venue: str, limit: int) -> int:
    """Return what a page of candles costs."""
    if venue == "spot":
        return 2
    return next((cost for most, cost in ((99, 1), (499, 2), (1000, 5)) if limit <= most), 10)


def _symbol(shape: dict[str, Any], listing: Listing) -> dict[str, Any]:
    """Return a symbol of exchangeInfo in the recorded shape."""
    named = {"symbol": listing.symbol, "pair": listing.symbol, "baseAsset": listing.base_asset}
    named |= {"quoteAsset": listing.quote_asset, "marginAsset": listing.quote_asset}
    places = {"pricePrecision": listing.price_places, "quantityPrecision": listing.volume_places}
    return shape | {key: value for key, value in (named | places).items() if key in shape}


def day(listing: Listing, now: float) -> dict[str, Any]:
    """Return the numbers of the last 24 hours."""
    newest = int(now) // listing.seconds * listing.seconds
    oldest = max(newest - DAY + listing.seconds, listing.first_time())
    times = range(oldest, newest + 1, listing.seconds)
    bars = [bar for bar in (listing.at(time, now) for time in times) if bar is not None]
    whole = merge(bars, oldest)
    change = whole.close - whole.open
    price = f".{listing.price_places}f"
    return {
        "symbol": listing.symbol,
        "priceChange": format(change, price),
        "priceChangePercent": f"{100 * change / whole.open:.3f}",
        "weightedAvgPrice": format(whole.quote / whole.volume if whole.volume else 0, price),
        "lastPrice": format(whole.close, price),
        "lastQty": f"{bars[-1].volume:.{listing.volume_places}f}",
        "openPrice": format(whole.open, price),
        "highPrice": format(whole.high, price),
        "lowPrice": format(whole.low, price),
        "volume": f"{whole.volume:.{listing.volume_places}f}",
        "quoteVolume": f"{whole.quote:.{listing.price_places}f}",
        "openTime": oldest * 1000,
        "closeTime": int(now * 1000),
        "firstId": whole.first_trade,
        "lastId": whole.first_trade + whole.trades - 1,
        "count": whole.trades,
    }
