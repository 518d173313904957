"""Lets single candles that arrive while another is being written share one run of the pipeline.

Each commit waits for the disk; those who come meanwhile wait for it together instead of in turn.
"""

import threading
from collections import deque
from dataclasses import dataclass

from ingest import pipeline
from ingest.pipeline import PipelineResult
from ledger.advance import SERIES_PER_TRANSACTION, IngestPipelineError
from market.candles import Candles


@dataclass(slots=True, eq=False)
class _Wish:
    """Candles of one series that somebody waits to be stored, and what came of it."""

    series_id: str
    candles: Candles
    result: PipelineResult | None = None
    error: BaseException | None = None

    def is_open(self) -> bool:
        """Say whether nothing came of it yet."""
        return self.result is None and self.error is None


class Together:
    """Runs the pipeline for several callers at once; each gets its own result or error.

    Candles of one series are taken in the order in which they came.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._waiting: deque[_Wish] = deque()

    def run_sync(self, series_id: str, candles: Candles) -> PipelineResult:
        """Do as `pipeline.run_sync` for one series; the result tells of the whole run."""
        wish = _Wish(series_id, candles)
        self._waiting.append(wish)
        while wish.is_open():
            with self._turn:
                if wish.is_open():
                    self._run(self._next())
        if wish.error is not None:
            raise wish.error
        assert wish.result is not None
        return wish.result

    def _next(self) -> list[_Wish]:
        """Take the first wish of each series that waits, as many as one transaction holds."""
        group: dict[str, _Wish] = {}
        later: list[_Wish] = []
        while self._waiting and len(group) < SERIES_PER_TRANSACTION:
            wish = self._waiting.popleft()
            if wish.series_id in group:
                later.append(wish)
            else:
                group[wish.series_id] = wish
        self._waiting.extendleft(reversed(later))
        return list(group.values())

    def _run(self, group: list[_Wish]) -> None:
        errors: dict[str, IngestPipelineError] = {}
        try:
            result = pipeline.run_each({wish.series_id: wish.candles for wish in group}, errors)
        except BaseException as error:
            for wish in group:
                wish.error = error
            raise
        for wish in group:
            wish.error = errors.get(wish.series_id)
            wish.result = result
