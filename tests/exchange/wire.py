"""The recorded messages of `tests/exchange/wire`, read."""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "wire"
VENUES = {"futures": "binance-usdm", "spot": "binance-spot"}


class Recorded(NamedTuple):
    """A frame as it was received, with the recorder's clock."""

    venue: str
    received: float
    kind: str
    raw: str

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
