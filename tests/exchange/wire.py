"""The recorded messages of `tests/exchange/wire`, read."""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from market.candles import Candle
from tests.exchange.market import Listing, Market

FOLDER = Path(__file__).parent / "wire"
VENUES = {"futures": "binance-usdm", "spot": "binance-spot"}
PRICES = "ohlcv"


class Recorded(NamedTuple):
    """A frame as it was received, with the recorder's clock."""

    venue: str
    received: float
    kind: str
    raw: str

    @property
    def market(self) -> str:
        """The market whose doors play it: spot for Binance US and TR, futures for COIN-M."""
        coined = {VENUES["futures"], "binance-coinm"}
        return "futures" if self.venue in coined else "spot"

    @property
    def stream(self) -> str:
        """The stream that brought it."""
        return str(self.message["stream"])

    @property
    def message(self) -> dict[str, Any]:
        """The frame, parsed."""
        message: dict[str, Any] = json.loads(self.raw)
        return message

    @property
    def event(self) -> dict[str, Any]:
        """What the frame tells, without its wrapper."""
        event: dict[str, Any] = self.message["data"]
        return event

    @property
    def event_text(self) -> str:
        """What the frame tells, byte for byte as a raw stream would carry it."""
        head = f'{{"stream":"{self.stream}","data":'
        assert self.raw.startswith(head), self.raw[:80]
        return self.raw[len(head) : -1]


@cache
def rows(name: str) -> list[dict[str, Any]]:
    """Return the lines of a file as they are."""
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]


def frames(name: str) -> list[Recorded]:
    """Return the frames of a file in order of arrival."""
    return [Recorded(r["venue"], r["recv_s"], r["event"], r["raw"]) for r in rows(name)]


def exchange_info(venue: str) -> dict[str, Any]:
    """Return the recorded exchangeInfo of a market, without its symbols but those recorded."""
    return next(row for row in rows("exchange_info_excerpt") if row["venue"] == VENUES[venue])


def recorded_market(*recorded: Recorded) -> Market:
    """Return a market of the symbols of kline frames, with the candles that they show.

    A candle whose close was recorded has its last values, another one the last values seen.
    """
    rows: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for frame in recorded:
        if frame.kind == "kline":
            candle = frame.event["k"]
            rows.setdefault((frame.market, candle["s"]), {})[candle["t"]] = candle
    return Market(*(_listing(*key, list(candles.values())) for key, candles in rows.items()))


def _listing(venue: str, symbol: str, candles: list[dict[str, Any]]) -> Listing:
    rows = [Candle(k["t"] // 1000, *(float(k[key]) for key in PRICES)) for k in candles]
    price, volume = (_places([k[key] for k in candles]) for key in ("c", "v"))
    listing = Listing(venue, symbol, rows, candles[0]["i"], price, volume)
    listing.played = False
    return listing


def _places(texts: list[str]) -> int:
    """Return how many decimals these numbers have."""
    return max(len(text.partition(".")[2]) for text in texts)
