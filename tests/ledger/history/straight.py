"""The straight run: each set of candles taken at once, in a series of its own, after all is over.

It says what is right: slices, drawings and digest at a candle, as a ledger gives them that nobody
wrote to while it was read. Its generation is 0.
"""

import hashlib
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson

from factors.selectors import events_in_order
from ingest import pipeline
from ledger import frames
from ledger.answers import Answer
from market.candles import Candle, Candles
from tests.goldens import canonical

Json = dict[str, Any]
# Stands in the name of a run's series where those of its epochs have their number.
ALL = "ALL"


class Straight:
    """The straight runs of the epochs of a series, each made when it is first asked for."""

    def __init__(self, series_id: str, epochs: Sequence[Sequence[Candle]]) -> None:
        self.series_id = series_id
        self._epochs = epochs
        # A bound method that remembers would keep this object for ever; these go with it.
        self.series_of = cache(self._series_of)
        self.slices = cache(self._slices)
        self.drawn = cache(self._drawn)
        self.digests = cache(self._digests)

    def _series_of(self, epoch: int) -> str:
        """Take the candles of an epoch at once; the name is as long as the other one."""
        name = self.series_id.replace(ALL, f"{epoch:03}")
        assert name != self.series_id
        assert len(name) == len(self.series_id)
        pipeline.run_sync({name: Candles.from_rows(self._epochs[epoch])}, publish=False)
        return name

    def _slices(self, epoch: int, time: int, window: int) -> Json:
        """Return the slices at a candle."""
        name = self.series_of(epoch)
        found = frames.slices(series_id=name, at_time=time, window_candles=window)
        return self._renamed(found, name)

    def _drawn(self, epoch: int, time: int, window: int) -> Json:
        """Return all that is drawn at a candle."""
        name = self.series_of(epoch)
        found = frames.delta(series_id=name, cursor=0, at_time=time, window_candles=window)
        return self._renamed(found, name)

    def _renamed(self, found: Answer, name: str) -> Json:
        text = found.body.replace(name.encode(), self.series_id.encode())
        answer: Json = orjson.loads(text)
        return answer

    def _digests(self, epoch: int) -> dict[int, tuple[int, str]]:
        """Return how many candles there are up to each, and the digest as it is documented."""
        texts: dict[int, bytes] = {}
        for factor, kind, key, time, text in events_in_order(self.series_of(epoch)):
            event = {
                "candle_time": time,
                "event_key": key,
                "factor": factor,
                "kind": kind,
                "payload": orjson.loads(text),
            }
            texts[time] = texts.get(time, b"") + canonical(event).encode() + b"\n"
        digest, found = hashlib.sha256(self.series_id.encode()).digest(), {}
        for count, row in enumerate(self._epochs[epoch], 1):
            candle = struct.pack("<q5d", *row)
            digest = hashlib.sha256(digest + candle + texts.get(row.candle_time, b"")).digest()
            found[row.candle_time] = (count, digest.hex())
        return found
