"""The writer of a run: takes candles in by the write path, changes the past, damages and repairs.

It notes each state that it made and between which moments, as it knows it from what it did.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from unittest.mock import patch

from factors import services
from ingest import pipeline
from ledger.advance import IngestPipelineError
from ledger.models import OverlayInstructionVersion
from ledger.recovery import recover
from ledger.repair import ReadRepairService
from market.candles import Candle, Candles
from tests.ledger.history.records import Commit, Missing, State

BEFORE_ALL = -1
# Where a late candle has fewer after it, all is computed again from the first one.
MOST_CANDLES = 512


class Writer:
    """Writes one series step by step; what it does next is random, the same for the same seed."""

    def __init__(self, series_id: str, candles: Sequence[Candle], seed: int) -> None:
        assert len(candles) < MOST_CANDLES
        self.series_id = series_id
        self.commits = [Commit(State(), BEFORE_ALL, BEFORE_ALL)]
        self.epochs: list[tuple[Candle, ...]] = [()]
        self._rows: dict[int, Candle] = {}
        self._coming = list(candles)
        self._late = [self._coming.pop(0)]  # so it comes as one that is older than all others
        self._count = len(candles)
        self._random = random.Random(seed)  # noqa: S311 (a test's own sequence)

    @property
    def state(self) -> State:
        """What is stored now."""
        return self.commits[-1].state

    @property
    def done(self) -> float:
        """How much of the work is done, from 0 to 1."""
        return 1 - len(self._coming) / self._count

    @property
    def last_rise(self) -> int:
        """The moment at which the last change of the past began; negative: there was none."""
        return max(
            (
                after.began
                for before, after in pairwise(self.commits)
                if after.state.generation > before.state.generation
            ),
            default=BEFORE_ALL,
        )

    def step(self) -> bool:
        """Do one thing; return False when all candles are in and the ledger is sound."""
        action = self._next()
        if action is not None:
            action()
        return action is not None

    def _next(self) -> Callable[[], None] | None:
        """Choose what to do; what is broken is mended soon."""
        state, chance = self.state, self._random.random()
        if not self._rows:
            return self._fail
        if state.ledger_head != state.candle_head or state.dirty_from is not None:
            return self._recover if chance < 0.6 or not self._coming else self._fail
        if state.missing:
            return self._repair if chance < 0.4 or not self._coming else self._append
        if self._coming:
            return self._any()
        return self._fill if self._late else None

    def _any(self) -> Callable[[], None]:
        """Choose by chance: mostly, the series goes on."""
        (choice,) = self._random.choices(
            [self._append, self._fail, self._damage, self._repair, self._alter, self._repeat],
            [100, 6, 12, 3, 14, 8],
        )
        return self._fill if self._late and self._random.random() < 0.06 else choice

    def _append(self) -> None:
        """Go on by some candles; now and then one of them is kept back and comes late."""
        self._take(self._coming_next(), publish=self._random.random() < 0.85)

    def _coming_next(self) -> list[Candle]:
        count = self._random.choice([1, 1, 1, 2, 2, 5])
        batch, self._coming = self._coming[:count], self._coming[count:]
        if self._coming and len(batch) > 1 and self._random.random() < 0.2:
            self._late.append(batch.pop(0))
        return batch

    def _fill(self) -> None:
        """Bring a candle that was kept back."""
        self._take([self._late.pop()])

    def _repeat(self) -> None:
        """Send old candles again."""
        rows = list(self._rows.values())
        self._take(self._random.sample(rows, min(3, len(rows))))

    def _alter(self) -> None:
        """Correct an old candle, mostly a young one, and at times go on in the same run."""
        batch = [self._altered()]
        if self._random.random() < 0.3:
            batch += self._coming_next()
        self._take(batch)

    def _altered(self) -> Candle:
        times = sorted(self._rows)
        young = times[-20:] if self._random.random() < 0.7 else times
        row, change = self._rows[self._random.choice(young)], self._random.choice([-2.5, 1.5, 3.0])
        return row._replace(high=row.high + change, low=row.low + change, close=row.close + change)

    def _fail(self) -> None:
        """Take candles in while the rules raise: the ledger stays behind."""
        batch = self._coming_next()
        if self._rows and self._random.random() < 0.4:
            batch.append(self._altered())
        with patch.object(services, "series_compute", side_effect=ValueError("odd")):
            self._take(batch, fails=True)

    def _take(self, batch: list[Candle], *, fails: bool = False, publish: bool = True) -> None:
        """Take a batch in, shuffled."""
        state = self._stored(batch)
        self._random.shuffle(batch)
        candles = {self.series_id: Candles.from_rows(batch)}

        def run() -> None:
            try:
                pipeline.run_sync(candles, publish=publish)
            except IngestPipelineError:
                assert fails
            else:
                assert not fails

        self._commit(run, state if fails else _advanced(state))

    def _stored(self, batch: Sequence[Candle]) -> State:
        """Return the state with a batch stored and nothing computed from it yet."""
        state, rows = self.state, self._rows
        new = [row for row in batch if rows.get(row.candle_time) != row]
        if not new:
            return state
        rows.update((row.candle_time, row) for row in new)
        oldest = min(row.candle_time for row in new)
        everything = tuple(rows[time] for time in sorted(rows))
        if oldest > (state.candle_head or 0):
            self.epochs[-1] = everything
        else:
            self.epochs.append(everything)
        if oldest <= (state.ledger_head or 0):
            state = replace(state, dirty_from=min(oldest, state.dirty_from or oldest))
        return replace(state, epoch=len(self.epochs) - 1, candle_head=everything[-1].candle_time)

    def _recover(self) -> None:
        """Let the recovery sweep bring the ledger up to its candles."""
        self._commit(recover, _advanced(self.state))

    def _damage(self) -> None:
        """Delete the drawing of a dead zone by hand."""
        stored = OverlayInstructionVersion.objects.filter(
            series_id=self.series_id, instruction_id__startswith="zhongshu.dead"
        )
        row = stored.order_by("-ordinal", "instruction_id").first()
        if row is None:
            self._append()
            return
        missing = Missing(row.instruction_id, row.visible_time)
        self._commit(row.delete, replace(self.state, missing=frozenset({missing})))

    def _repair(self) -> None:
        """Let the drawings be made again; the generation rises where one had been missing."""
        state = self.state
        generation = state.generation + bool(state.missing)
        mended = replace(state, generation=generation, missing=frozenset())
        self._commit(self._draw_again, mended)

    def _draw_again(self) -> None:
        ReadRepairService().repair_overlay(series_id=self.series_id)

    def _commit(self, action: Callable[[], object], state: State) -> None:
        """Do something that leads to a state, and note when."""
        began = time.monotonic_ns()
        action()
        ended = time.monotonic_ns()
        if state != self.state:
            self.commits.append(Commit(state, began, ended))


def _advanced(state: State) -> State:
    """Return the state with its ledger brought up to its candles."""
    if state.dirty_from is None:
        return replace(state, ledger_head=state.candle_head)
    return replace(
        state,
        ledger_head=state.candle_head,
        dirty_from=None,
        generation=state.generation + 1,
        missing=frozenset(),
    )
