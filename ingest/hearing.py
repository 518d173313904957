"""Hands the frames of a socket to the series that they are about, and counts what is no candle."""

from collections.abc import Iterable

from ingest.binance import Rejected, parse_frame, wanted_by
from ingest.failures import BadFramesError, RotationError
from ingest.feed import SeriesFeed
from market import metrics
from market.debug_events import emit
from market.series import SeriesId


class Hearing:
    """What is heard on one connection. `live` are the feeds of the series it carries."""

    def __init__(self, live: dict[str, SeriesFeed]) -> None:
        self.live = live
        self._routes: dict[tuple[str, str], SeriesId] = wanted_by(f.series for f in live.values())
        self._bad: dict[str, str] = {}

    def join(self, feeds: Iterable[SeriesFeed]) -> None:
        """Hear these series, too."""
        self.live |= {str(feed.series): feed for feed in feeds}
        self._routes = wanted_by(feed.series for feed in self.live.values())

    def leave(self, names: Iterable[str]) -> None:
        """Hear nothing more of these series."""
        for name in names:
            self.live.pop(name, None)

    def hear(self, text: str | bytes, now: float, tick: float) -> None:
        """Hand a frame to its series.

        Raises `RotationError` if the server says that it ends, and `BadFramesError` if there were
        too many frames that are no candles.
        """
        if isinstance(text, bytes):
            self._reject(Rejected("binary"), tick)
            return
        found = parse_frame(text, self._routes, now)
        if isinstance(found, Rejected):
            self._reject(found, tick)
        elif found is not None and (feed := self.live.get(found.series_id)):
            feed.hear(found, tick)
        elif found is None and "serverShutdown" in text:
            raise RotationError("the server says that it shuts down")

    def take_bad(self) -> dict[str, str]:
        """Return the series that sent too many bad frames since the last call, and why."""
        bad, self._bad = self._bad, {}
        return {name: reason for name, reason in bad.items() if name in self.live}

    def _reject(self, found: Rejected, tick: float) -> None:
        """Count a bad frame against its series, or against all if it names none."""
        metrics.count("market_ingest_frames_rejected_total", reason=found.reason)
        about = {"reason": found.reason}
        emit("ingest.frame_rejected", "write", found.series_id or None, data=about)
        named = [self.live[found.series_id]] if found.series_id in self.live else self.live.values()
        too_many = [feed.reject(tick) for feed in named]
        if all(too_many) and len(named) == len(self.live):
            raise BadFramesError(f"too many bad frames: {found.reason}")
        self._bad |= {str(feed.series): found.reason for feed in named if all(too_many)}
