"""Every way to write fails at its first database call, then at its second, until it succeeds.

Whatever is left behind keeps the invariants, and what runs next ends in the ledger of a run that
was never disturbed. Four faults: the process is killed, and the database refuses a statement once,
whenever it comes again, or as all that follow it.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.test import Client, override_settings

from factors.engine.plugins.pen import Pen
from factors.models import FactorEvent, FactorHeadSnapshot
from ingest import pipeline
from ingest.startup_sync import run_startup_kline_sync
from ledger.advance import IngestPipelineError
from ledger.models import LedgerHead, OverlayInstructionVersion
from ledger.rebuild import series_rebuild
from ledger.recovery import recover
from ledger.repair import ReadRepairService
from ledger.replay import ReplayPrepareService
from ledger.sync import LedgerSyncService
from ledger.warmup import MarketLedgerWarmupService
from market.candles import Candles
from market.series import SeriesId
from tests.goldens import candles_of, golden
from tests.ledger.reading import SERIES, use_golden_windows
from tests.ledger.stored import (
    Killed,
    failing,
    generation,
    ledger,
    require_invariants,
    reset,
    straight,
)
from tests.tables import tables_state

pytestmark = pytest.mark.django_db
CASE = golden("box_2_1")
WHOLE = candles_of(CASE).take(slice(0, 60))
LAST = int(WHOLE.time[-1])
OTHERS = [f"test:spot:OTHER{n}/USDT:1m" for n in range(2)]
ALL = [SERIES, *OTHERS]
MOST = 400


@dataclass(frozen=True)
class Way:
    """One way to write: what is there before, what it does, and for which series.

    `heals` says that the recovery sweep alone ends what a failure left half done, once the candles
    are stored; damage by hand needs the mending way itself. `may_rise` says that a failure may make
    the generation rise once more: a rebuild that cannot catch up first takes what is behind for
    altered.
    """

    prepare: Callable[[], Any]
    act: Callable[[], Any]
    series: tuple[str, ...] = (SERIES,)
    heals: bool = True
    may_rise: bool = False


def part(start: int, stop: int | None = None) -> Candles:
    return WHOLE.take(slice(start, stop))


def take(*parts: Candles) -> None:
    for candles in parts:
        pipeline.run_sync({SERIES: candles})


def take_wrong() -> None:
    """Take all candles, one of them with other prices."""
    rows = WHOLE.rows()
    rows[45] = rows[45]._replace(high=rows[45].high + 9, close=rows[45].close + 5)
    take(Candles.from_rows(rows))


def take_failing() -> None:
    """Take all candles, the last of them while a rule is broken."""
    take(part(0, 50))
    with patch.object(Pen, "step", failing), pytest.raises(IngestPipelineError):
        take(WHOLE)


def take_all_failing() -> None:
    """Take the candles of three series while a rule is broken; one is late, one is new."""
    late = WHOLE.take(np.arange(len(WHOLE)) != 30)
    pipeline.run_sync({SERIES: part(0, 50), OTHERS[0]: late})
    with patch.object(Pen, "step", failing), pytest.raises(IngestPipelineError):
        pipeline.run_sync(dict.fromkeys(ALL, WHOLE))


def take_by_other_rules() -> None:
    with override_settings(TRADE_CANVAS_PIVOT_WINDOW_MAJOR=3):
        take(WHOLE)


def take_and_damage_drawings() -> None:
    take(WHOLE)
    dead = OverlayInstructionVersion.objects.filter(instruction_id__startswith="zhongshu.dead")
    assert dead.delete()[0]
    OverlayInstructionVersion.objects.filter(kind="marker").update(def_json="{}")


def take_and_damage() -> None:
    take_and_damage_drawings()
    FactorEvent.objects.filter(factor_name="pen").update(payload_json="{}")
    FactorHeadSnapshot.objects.filter(factor_name="pen").update(state=b"")


def post(path: str, **body: Any) -> int:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.get())
    answer = client.post(f"/api/{path}", body, "application/json")
    return int(answer.status_code)


def start_up() -> None:
    def backfill(series: SeriesId, candles: int, _: int) -> int:
        pipeline.run_sync({str(series): WHOLE})
        return candles

    run_startup_kline_sync(
        backfill=backfill, series_ids=[SERIES], enabled=True, target_candles=100, now_time=LAST + 61
    )


def warm_up() -> None:
    MarketLedgerWarmupService().ensure_ledgers_warm(SERIES, LAST)


def command(*words: str) -> None:
    with patch("ledger.management.commands.rebuild.engine_warm"):
        call_command(*words, stdout=io.StringIO(), stderr=io.StringIO())


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Return a file of the candles."""
    path = tmp_path / "candles.csv"
    rows = [",".join(map(repr, row)) for row in WHOLE.rows()]
    path.write_text("\n".join(["candle_time,open,high,low,close,volume", *rows]))
    return str(path)


def nothing() -> None:
    pass


WAYS = {
    "new series": Way(nothing, lambda: take(WHOLE)),
    "newest candle": Way(lambda: take(part(0, 59)), lambda: take(part(59))),
    "newest candle over HTTP": Way(
        lambda: take(part(0, 59)),
        lambda: post(
            "market/ingest/candle_closed", series_id=SERIES, candle=WHOLE.rows()[-1]._asdict()
        ),
    ),
    "several series": Way(
        lambda: take(part(0, 50)),
        lambda: pipeline.run_sync(dict.fromkeys(ALL, WHOLE)),
        series=tuple(ALL),
    ),
    "late candle": Way(lambda: take(part(0, 30), part(31)), lambda: take(part(30, 31))),
    "corrected candle": Way(take_wrong, lambda: take(part(45, 46))),
    "earlier than the first": Way(lambda: take(part(1)), lambda: take(part(0, 1))),
    "refresh": Way(take_failing, lambda: LedgerSyncService().refresh(SERIES, LAST)),
    "replay prepare": Way(take_failing, lambda: ReplayPrepareService().prepare(series_id=SERIES)),
    "warm-up": Way(take_failing, warm_up),
    "start-up sync": Way(lambda: take(part(0, 40)), start_up),
    "start-up sync of a ledger behind": Way(take_failing, start_up),
    "recovery": Way(take_all_failing, recover, series=tuple(ALL)),
    "recovery under other rules": Way(take_by_other_rules, recover),
    "rebuild under other rules": Way(take_by_other_rules, lambda: series_rebuild(SERIES)),
    "rebuild of a ledger behind": Way(take_failing, lambda: series_rebuild(SERIES), may_rise=True),
    "rebuild command": Way(take_by_other_rules, lambda: command("rebuild", "--all")),
    "read repair": Way(
        take_and_damage_drawings,
        lambda: ReadRepairService().repair_overlay(series_id=SERIES),
        heals=False,
    ),
    "verify and repair": Way(
        take_and_damage, lambda: command("verify_ledger", SERIES, "--repair"), heals=False
    ),
}


@dataclass
class Fault:
    """Disturbs the statements from a number on: one of them, its like, or all."""

    number: int
    error: type[BaseException]
    lasts: bool = False
    returns: bool = False
    seen: int = 0
    sql: str = ""

    @property
    def struck(self) -> bool:
        """Whether the run came to that statement."""
        return self.seen > self.number

    def __call__(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith(self.spared):
            return execute(sql, *rest)
        self.seen += 1
        if self.seen == self.number + 1:
            self.sql = sql
        elif not self.struck or not (self.lasts or (self.returns and sql == self.sql)):
            return execute(sql, *rest)
        raise self.error(f"statement {self.number}")

    @property
    def spared(self) -> tuple[str, ...]:
        """What stands for the transactions of a run inside that of the test.

        A release is a commit, which the database may refuse; a kill then is one before it.
        """
        begun = ("SAVEPOINT", "ROLLBACK TO SAVEPOINT")
        return begun if self.error is OperationalError and not self.lasts else (*begun, "RELEASE")


FAULTS: dict[str, Callable[[int], Fault]] = {
    "killed": lambda number: Fault(number, Killed),
    "refused": lambda number: Fault(number, OperationalError),
    "refused again and again": lambda number: Fault(number, OperationalError, returns=True),
    "refused from there on": lambda number: Fault(number, OperationalError, lasts=True),
}


@contextmanager
def undone() -> Iterator[None]:
    """Take back what the block writes."""
    before = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(before)


def disturbed(way: Way, fault: Fault) -> bool:
    """Run a way under a fault; say whether it was killed."""
    try:
        with connection.execute_wrapper(fault):
            way.act()
    except Killed:
        return True
    except Exception:  # noqa: BLE001 (each way has its own errors; what it left behind counts)
        return False
    finally:
        transaction.set_rollback(False)  # what Django marks without a transaction of its own
    return False


class Trial:
    """One way to write, what it begins with, and what it ends in when nothing disturbs it."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.expected = [straight(WHOLE, series_id) for series_id in way.series]
        reset()
        way.prepare()
        self.before = self.ledgers()
        with undone():
            way.act()
            assert self.ledgers() == self.expected
            self.generations = self.read_generations()
        self.healed: list[Any] = []

    def ledgers(self) -> list[Any]:
        """Return what is stored of each series."""
        return [ledger(series_id) for series_id in self.way.series]

    def read_generations(self) -> list[int]:
        """Return how often the history of each series was altered."""
        return [generation(series_id) for series_id in self.way.series]

    def strike(self, fault: Fault) -> None:
        """Let the way fail; look at what is left, and heal it."""
        killed = disturbed(self.way, fault)
        require_invariants(*self.way.series)
        if killed:
            for mine, *whole in zip(self.ledgers(), self.before, self.expected, strict=True):
                assert mine in whole, "half done"
        state = tables_state()
        if state in self.healed:
            return  # what healed once, heals again: most faults leave all as it was
        self.healed.append(state)
        with undone():
            self.heal_by_a_second_run()
        if self.way.heals:
            self.heal_by_recovery()

    def heal_by_a_second_run(self) -> None:
        """Do once more what failed."""
        self.way.act()
        assert self.ledgers() == self.expected
        assert self.way.may_rise or self.read_generations() == self.generations
        assert not LedgerHead.objects.exclude(last_error="").exists()

    def heal_by_recovery(self) -> None:
        """Let the recovery sweep have a turn, where all candles are stored."""
        if [mine[1] for mine in self.ledgers()] == [full[1] for full in self.expected]:
            assert recover() == []
            assert self.ledgers() == self.expected


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("name", WAYS)
def test_a_way_to_write_that_fails_at_any_statement_leaves_a_ledger_that_heals(
    name: str, kind: str, settings: Any
) -> None:
    """Rows 1 and 22 of the ledger's faults."""
    settings.TRADE_CANVAS_ENABLE_READ_LEDGER_WARMUP = True
    User.objects.create(username="researcher", is_staff=True)
    with use_golden_windows(CASE):
        trial = Trial(WAYS[name])
        for number in range(MOST):
            fault = FAULTS[kind](number)
            with undone():
                trial.strike(fault)
            if not fault.struck:
                break

    assert 5 < number < MOST - 1
