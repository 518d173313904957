"""Derived series: whatever way the base candles came, they are what the straight run gives."""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import IntegrityError, OperationalError, connection, connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from factors import services
from ingest import pipeline
from ingest.catch_up import derived_catch_up, derived_catch_up_all, first_window
from ledger import advance
from ledger.advance import IngestPipelineError
from ledger.models import LedgerHead
from ledger.recovery import recover
from ledger.verify import series_verify
from market import database, derived, rollup, selectors, store
from market.candles import Candle, Candles
from market.groups import Hint
from market.series import MAX_LENGTH
from tests.ledger.stored import ledger, reset
from tests.tables import tables_state

pytestmark = pytest.mark.django_db
DAY = 1_699_920_000
BASE, OTHER = "test:spot:DERIVED/USDT:1m", "test:spot:OTHER/USDT:1m"
NAMES = ("5m", "15m", "1h", "4h", "1d")


@pytest.fixture(autouse=True)
def derived_on(settings: Any) -> None:
    """Make longer timeframes, and look for small structures."""
    settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES = True
    settings.TRADE_CANVAS_PIVOT_WINDOW_MAJOR = 2
    settings.TRADE_CANVAS_PIVOT_WINDOW_MINOR = 1


@pytest.fixture
def hints() -> Iterator[list[Hint]]:
    """Return the hints that are given from now on."""
    given_: list[Hint] = []
    everybody = patch.object(advance, "is_heard", lambda _: True)
    with everybody, patch.object(advance, "announce", given_.extend):
        yield given_


def of(timeframe: str, base: str = BASE) -> str:
    """Return a series of the same symbol."""
    return f"{base.rpartition(':')[0]}:{timeframe}"


def minutes(count: int, first: int = 0, seed: int = 1) -> Candles:
    """Return a walk of so many minutes, the first of them so long after the day began."""
    generator = np.random.default_rng(seed)
    close = 100 + np.cumsum(generator.normal(0, 1, count + first))[first:]
    start = close - generator.normal(0, 1, count)
    high, low = np.maximum(start, close) + 0.3, np.minimum(start, close) - 0.2
    time = DAY + 60 * np.arange(first, first + count, dtype=np.int64)
    return Candles(time, start, high, low, close, generator.random(count))


def other_price(candle: Candles) -> Candles:
    """Return the same candle with a higher high."""
    return replace(candle, high=candle.high + 50)


def family(base: str = BASE) -> list[Any]:
    """Return all that is stored of a base series and those derived from it, generations aside."""
    found: list[Any] = []
    for name in (base, *(of(timeframe, base) for timeframe in NAMES)):
        candles = selectors.candles_latest(name, 10**6).rows()
        found += [name, candles, ledger(name) if candles else []]
    return found


def times(timeframe: str) -> list[int]:
    """Return the times of the candles of a derived series, from the day's beginning on."""
    return [int(t) - DAY for t in selectors.candles_latest(of(timeframe), 10**6).time]


def generation(timeframe: str) -> int:
    return LedgerHead.objects.get(series_id=of(timeframe)).generation


def straight(candles: Candles) -> list[Any]:
    """Return what is stored when these candles come at once, and forget it."""
    reset()
    pipeline.run_sync({BASE: candles})
    found = family()
    reset()
    return found


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 10**6),
    missing=st.sets(st.integers(0, 199), max_size=3),
    wrong=st.sets(st.integers(0, 199), max_size=4),
    cuts=st.sets(st.integers(1, 199), max_size=8),
    is_shuffled=st.booleans(),
)
def test_any_order_batches_late_fills_and_corrections_give_the_straight_ledgers(
    seed: int, missing: set[int], wrong: set[int], cuts: set[int], is_shuffled: bool
) -> None:
    whole = minutes(200, seed=seed)
    kept = np.array([n not in missing for n in range(200)])
    expected = straight(whole.take(kept))
    order = np.flatnonzero(kept)
    if is_shuffled:
        np.random.default_rng(seed).shuffle(order)

    for part in np.split(order, sorted(cut for cut in cuts if cut < len(order))):
        for n in part if len(part) < 20 else ():
            if n in wrong:
                pipeline.run_sync({BASE: other_price(whole.take(slice(n, n + 1)))})
        if len(part):
            pipeline.run_sync({BASE: whole.take(part)})
    for n in wrong - missing:
        pipeline.run_sync({BASE: other_price(whole.take(slice(n, n + 1)))})
        pipeline.run_sync({BASE: whole.take(slice(n, n + 1))})

    assert family() == expected


def test_one_by_one_gives_the_straight_ledgers_and_they_verify() -> None:
    whole = minutes(500)
    expected = straight(whole)

    for n in range(500):
        pipeline.run_sync({BASE: whole.take(slice(n, n + 1))})

    assert family() == expected
    assert times("4h") == [0, 14400]
    assert all(series_verify(of(name)).is_sound for name in NAMES)
    assert [generation(name) for name in ("5m", "15m", "1h", "4h")] == [0, 0, 0, 0]


def test_a_day_is_made_of_its_minutes() -> None:
    whole = minutes(2 * 1440)
    first = whole.take(slice(0, 1440))

    pipeline.run_sync({BASE: whole.take(slice(0, 1439))})
    assert times("1d") == []
    pipeline.run_sync({BASE: whole.take(slice(1439, None))})

    assert times("1d") == [0, 86_400]
    assert selectors.candles_latest(of("1d"), 1, DAY).rows() == [
        Candle(
            DAY,
            float(first.open[0]),
            float(first.high.max()),
            float(first.low.min()),
            float(first.close[-1]),
            rollup.total(first.volume),
        )
    ]
    assert series_verify(of("1d")).is_sound


def test_a_forming_candle_of_the_next_bucket_does_not_lose_the_one_that_closes_late() -> None:
    """Row 13 of the feeds' faults."""
    whole = minutes(6)
    pipeline.run_sync({BASE: whole.take(slice(0, 4))})
    stored = selectors.candles_latest(BASE, 10)

    shown = rollup.forming(stored, whole.rows()[5], 300)
    pipeline.run_sync({BASE: whole.take(slice(4, 5))})

    assert shown.candle_time == DAY + 300
    assert times("5m") == [0]


def test_a_start_in_the_middle_of_a_bucket_loses_nothing_of_it() -> None:
    """Row 40 of the feeds' faults."""
    whole = minutes(7)
    expected = straight(whole)
    with override_settings(TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES=False):
        pipeline.run_sync({BASE: whole.take(slice(0, 2))})

    for n in range(2, 7):
        pipeline.run_sync({BASE: whole.take(slice(n, n + 1))})

    assert family() == expected
    assert times("5m") == [0]


def test_a_minute_that_comes_late_brings_its_hour_once(hints: list[Hint]) -> None:
    """Row 41 of the feeds' faults."""
    whole = minutes(70)
    expected = straight(whole)
    for n in [*range(30), *range(31, 70)]:
        pipeline.run_sync({BASE: whole.take(slice(n, n + 1))})
    assert times("1h") == []
    hints.clear()

    pipeline.run_sync({BASE: whole.take(slice(30, 31))})
    pipeline.run_sync({BASE: whole.take(slice(30, 31))})

    assert [hint.series_id for hint in hints if hint.series_id == of("1h")] == [of("1h")]
    assert times("1h") == [0]
    assert family() == expected


def test_a_corrected_minute_corrects_every_bucket_that_holds_it(hints: list[Hint]) -> None:
    """Row 42 of the feeds' faults."""
    whole = minutes(1440)
    pipeline.run_sync({BASE: whole})
    hints.clear()
    wrong = other_price(whole.take(slice(700, 701)))

    result = pipeline.run_sync({BASE: wrong})

    family_names = {BASE, *map(of, NAMES)}
    assert set(result.rebuilt_series) == family_names
    assert {hint.series_id: hint.generation for hint in hints} == dict.fromkeys(family_names, 1)
    for name in NAMES:
        high = selectors.candles_latest(of(name), 1, int(wrong.time[0])).high[0]
        assert high == wrong.high[0]
        assert series_verify(of(name)).is_sound
    pipeline.run_sync({BASE: whole.take(slice(700, 701))})
    assert family() == straight(whole)


def test_a_bucket_with_a_hole_has_no_candle() -> None:
    whole = minutes(15)

    pipeline.run_sync({BASE: whole.take(np.arange(15) != 7)})

    assert (times("5m"), times("15m")) == ([0, 600], [])


def test_a_derived_series_that_was_only_locked_is_sound() -> None:
    pipeline.run_sync({BASE: minutes(5).take(np.arange(5) != 2)})

    assert series_verify(of("5m")).is_sound
    assert LedgerHead.objects.get(series_id=of("5m")).candle_head is None
    call_command("check_ledger")
    assert recover() == []


def test_off_by_default_nothing_is_made(settings: Any) -> None:
    settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES = False

    pipeline.run_sync({BASE: minutes(60)})
    derived_catch_up(BASE)
    first_window(of("5m"))

    assert list(LedgerHead.objects.values_list("series_id", flat=True)) == [BASE]
    assert database.series_in("candles") == [BASE]


@pytest.mark.parametrize("last", [6, 7, 8])
def test_a_candle_that_ends_no_bucket_costs_no_statement_more(last: int, settings: Any) -> None:
    counts = []
    for is_on in (False, True):
        reset()
        settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES = is_on
        pipeline.run_sync({BASE: minutes(last)})
        with CaptureQueriesContext(connection) as taken:
            pipeline.run_sync({BASE: minutes(1, first=last)})
        counts.append([one["sql"].split(" WHERE ")[0] for one in taken])

    assert [len(taken) for taken in counts] == [len(counts[0])] * 2


def test_hints_tell_of_derived_series_with_their_candles(hints: list[Hint]) -> None:
    pipeline.run_sync({BASE: minutes(14)})
    hints.clear()

    pipeline.run_sync({BASE: minutes(1, first=14)})

    newest = [
        (hint.series_id, hint.candles[0].candle_time - DAY, hint.generation) for hint in hints
    ]
    assert newest == [(of("15m"), 0, 0), (BASE, 840, 0), (of("5m"), 600, 0)]


class OddCandleError(Exception):
    """What a broken rule raises."""


def test_a_rule_that_fails_on_a_derived_series_does_not_stop_its_base(hints: list[Hint]) -> None:
    compute = services.series_compute
    pipeline.run_sync({BASE: minutes(4)})
    hints.clear()

    def odd(**asked: Any) -> Any:
        if str(asked["series"]) == of("5m"):
            raise OddCandleError
        return compute(**asked)

    with patch.object(services, "series_compute", odd):
        result = pipeline.run_sync({BASE: minutes(1, first=4)})

    head = LedgerHead.objects.get(series_id=of("5m"))
    assert (head.candle_head, head.factor_head, head.last_error) == (DAY, None, "OddCandleError: ")
    assert [hint.series_id for hint in hints] == [BASE]
    assert [step.name for step in result.steps if not step.ok] == [
        f"factor.ingest_closed:{of('5m')}"
    ]
    assert recover() == []
    assert series_verify(of("5m")).is_sound


def test_rows_of_a_derived_series_that_are_refused_stop_only_its_family() -> None:
    write = services.found_write

    def refuse(runs: Any) -> None:
        if any(found.series_id == of("5m") for found in runs):
            raise IntegrityError("refused")
        write(runs)

    with (
        patch.object(services, "found_write", refuse),
        pytest.raises(IngestPipelineError) as caught,
    ):
        pipeline.run_sync({BASE: minutes(5), OTHER: minutes(5)})

    assert caught.value.series_id == BASE
    ready = LedgerHead.objects.filter(overlay_head__isnull=False)
    assert sorted(ready.values_list("series_id", flat=True)) == [OTHER, of("5m", OTHER)]
    assert recover() == []
    assert series_verify(of("5m")).is_sound


def test_candles_of_a_derived_series_that_are_refused_stop_only_its_family() -> None:
    upsert = store.candles_upsert

    def refuse(batches: list[tuple[str, Candles]]) -> None:
        if of("5m") in dict(batches):
            raise IntegrityError("refused")
        upsert(batches)

    with (
        patch("ingest.pipeline.candles_upsert", refuse),
        pytest.raises(IngestPipelineError) as caught,
    ):
        pipeline.run_sync({BASE: minutes(5), OTHER: minutes(5)})

    assert (caught.value.series_id, caught.value.step) == (BASE, "store.upsert_many_closed")
    assert database.series_in("candles") == [OTHER, of("5m", OTHER)]
    assert LedgerHead.objects.get(series_id=BASE).candle_head is None


def test_a_family_counts_as_one_series_in_a_transaction() -> None:
    names = [f"test:spot:S{n:02}/USDT:1m" for n in range(60)]
    batches = {of(name, base): minutes(1) for base in names for name in ("1m", "5m", "15m")}

    parts = list(pipeline._transactions(batches))

    assert [len(part) for part in parts] == [150, 30]


def test_candles_of_a_base_come_after_those_of_its_derived_series() -> None:
    long = minutes(20_010)

    parts = list(pipeline._transactions({BASE: long, of("5m"): minutes(1), of("15m"): minutes(1)}))

    assert [list(part) for part in parts] == [[of("15m"), of("5m"), BASE], [BASE]]


@pytest.mark.parametrize("count", [5, 20_010])
def test_what_is_made_wins_over_what_came_along_with_it(count: int) -> None:
    given_, base = other_price(minutes(1)), minutes(count)

    pipeline.run_sync({of("5m"): given_, BASE: base})

    assert selectors.candles_latest(of("5m"), 1, DAY).high[0] == base.high[:5].max()
    assert series_verify(of("5m")).is_sound


def test_a_derived_candle_that_comes_later_is_a_correction_like_any_other() -> None:
    pipeline.run_sync({BASE: minutes(10)})
    given_ = other_price(selectors.candles_latest(of("5m"), 1, DAY))

    pipeline.run_sync({of("5m"): given_})
    pipeline.run_sync({BASE: minutes(10)})

    assert selectors.candles_latest(of("5m"), 1, DAY).rows() == given_.rows()
    assert generation("5m") == 1


def test_a_derived_candle_closes_a_hole_that_its_base_cannot() -> None:
    pipeline.run_sync({BASE: minutes(15).take(np.arange(15) != 7)})

    pipeline.run_sync({of("5m"): Candles.from_rows([(DAY + 300, 1, 2, 0.5, 1, 3)])})
    pipeline.run_sync({BASE: minutes(1, first=15)})

    assert times("5m") == [0, 300, 600]


def test_catching_up_goes_from_the_derived_head_to_the_base_head() -> None:
    whole = minutes(3000)
    expected = straight(whole)
    pipeline.run_sync({BASE: whole.take(slice(0, 700))})
    with override_settings(TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES=False):
        pipeline.run_sync({BASE: whole.take(slice(700, None))})

    with patch("ingest.catch_up.PART", 500):
        derived_catch_up(of("15m"))

    assert family() == expected
    before = tables_state()
    derived_catch_up(BASE)
    assert tables_state() == before


def test_catching_up_begins_with_the_first_base_candle_where_there_is_none() -> None:
    with override_settings(TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES=False):
        pipeline.run_sync({BASE: minutes(130), OTHER: minutes(10)})

    derived_catch_up_all()

    assert times("1h") == [0, 3600]
    assert selectors.head_time(of("5m", OTHER)) == DAY + 300


def test_a_family_that_cannot_catch_up_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    with override_settings(TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES=False):
        pipeline.run_sync({BASE: minutes(10), OTHER: minutes(10)})
    real = pipeline.derive_sync

    def refused(base: str, *rest: Any) -> None:
        if base == BASE:
            raise OperationalError("database is locked")
        real(base, *rest)

    with patch.object(pipeline, "derive_sync", refused):
        derived_catch_up_all()

    assert f"derived.catch_up_failed {BASE}" in caplog.text
    assert selectors.head_time(of("5m", OTHER)) == DAY + 300


def test_a_derived_id_that_would_be_too_long_is_no_series() -> None:
    longest = f"x:y:{'z' * (MAX_LENGTH - 7)}:1m"

    pipeline.run_sync({longest: minutes(15), BASE: minutes(15)})

    assert selectors.head_time(of("5m", longest)) == DAY + 600
    assert of("15m", longest) not in derived.derived_from(longest)
    assert set(LedgerHead.objects.values_list("series_id", flat=True)) == {
        *(longest, of("5m", longest)),
        *(BASE, of("5m"), of("15m")),
    }


def test_a_base_id_that_would_be_too_long_is_no_base(settings: Any) -> None:
    settings.TRADE_CANVAS_DERIVED_BASE_TIMEFRAME = "15m"
    settings.TRADE_CANVAS_DERIVED_TIMEFRAMES = ["1h"]
    longest = f"x:y:{'z' * (MAX_LENGTH - 7)}:1h"

    assert derived.base_of(longest) is None
    assert derived.base_of(of("1h")) == of("15m")


def test_catching_up_tells_sockets_and_keeps_the_error_of_a_rule(hints: list[Hint]) -> None:
    with override_settings(TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES=False):
        pipeline.run_sync({BASE: minutes(15)})
    hints.clear()
    compute = services.series_compute

    def odd(**asked: Any) -> Any:
        if str(asked["series"]) == of("15m"):
            raise OddCandleError
        return compute(**asked)

    with patch.object(services, "series_compute", odd):
        derived_catch_up(BASE)

    assert [hint.series_id for hint in hints] == [of("5m")]
    assert LedgerHead.objects.get(series_id=of("15m")).last_error == "OddCandleError: "


def test_the_first_window_is_made_of_the_newest_base_candles(settings: Any) -> None:
    settings.TRADE_CANVAS_DERIVED_BACKFILL_BASE_CANDLES = 100
    with override_settings(TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES=False):
        pipeline.run_sync({BASE: minutes(300)})

    first_window(of("15m"))
    settings.TRADE_CANVAS_DERIVED_BACKFILL_BASE_CANDLES = 200
    first_window(of("15m"))

    assert times("15m") == [900 * n for n in range(13, 20)]
    assert times("5m") == []
    assert generation("15m") == 0


def test_the_first_window_of_a_series_without_a_base_is_empty() -> None:
    first_window(of("5m"))
    first_window(BASE)

    assert LedgerHead.objects.count() == 0


@pytest.mark.parametrize("bad", ["7m", "1m", "2d", "1w"])
def test_timeframes_that_cannot_be_made_stop_the_start(bad: str, settings: Any) -> None:
    settings.TRADE_CANVAS_DERIVED_TIMEFRAMES = ["5m", bad]

    with pytest.raises(ImproperlyConfigured, match=f"DERIVED_TIMEFRAMES: {bad}: "):
        derived.settings_check()

    settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES = False
    derived.settings_check()


def test_another_base_has_its_own_timeframes(settings: Any) -> None:
    settings.TRADE_CANVAS_DERIVED_BASE_TIMEFRAME = "15m"
    settings.TRADE_CANVAS_DERIVED_TIMEFRAMES = ["1h"]
    quarters = Candles.from_rows([(DAY + 900 * n, 1, 1, 1, 1, n) for n in range(4)])

    pipeline.run_sync({of("15m"): quarters, BASE: minutes(20)})

    assert (times("1h"), times("5m")) == ([0], [])
    assert derived.base_of(of("1h")) == of("15m")


def test_a_late_candle_locks_base_and_derived_series_anew_in_text_order() -> None:
    pipeline.run_sync({BASE: minutes(15).take(np.arange(15) != 7)})
    locked: list[list[str]] = []
    lock = advance.heads_lock

    def noted(names: Collection[str]) -> Any:
        heads = lock(names)
        locked.append([head.series_id for head in heads])
        return heads

    with patch.object(advance, "heads_lock", noted):
        pipeline.run_sync({BASE: minutes(1, first=7)})

    assert locked == [[BASE], [of("15m"), BASE, of("5m")]]


@pytest.mark.django_db(transaction=True, databases=["default", "reader"])
def test_runs_that_meet_in_one_family_wait_for_each_other_and_do_not_deadlock() -> None:
    whole = minutes(120)
    expected = straight(whole)
    fives = rollup.roll_up(whole, 60, 300)

    def from_the_base() -> None:
        for n in range(0, 120, 5):
            pipeline.run_sync({BASE: whole.take(slice(n, n + 5))})

    def from_the_end() -> None:
        for n in reversed(range(24)):
            pipeline.run_sync({of("5m"): fives.take(slice(n, n + 1)), OTHER: minutes(5, 5 * n)})

    def backwards() -> None:
        for n in reversed(range(120)):
            pipeline.run_sync({BASE: whole.take(slice(n, n + 1))})

    def alone(action: Any) -> None:
        try:
            action()
        finally:
            connections.close_all()

    with patch.object(database, "RETRY_PAUSES", ()), ThreadPoolExecutor(3) as threads:
        list(threads.map(alone, [from_the_base, from_the_end, backwards]))

    assert family() == expected
    assert all(series_verify(of(name)).is_sound for name in NAMES)


def test_a_run_that_finds_no_turn_says_so_and_changes_nothing() -> None:
    before = tables_state()

    def busy(names: Collection[str]) -> Any:
        if of("5m") in names:
            raise OperationalError("database is locked")
        return []

    with patch.object(advance, "heads_lock", busy), pytest.raises(IngestPipelineError) as caught:
        pipeline.run_sync({BASE: minutes(5)})

    assert caught.value.series_id == BASE
    if connection.vendor == "sqlite":
        assert tables_state() == before
