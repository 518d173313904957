"""The write path: the same candles give the same ledger, whatever way they came."""

import random
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from django.db import IntegrityError, OperationalError, connection
from django.test import Client, override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factors import resuming
from factors.engine.plugins.pivot import Pivot
from factors.models import FactorEvent, FactorHeadSnapshot
from ingest import pipeline
from ledger import advance, frames
from ledger.advance import IngestPipelineError, refresh_series_sync
from ledger.models import LedgerHead
from ledger.recovery import recover
from market import selectors
from market.bundled import bundled_candles
from market.candles import Candles
from market.groups import Hint
from market.series import BadSeriesIdError
from market.store import candles_upsert
from tests.goldens import candles_of, golden
from tests.ledger.reading import SERIES, START, flat, get, on_the_wire, use_golden_windows
from tests.ledger.stored import OddCandleError, failing, ledger, reset, straight
from tests.tables import tables_state

pytestmark = pytest.mark.django_db
OTHER = "test:spot:OTHER/USDT:1m"


@pytest.fixture
def case() -> Iterator[Candles]:
    """Return the candles of a golden case whose windows are in use."""
    found = golden("box_2_1")
    with use_golden_windows(found):
        yield candles_of(found)


@pytest.fixture
def hints() -> Iterator[list[Hint]]:
    """Return the hints that are given from now on."""
    given: list[Hint] = []
    everybody = patch.object(advance, "is_heard", lambda _: True)
    with everybody, patch.object(advance, "announce", given.extend):
        yield given


def frame_bytes(time: int) -> Any:
    return on_the_wire(frames.at_time(series_id=SERIES, at_time=time, window_candles=300))


def without_generation(frame: Any) -> Any:
    draw = frame["draw_state"]
    draw["next_cursor"]["version_id"] %= 1 << 32
    for item in draw["instruction_catalog_patch"]:
        item["version_id"] %= 1 << 32
    return frame


@pytest.mark.parametrize("seed", range(4))
def test_any_batches_give_the_same_ledger(seed: int, case: Candles) -> None:
    generator = random.Random(seed)  # noqa: S311 (a test's own sequence)
    expected = straight(case)
    reset()

    first = 0
    while first < len(case):
        size = generator.choice([1, 2, 5, 60, 300])
        pipeline.run_sync({SERIES: case.take(slice(first, first + size))})
        first += size

    assert ledger(SERIES) == expected


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_arrival_gives_the_same_ledger_and_frames(seed: int, case: Candles) -> None:
    """Row 16 of the ledger's faults."""
    short = case.take(slice(0, 120))
    expected = straight(short)
    asked = [int(short.time[n]) for n in (3, 40, 77, 119)]
    expected_frames = [frame_bytes(time) for time in asked]
    reset()
    order = np.random.default_rng(seed).permutation(len(short))

    for part in np.array_split(order, 30):
        pipeline.run_sync({SERIES: short.take(part)})

    assert ledger(SERIES) == expected
    assert [without_generation(frame_bytes(time)) for time in asked] == expected_frames


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=30, max_size=80),
    cuts=st.lists(st.integers(0, 79), max_size=6),
    late=st.integers(0, 29),
)
def test_random_candles_with_one_late_give_the_straight_ledger(
    steps: list[tuple[int, bool]], cuts: list[int], late: int
) -> None:
    reset()
    whole = walk(steps)
    with use_golden_windows({"params": {"pivot_window_major": 2, "pivot_window_minor": 1}}):
        expected = straight(whole)
        reset()
        kept = np.arange(len(whole)) != late
        for part in np.split(np.arange(len(whole))[kept], sorted(set(cuts))):
            if len(part):
                pipeline.run_sync({SERIES: whole.take(part)})
        pipeline.run_sync({SERIES: whole.take(slice(late, late + 1))})

        assert ledger(SERIES) == expected


def walk(steps: list[tuple[int, bool]]) -> Candles:
    """Return candles of a walk; a step with True comes after a missing minute."""
    time, price, table = START, 100.0, []
    for change, after_gap in steps:
        time += 120 if after_gap else 60
        start, price = price, max(1.0, price + change)
        table.append((time, start, max(start, price) + 1, min(start, price) - 0.5, price, 1.0))
    return Candles.from_rows(table)


def test_equal_candles_change_nothing(case: Candles, hints: list[Hint]) -> None:
    """Row 20 of the ledger's faults."""
    pipeline.run_sync({SERIES: case})
    before = tables_state()
    hints.clear()

    result = pipeline.run_sync({SERIES: case.take(slice(100, 200))})

    assert tables_state() == before
    assert (result.stored[SERIES], hints) == (0, [])


def test_the_last_of_equal_times_wins() -> None:
    twice = Candles.from_rows([(START, 1, 1, 1, 1, 1), (START, 2, 2, 2, 2, 2)])

    pipeline.run_sync({SERIES: twice})

    assert selectors.candles_latest(SERIES, 10).rows() == [(START, 2, 2, 2, 2, 2)]


def test_a_corrected_candle_recomputes_from_there_and_says_so(
    case: Candles, hints: list[Hint]
) -> None:
    pipeline.run_sync({SERIES: case})
    wrong = Candles.from_rows(
        [(int(case.time[300]), 1.0, 2.0, 0.5, 1.0, 9.0)],
    )
    pipeline.run_sync({SERIES: wrong})
    changed = ledger(SERIES)
    hints.clear()
    pipeline.run_sync({SERIES: case.take(slice(300, 301))})

    head = LedgerHead.objects.get(series_id=SERIES)
    assert head.generation == 2
    assert [(hint.generation, hint.head) for hint in hints] == [(2, int(case.time[-1]))]
    assert changed != ledger(SERIES)
    reset()
    assert straight(case) == ledger(SERIES)


def test_a_correction_of_the_newest_candle_is_computed(case: Candles) -> None:
    expected = straight(case)
    reset()
    odd = Candles.from_rows([(int(case.time[-1]), 1.0, 2.0, 0.5, 1.0, 9.0)])

    pipeline.run_sync({SERIES: case.take(slice(0, -1))})
    pipeline.run_sync({SERIES: odd})
    pipeline.run_sync({SERIES: case.take(slice(-1, None)).at_ordinal(0)})

    assert ledger(SERIES) == expected


def test_a_candle_before_the_first_is_a_new_genesis(case: Candles) -> None:
    expected = straight(case)
    reset()

    pipeline.run_sync({SERIES: case.take(slice(1, None))})
    pipeline.run_sync({SERIES: case.take(slice(0, 1))})

    assert ledger(SERIES) == expected
    assert LedgerHead.objects.get().generation == 1


def test_a_new_series_has_generation_0_and_its_candles_in_the_hint(hints: list[Hint]) -> None:
    """Row 23 of the ledger's faults."""
    candles = flat(1, 2, 3)

    result = pipeline.run_sync({SERIES: candles})

    assert result.rebuilt_series == []
    assert hints == [Hint(SERIES, 0, START + 120, tuple(candles.rows()))]
    assert LedgerHead.objects.get().generation == 0


def test_without_publish_no_hint_is_given(hints: list[Hint]) -> None:
    pipeline.run_sync({SERIES: flat(1, 2, 3)}, publish=False)

    assert hints == []


def test_checkpoints_stand_at_every_512th_candle_and_at_the_head() -> None:
    for part in (flat(*range(1, 601)), flat(*range(1, 701), start=START + 600 * 60)):
        pipeline.run_sync({SERIES: part})

    kept = FactorHeadSnapshot.objects.filter(factor_name="pen").order_by("ordinal")
    assert list(kept.values_list("ordinal", flat=True)) == [0, 512, 1024, 1299]


@pytest.mark.parametrize("sizes", [[511, 1, 1, 1], [512, 1, 1, 600], [513, 512, 1]])
def test_checkpoints_of_any_batches_are_those_of_one_run(sizes: list[int]) -> None:
    """The head's rows move along; what stands at a multiple of 512 stays."""
    whole = bundled_candles(sum(sizes))
    expected = straight(whole)
    reset()
    ends = np.cumsum(sizes).tolist()

    for start, end in zip([0, *ends], ends, strict=False):
        pipeline.run_sync({SERIES: whole.take(slice(start, end)).at_ordinal(0)})

    assert ledger() == expected


def test_the_checkpoint_of_the_head_goes_where_the_factors_are_others(settings: Any) -> None:
    settings.TRADE_CANVAS_ENABLE_FACTOR_FINGERPRINT_REBUILD = False
    settings.TRADE_CANVAS_EXTRA_FACTORS = ["sr"]
    pipeline.run_sync({SERIES: flat(1, 2, 3)})
    settings.TRADE_CANVAS_EXTRA_FACTORS = []

    pipeline.run_sync({SERIES: flat(4, start=START + 180)})

    found = FactorHeadSnapshot.objects.order_by("ordinal", "factor_name")
    kept = [*found.values_list("ordinal", "factor_name")]
    assert kept[:5] == [(0, name) for name in ("anchor", "pen", "pivot", "sr", "zhongshu")]
    assert kept[5:] == [(3, name) for name in ("anchor", "pen", "pivot", "zhongshu")]


@pytest.mark.parametrize("seed", range(3))
def test_what_a_process_remembers_changes_nothing(seed: int, case: Candles) -> None:
    """Each candle is new, or was wrong first; now and then another process takes its turn."""
    short = case.take(slice(0, 200))
    expected = straight(short)
    reset()
    generator = random.Random(seed)  # noqa: S311 (a test's own sequence)

    for place, row in enumerate(short.rows()):
        if generator.random() < 0.2:
            resuming._remembered.clear()
        if generator.random() < 0.1:
            pipeline.run_sync({SERIES: Candles.from_rows([row._replace(high=row.high + 3)])})
        pipeline.run_sync({SERIES: short.take(slice(place, place + 1)).at_ordinal(0)})

    assert ledger() == expected


def test_candles_that_are_remembered_are_not_read_again(case: Candles) -> None:
    pipeline.run_sync({SERIES: case.take(slice(0, -1))})
    found: list[int] = []
    read = selectors.candles_of_each

    def noted(stretches: Any) -> Any:
        answer = read(stretches)
        found.extend(map(len, answer))
        return answer

    with patch.object(selectors, "candles_of_each", noted):
        pipeline.run_sync({SERIES: case.take(slice(-1, None)).at_ordinal(0)})

    assert found == [1]


def test_a_rule_that_raises_keeps_the_candles_and_is_tried_again(
    hints: list[Hint], client: Client
) -> None:
    """Row 5 of the ledger's faults."""
    pipeline.run_sync({SERIES: flat(1, 2)})
    hints.clear()

    with patch.object(Pivot, "step", failing), pytest.raises(IngestPipelineError) as caught:
        pipeline.run_sync({SERIES: flat(3, start=START + 120)})

    head = LedgerHead.objects.get()
    assert caught.value.detail == f"ingest_pipeline_failed:factor.ingest_closed:{SERIES}"
    assert (head.candle_head, head.factor_head) == (START + 120, START + 60)
    assert (head.last_error, head.last_error_step) == (
        "OddCandleError: no luck",
        "factor.ingest_closed",
    )
    assert hints == []
    answer = get(client, "frame/at_time", series_id=SERIES, at_time=START + 120)
    assert (answer.status_code, answer.json()) == (409, {"detail": "ledger_out_of_sync:factor"})

    assert recover() == []
    assert get(client, "frame/at_time", series_id=SERIES, at_time=START + 120).status_code == 200
    head.refresh_from_db()
    assert (head.factor_head, head.last_error) == (START + 120, "")
    assert [hint.head for hint in hints] == [START + 120]


def test_a_drawing_that_raises_moves_no_head(
    case: Candles, hints: list[Hint], client: Client
) -> None:
    """Row 6 of the ledger's faults."""
    last = int(case.time[-1])
    with patch.object(Pivot, "marks", failing), pytest.raises(IngestPipelineError) as caught:
        pipeline.run_sync({SERIES: case})

    head = LedgerHead.objects.get()
    assert caught.value.step == "overlay.ingest_closed"
    assert (head.candle_head, head.factor_head, head.overlay_head) == (last, None, None)
    assert (FactorEvent.objects.count(), hints) == (0, [])
    answer = get(client, "frame/at_time", series_id=SERIES, at_time=last)
    assert (answer.status_code, answer.json()) == (409, {"detail": "ledger_out_of_sync:factor"})

    assert recover() == []
    assert get(client, "frame/at_time", series_id=SERIES, at_time=last).status_code == 200
    assert [hint.head for hint in hints] == [last]


def test_one_failing_series_does_not_stop_the_others(hints: list[Hint]) -> None:
    """Row 9 of the ledger's faults."""
    step = Pivot.step

    def only_other(self: Pivot, state: Any, candles: Candles, *rest: Any) -> Any:
        if candles.close[-1] == 13.0:
            raise OddCandleError("13")
        return step(self, state, candles, *rest)

    with patch.object(Pivot, "step", only_other), pytest.raises(IngestPipelineError) as caught:
        pipeline.run_sync({OTHER: flat(13), SERIES: flat(1)})

    assert caught.value.series_id == OTHER
    assert [hint.series_id for hint in hints] == [SERIES]
    assert LedgerHead.objects.get(series_id=SERIES).overlay_head == START
    assert selectors.head_time(OTHER) == START


def test_a_statement_that_is_refused_once_stops_nobody(hints: list[Hint]) -> None:
    """What was sent at once is sent again, series by series."""
    refused: list[str] = []

    def refuse_first(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("INSERT INTO factor_head_snapshots") and not refused:
            refused.append(sql)
            raise OperationalError("disk I/O error")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse_first):
        pipeline.run_sync({SERIES: flat(1, 2), OTHER: flat(1)})

    assert refused
    assert {head.series_id: head.overlay_head for head in LedgerHead.objects.all()} == {
        SERIES: START + 60,
        OTHER: START,
    }
    assert len(hints) == 2


def test_rows_that_the_database_refuses_stop_only_their_series(hints: list[Hint]) -> None:
    """Row 8 of the ledger's faults: a row in the way of a unique constraint."""
    names = [f"test:spot:S{n:02}/USDT:1m" for n in range(20)]
    refused, others = names[7], {*names} - {names[7]}
    in_the_way = {"factor_name": "pen", "candle_time": START + 60, "ordinal": 1, "seq": 0}
    FactorHeadSnapshot.objects.create(
        series_id=refused, head_json="{}", state=b"", state_version=1, digest=b"",
        created_at_ms=0, **in_the_way,
    )  # fmt: skip

    with pytest.raises(IngestPipelineError, match="constraint") as caught:
        pipeline.run_sync({name: flat(1, 2) for name in names})

    assert caught.value.series_id == refused
    done = LedgerHead.objects.filter(overlay_head=START + 60)
    assert set(done.values_list("series_id", flat=True)) == others
    assert {hint.series_id for hint in hints} == others
    assert selectors.head_time(refused) == START + 60


def test_candles_that_the_database_refuses_stop_only_their_series(hints: list[Hint]) -> None:
    """Row 8 of the ledger's faults: the candles themselves are refused."""
    names = [f"test:spot:S{n:02}/USDT:1m" for n in range(20)]
    refused, others = names[7], {*names} - {names[7]}

    def refuse_one(batches: list[tuple[str, Candles]]) -> None:
        candles_upsert(batches)
        if refused in dict(batches):
            raise IntegrityError("refused")

    with (
        patch.object(pipeline, "candles_upsert", refuse_one),
        pytest.raises(IngestPipelineError) as caught,
    ):
        pipeline.run_sync({name: flat(1, 2) for name in names})

    assert (caught.value.step, caught.value.series_id) == ("store.upsert_many_closed", refused)
    done = LedgerHead.objects.filter(overlay_head=START + 60)
    assert set(done.values_list("series_id", flat=True)) == others
    assert {hint.series_id for hint in hints} == others
    assert selectors.head_time(refused) is None


def test_a_transaction_that_the_database_refuses_stops_only_its_series() -> None:
    names = [f"test:spot:S{n:02}/USDT:1m" for n in range(60)]
    lock = advance.heads_lock

    def refuse_first(part: Any) -> Any:
        if names[0] in part:
            raise OperationalError("database is locked")
        return lock(part)

    with (
        patch.object(advance, "heads_lock", refuse_first),
        pytest.raises(IngestPipelineError) as caught,
    ):
        pipeline.run_sync({name: flat(1) for name in names})

    assert (caught.value.step, caught.value.series_id) == ("store.upsert_many_closed", names[0])
    assert LedgerHead.objects.filter(overlay_head=START).count() == 10


def test_a_bad_series_id_stops_a_run_before_it_writes() -> None:
    with pytest.raises(BadSeriesIdError):
        pipeline.run_sync({SERIES: flat(1), "a:b:c:7w": flat(1)})

    assert LedgerHead.objects.count() == 0


def test_a_run_is_cut_into_transactions_of_50_series() -> None:
    names = [f"test:spot:S{n}/USDT:1m" for n in range(120)]

    parts = list(pipeline._transactions({name: flat(1) for name in names}))

    assert [len(part) for part in parts] == [50, 50, 20]


def test_a_run_is_cut_into_transactions_of_20000_candles() -> None:
    time = np.arange(45_000, dtype=np.int64) * 60 + START
    price = np.ones(45_000)

    parts = list(pipeline._transactions({SERIES: Candles(time, price, price, price, price, price)}))

    assert [len(part[SERIES]) for part in parts] == [20_000, 20_000, 5_000]


def test_a_refresh_far_beyond_the_head_stops_at_the_head(case: Candles) -> None:
    expected = straight(case)
    reset()
    pipeline.run_sync({SERIES: case.take(slice(0, 200))})

    refresh_series_sync({SERIES: int(case.time[-1]) + 10_000})
    pipeline.run_sync({SERIES: case.take(slice(200, None))})

    assert ledger(SERIES) == expected


def test_overlay_switched_on_later_draws_what_was_missed(case: Candles, settings: Any) -> None:
    expected = straight(case)
    reset()
    settings.TRADE_CANVAS_ENABLE_OVERLAY_INGEST = False
    pipeline.run_sync({SERIES: case.take(slice(0, 300))})
    assert LedgerHead.objects.get().overlay_head is None

    settings.TRADE_CANVAS_ENABLE_OVERLAY_INGEST = True
    pipeline.run_sync({SERIES: case.take(slice(300, None))})

    assert ledger(SERIES) == expected


def test_a_correction_while_drawing_is_off_does_not_pass_for_drawn() -> None:
    found = golden("walklong_1_1")
    candles = candles_of(found)
    with use_golden_windows(found):
        expected = straight(candles)
        reset()
        pipeline.run_sync({SERIES: candles.take(slice(0, 300))})
        odd = [(int(candles.time[600]), 1.0, 2.0, 0.5, 1.0, 9.0)]
        with override_settings(TRADE_CANVAS_ENABLE_OVERLAY_INGEST=False):
            pipeline.run_sync({SERIES: candles.take(slice(300, 650))})
            pipeline.run_sync({SERIES: Candles.from_rows(odd)})
        assert LedgerHead.objects.get().overlay_head == int(candles.time[299])

        pipeline.run_sync({SERIES: candles.take(slice(600, None))})

        assert ledger(SERIES) == expected


def test_the_greatest_prices_have_events() -> None:
    with use_golden_windows(golden("box_2_1")):
        small = candles_of(golden("box_2_1"))
        rows = [c._replace(high=c.high * 1e300, low=c.low * 1e300) for c in small.rows()]
        pipeline.run_sync({SERIES: Candles.from_rows(rows)})

    assert FactorEvent.objects.filter(kind="zhongshu.dead").exists()


def test_other_windows_recompute_the_whole_ledger(case: Candles) -> None:
    expected = straight(case)
    reset()
    with use_golden_windows({"params": {"pivot_window_major": 9, "pivot_window_minor": 3}}):
        pipeline.run_sync({SERIES: case})

    assert recover() == []

    assert ledger(SERIES) == expected
    assert LedgerHead.objects.get().generation == 1


def test_factors_switched_off_store_candles_alone(settings: Any, hints: list[Hint]) -> None:
    settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST = False

    pipeline.run_sync({SERIES: flat(1, 2)})

    head = LedgerHead.objects.get()
    assert (head.candle_head, head.factor_head) == (START + 60, None)
    assert [hint.head for hint in hints] == [START + 60]


def test_a_change_while_factors_are_off_is_announced(settings: Any, hints: list[Hint]) -> None:
    settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST = False
    pipeline.run_sync({SERIES: flat(1, 2, 3)})

    pipeline.run_sync({SERIES: flat(9, start=START + 60)})
    pipeline.run_sync({SERIES: flat(4, start=START + 180)})

    assert [hint.generation for hint in hints] == [0, 1, 1]
    assert LedgerHead.objects.get(series_id=SERIES).generation == 1


def test_a_change_that_no_factor_has_seen_is_announced(hints: list[Hint]) -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})
    with patch.object(Pivot, "step", failing), pytest.raises(IngestPipelineError):
        pipeline.run_sync({SERIES: flat(3, start=START + 120)})
    hints.clear()

    done = pipeline.run_sync({SERIES: flat(9, start=START + 120)})

    assert [(hint.generation, hint.head) for hint in hints] == [(1, START + 120)]
    assert done.rebuilt_series == [SERIES]


def test_candles_that_wait_for_factors_are_no_change() -> None:
    with patch.object(Pivot, "step", failing), pytest.raises(IngestPipelineError):
        pipeline.run_sync({SERIES: flat(1, 2)})

    pipeline.run_sync({SERIES: flat(1, 2, 3)})

    assert LedgerHead.objects.get(series_id=SERIES).generation == 0


def test_other_rules_and_a_change_raise_the_generation_once(settings: Any) -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})
    with patch.object(Pivot, "step", failing), pytest.raises(IngestPipelineError):
        pipeline.run_sync({SERIES: flat(3, start=START + 120)})
    settings.TRADE_CANVAS_FACTOR_LOGIC_VERSION = "another"

    pipeline.run_sync({SERIES: flat(9, start=START + 120)})

    assert LedgerHead.objects.get(series_id=SERIES).generation == 1


def test_a_zero_loses_its_sign_wherever_it_goes(hints: list[Hint]) -> None:
    pipeline.run_sync({SERIES: flat(-0.0)})

    stored = selectors.candles_latest(SERIES, 1).rows()[0]
    assert repr(stored) == repr(hints[0].candles[0])
    assert "-0.0" not in repr(stored)


def test_the_sweep_goes_on_after_a_series_that_the_database_refuses() -> None:
    with override_settings(TRADE_CANVAS_ENABLE_FACTOR_INGEST=False):
        pipeline.run_sync({SERIES: flat(1), OTHER: flat(2)})
    real = refresh_series_sync

    def refused(times: dict[str, int], *, wait: float) -> Any:
        if OTHER in times:
            raise OperationalError("database is locked")
        return real(times, wait=wait)

    with patch("ledger.sync.refresh_series_sync", refused):
        assert recover() == [OTHER]
    assert LedgerHead.objects.get(series_id=SERIES).factor_head == START


@pytest.mark.parametrize(("failures", "is_stored"), [(1, True), (3, True), (4, False)])
def test_a_deadlock_is_tried_three_times_more(
    failures: int, is_stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 25 of the ledger's faults."""
    pauses: list[float] = []
    left = [failures]
    real = pipeline._take

    class DeadlockError(Exception):
        sqlstate = "40P01"

    def failing(*given: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OperationalError("deadlock detected") from DeadlockError()
        return real(*given)

    monkeypatch.setattr(pipeline, "_take", failing)
    monkeypatch.setattr("market.database.time.sleep", pauses.append)

    if is_stored:
        pipeline.run_sync({SERIES: flat(1)})
    else:
        with pytest.raises(IngestPipelineError, match=r"store\.upsert_many_closed"):
            pipeline.run_sync({SERIES: flat(1)})

    assert pauses == [0.05, 0.1, 0.2][:failures]
    assert (selectors.head_time(SERIES) == START) is is_stored
