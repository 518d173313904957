"""Verifying recomputes a ledger, finds every planted change, names it, and writes nothing."""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, models
from django.test import override_settings

from factors.engine.plugins.pen import Pen
from factors.models import FactorEvent, FactorHeadSnapshot
from ingest import pipeline
from ledger.advance import IngestPipelineError, refresh_series_sync
from ledger.models import LedgerHead, OverlayInstructionVersion
from ledger.rebuild import series_rebuild
from ledger.selectors import ledger_checksum
from ledger.verify import Table, first_difference, series_verify
from market import database
from market.candles import Candles
from tests.goldens import candles_of, golden
from tests.ledger.reading import SERIES, use_golden_windows
from tests.tables import tables_state

pytestmark = pytest.mark.django_db
CASE = golden("walk_2_1")
OTHER = "test:spot:OTHER/USDT:1m"
NOT_DRAWN = {"TRADE_CANVAS_ENABLE_OVERLAY_INGEST": False}
Change = Callable[[], Any]


@pytest.fixture(autouse=True)
def golden_windows() -> Iterator[None]:
    with use_golden_windows(CASE):
        yield


@pytest.fixture
def candles() -> Candles:
    """Return candles that cross an ordinal whose checkpoint stays."""
    return candles_of(CASE)


@pytest.fixture
def few() -> Candles:
    return part(candles_of(CASE), 0, 150)


def part(candles: Candles, start: int, stop: int | None = None) -> Candles:
    return candles.take(slice(start, stop))


def other_price(candles: Candles, row: int) -> Candles:
    """Return one candle that closes elsewhere."""
    time, opened, high, low, close, volume = candles.rows()[row]
    return Candles.from_rows([(time, opened, high + 9, low - 9, close + 5, volume)])


def verified(*options: str) -> tuple[str, bool]:
    """Run the command; return all that it said, and whether it found the ledgers sound."""
    out = io.StringIO()
    try:
        call_command("verify_ledger", *(options or [SERIES]), stdout=out, stderr=out)
    except CommandError as error:
        return f"{out.getvalue()}\n{error}", False
    return out.getvalue(), True


def in_bulk(candles: Candles) -> None:
    pipeline.run_sync({SERIES: candles})


def one_by_one(candles: Candles) -> None:
    pipeline.run_sync({SERIES: part(candles, 0, 490)})
    for row in range(490, 540):
        pipeline.run_sync({SERIES: part(candles, row, row + 1)})


def with_a_late_candle(candles: Candles) -> None:
    pipeline.run_sync({SERIES: part(candles, 0, 520)})
    pipeline.run_sync({SERIES: part(candles, 523)})
    pipeline.run_sync({SERIES: part(candles, 520, 523)})


def with_a_correction(candles: Candles) -> None:
    pipeline.run_sync({SERIES: candles})
    pipeline.run_sync({SERIES: other_price(candles, 300)})
    pipeline.run_sync({SERIES: other_price(candles, 590)})


def with_one_before_the_first(candles: Candles) -> None:
    pipeline.run_sync({SERIES: part(candles, 1)})
    pipeline.run_sync({SERIES: part(candles, 0, 1)})


def rebuilt(candles: Candles) -> None:
    pipeline.run_sync({SERIES: part(candles, 0, 550)})
    series_rebuild(SERIES)
    pipeline.run_sync({SERIES: part(candles, 550)})


def drawn_later(candles: Candles) -> None:
    pipeline.run_sync({SERIES: part(candles, 0, 300)})
    with override_settings(**NOT_DRAWN):
        pipeline.run_sync({SERIES: part(candles, 300, 580)})
    pipeline.run_sync({SERIES: part(candles, 580)})


def corrected_while_not_drawn(candles: Candles) -> None:
    pipeline.run_sync({SERIES: candles})
    with override_settings(**NOT_DRAWN):
        pipeline.run_sync({SERIES: other_price(candles, 560)})
    refresh_series_sync({SERIES: 2**62})


def rebuilt_while_not_drawn(candles: Candles) -> None:
    pipeline.run_sync({SERIES: candles})
    with override_settings(**NOT_DRAWN):
        series_rebuild(SERIES)
    refresh_series_sync({SERIES: 2**62})


@pytest.mark.parametrize(
    "way",
    [
        in_bulk, one_by_one, with_a_late_candle, with_a_correction, with_one_before_the_first,
        rebuilt, drawn_later, corrected_while_not_drawn, rebuilt_while_not_drawn,
    ],
    ids=lambda way: way.__name__,
)  # fmt: skip
def test_a_ledger_agrees_whatever_way_its_candles_came(
    candles: Candles, way: Callable[[Candles], None]
) -> None:
    way(candles)
    before = tables_state()

    said, is_sound = verified()

    assert is_sound, said
    assert "all agrees" in said
    assert "behind" not in said
    assert tables_state() == before


def middle(model: type[models.Model], **narrowed: Any) -> models.QuerySet[Any]:
    """Return the row in the middle of a table."""
    rows = model._default_manager.filter(**narrowed).order_by("pk")
    return model._default_manager.filter(pk=rows[len(rows) // 2].pk)


def at_head() -> models.QuerySet[Any]:
    newest = FactorHeadSnapshot.objects.order_by("-candle_time", "factor_name").first()
    return FactorHeadSnapshot.objects.filter(pk=newest.pk)  # type: ignore[union-attr]


def copied(model: type[models.Model], **changes: Any) -> None:
    """Add a row that is as the one in the middle but for these columns."""
    row = middle(model).get()
    row.pk = None
    for name, value in changes.items():
        setattr(row, name, value)
    row.save(force_insert=True)


EVENTS: dict[str, Any] = {
    "factor_name": "zz",
    "candle_time": models.F("candle_time") + 1,
    "ordinal": models.F("ordinal") - 1,
    "seq": 99,
    "kind": "pen.guessed",
    "event_key": "another",
    "payload_json": '{"price":1.0}',
}
SNAPSHOTS: dict[str, Any] = {
    "factor_name": "zz",
    "candle_time": models.F("candle_time") - 1,
    "seq": 1,
    "ordinal": models.F("ordinal") + 1,
    "head_json": "{}",
    "state": b"\x01\x02",
    "state_version": 9,
    "digest": b"\x03" * 32,
}
INSTRUCTIONS: dict[str, Any] = {
    "instruction_id": "another",
    "kind": "polygon",
    "visible_time": models.F("visible_time") + 1,
    "ordinal": models.F("ordinal") - 1,
    "seq": 99,
    "def_json": '{"type":"marker"}',
}
HEADS: list[tuple[str, Any]] = [
    ("candle_head", None),
    ("candle_head", models.F("candle_head") - 60),
    ("candle_head", models.F("candle_head") + 60),
    ("factor_head", None),
    ("factor_head", models.F("factor_head") - 60 * 40),
    ("factor_head", models.F("factor_head") - 1),
    ("factor_head", models.F("factor_head") + 60),
    ("overlay_head", None),
    ("overlay_head", models.F("overlay_head") - 60 * 100),
    ("overlay_head", models.F("overlay_head") - 1),
    ("overlay_head", models.F("overlay_head") + 60),
    ("digest", ""),
    ("digest", "ab" * 32),
    ("rules_fingerprint", ""),
    ("rules_fingerprint", "another"),
]
CHANGED = [
    *((FactorEvent, "factor_events", column, value) for column, value in EVENTS.items()),
    *((FactorHeadSnapshot, "factor_head_snapshots", *change) for change in SNAPSHOTS.items()),
    *(
        (OverlayInstructionVersion, "overlay_instruction_versions", *change)
        for change in INSTRUCTIONS.items()
    ),
]


def require_found_and_healed(*named: str) -> None:
    """Verify, which names the change and writes nothing; repair, which heals it."""
    planted = tables_state()
    said, is_sound = verified()
    assert not is_sound
    assert [name for name in named if name not in said] == []
    assert tables_state() == planted

    said, is_sound = verified(SERIES, "--repair")

    assert is_sound, said
    assert "rebuilt, generation" in said


@pytest.mark.parametrize(
    ("model", "table", "column", "value"), CHANGED, ids=[f"{c[1]}.{c[2]}" for c in CHANGED]
)
def test_a_changed_column_is_found_and_named_and_healed(
    candles: Candles, model: type[models.Model], table: str, column: str, value: Any
) -> None:
    in_bulk(candles if model is FactorHeadSnapshot else part(candles, 0, 150))
    sound = ledger_checksum(SERIES)
    middle(model).update(**{column: value})

    require_found_and_healed(f"{table} ", f" {column}=")

    assert ledger_checksum(SERIES) == sound


@pytest.mark.parametrize("column", SNAPSHOTS)
def test_a_change_in_the_checkpoint_of_the_head_is_found(few: Candles, column: str) -> None:
    in_bulk(few)
    at_head().update(**{column: SNAPSHOTS[column]})

    require_found_and_healed("factor_head_snapshots ", f" {column}=")


@pytest.mark.parametrize(("column", "value"), HEADS)
def test_a_changed_head_row_is_found_and_named_and_healed(
    few: Candles, column: str, value: Any
) -> None:
    in_bulk(few)
    sound = LedgerHead.objects.get(series_id=SERIES)
    LedgerHead.objects.update(**{column: value})

    named = column if column == "rules_fingerprint" else "ledger_heads series_id="
    require_found_and_healed(named)

    healed = LedgerHead.objects.get(series_id=SERIES)
    assert getattr(healed, column) == getattr(sound, column)


@pytest.mark.parametrize(
    ("table", "plant", "side"),
    [
        ("factor_events", lambda: middle(FactorEvent).delete(), "stored:    nothing"),
        (
            "factor_events",
            lambda: copied(FactorEvent, event_key="more", seq=9),
            "should be: nothing",
        ),
        (
            "factor_events",
            lambda: copied(FactorEvent, event_key="more", candle_time=-60, ordinal=-1),
            "should be: nothing",
        ),
        (
            "factor_head_snapshots",
            lambda: middle(FactorHeadSnapshot).delete(),
            "stored:    nothing",
        ),
        ("factor_head_snapshots", lambda: at_head().delete(), "stored:    nothing"),
        (
            "factor_head_snapshots",
            lambda: copied(FactorHeadSnapshot, candle_time=1, ordinal=7),
            "should be: nothing",
        ),
        (
            "overlay_instruction_versions",
            lambda: middle(OverlayInstructionVersion).delete(),
            "stored:    nothing",
        ),
        (
            "overlay_instruction_versions",
            lambda: copied(OverlayInstructionVersion, instruction_id="more", seq=9),
            "should be: nothing",
        ),
    ],
)
def test_a_row_too_few_or_too_many_is_found_and_healed(
    few: Candles, table: str, plant: Change, side: str
) -> None:
    """Row 21 of the ledger's faults: any row is named, and so is each of its columns."""
    in_bulk(few)
    sound = ledger_checksum(SERIES)
    plant()

    require_found_and_healed(f"{table} ", side)

    assert ledger_checksum(SERIES) == sound


def test_the_earliest_of_several_differences_is_named(few: Candles) -> None:
    in_bulk(few)
    first = OverlayInstructionVersion.objects.order_by("ordinal", "seq")[0]
    OverlayInstructionVersion.objects.filter(pk=first.pk).update(def_json="{}")
    middle(FactorEvent).update(payload_json="{}")
    LedgerHead.objects.update(digest="")

    said, _ = verified()

    assert f"overlay_instruction_versions ordinal={first.ordinal} seq={first.seq}" in said
    assert "def_json='{}'" in said
    assert f"def_json={first.def_json!r}" in said


def test_a_head_row_that_is_gone_is_said_and_made_again(few: Candles) -> None:
    in_bulk(few)
    LedgerHead.objects.all().delete()

    assert "there is no head row" in verified("--all")[0]
    require_found_and_healed("there is no head row")


def test_a_ledger_that_must_be_computed_again_is_not_compared(few: Candles) -> None:
    in_bulk(few)
    LedgerHead.objects.update(dirty_from=int(few.time[5]))

    require_found_and_healed(f"dirty_from is {int(few.time[5])}")


def test_a_ledger_behind_its_candles_is_verified_as_far_as_it_goes(candles: Candles) -> None:
    pipeline.run_sync({SERIES: part(candles, 0, 560)})
    with patch.object(Pen, "step", side_effect=ValueError), pytest.raises(IngestPipelineError):
        pipeline.run_sync({SERIES: part(candles, 560)})

    said, is_sound = verified()
    middle(FactorEvent).update(payload_json="{}")

    assert is_sound
    assert "560 candles" in said
    assert "behind: 40 candles wait for factors" in said
    assert not verified()[1]


def test_a_series_whose_factors_never_ran_is_only_behind(candles: Candles) -> None:
    with override_settings(TRADE_CANVAS_ENABLE_FACTOR_INGEST=False):
        in_bulk(candles)

    said, is_sound = verified()

    assert is_sound
    assert "behind: 600 candles wait for factors" in said


def test_what_is_not_drawn_yet_is_behind_only_where_drawing_is_on(candles: Candles) -> None:
    pipeline.run_sync({SERIES: part(candles, 0, 500)})
    with override_settings(**NOT_DRAWN):
        pipeline.run_sync({SERIES: part(candles, 500)})
        assert "behind" not in verified()[0]

    said, is_sound = verified()

    assert is_sound
    assert f"behind: drawn up to {int(candles.time[499])} of {int(candles.time[-1])}" in said


def test_a_rule_that_raises_is_said_and_the_other_series_are_verified(candles: Candles) -> None:
    pipeline.run_sync({SERIES: candles, OTHER: part(candles, 0, 100)})
    real = Pen.step

    def step(self: Pen, state: Any, rows: Candles, *rest: Any) -> Any:
        if len(rows) > 100:
            raise ValueError("broken")
        return real(self, state, rows, *rest)

    with patch.object(Pen, "step", step):
        said, is_sound = verified("--all", "--repair")

    assert not is_sound
    assert f"{SERIES}: cannot be computed: ValueError: broken" in said
    assert f"{OTHER}: all agrees: 100 candles" in said
    assert "2 series verified, 1 not sound" in said


def test_rows_of_a_series_without_candles_are_found(few: Candles) -> None:
    in_bulk(few)
    copied(FactorEvent, series_id=OTHER)

    said, is_sound = verified("--all", "--repair")

    assert not is_sound
    assert f"{OTHER}: differs" in said
    assert f"{OTHER}: cannot be rebuilt, no candles are stored" in said
    assert said.endswith(f"not sound: {OTHER}")


@pytest.mark.parametrize(
    ("series_id", "words"), [(SERIES, "no candles are stored"), ("nonsense", "must be '{exchange}")]
)
def test_a_series_that_there_is_not_is_said(series_id: str, words: str) -> None:
    assert words in verified(series_id)[0]
    assert not LedgerHead.objects.exists()


def test_nothing_is_repaired_while_factors_are_off(few: Candles, settings: Any) -> None:
    in_bulk(few)
    middle(FactorEvent).delete()
    settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST = False

    said, is_sound = verified(SERIES, "--repair")

    assert not is_sound
    assert "TRADE_CANVAS_ENABLE_FACTOR_INGEST is 0" in said


@pytest.mark.django_db(transaction=True, databases=["default", "reader"])
def test_one_state_is_verified_though_candles_come_in_meanwhile(candles: Candles) -> None:
    pipeline.run_sync({SERIES: part(candles, 1, 560)})
    real = database.series_rows
    meddled: list[Any] = []

    def take() -> None:
        try:
            pipeline.run_sync({SERIES: candles})
        finally:
            connections.close_all()

    def series_rows(*args: Any) -> Any:
        if not meddled:
            meddled.append(args)
            with ThreadPoolExecutor(1) as other:
                other.submit(take).result(timeout=20)
        return real(*args)

    with patch.object(database, "series_rows", series_rows):
        verdict = series_verify(SERIES)

    assert (verdict.is_sound, verdict.candles, verdict.behind) == (True, 559, "")
    assert LedgerHead.objects.get(series_id=SERIES).generation == 1


TABLE = Table("t", ("at", "name", "ordinal", "text"), ("at",), ("name",), ("name",))
ROWS = [(10, "a", 1, "x"), (20, "b", 2, "y"), (30, "c", 3, "z")]


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (ROWS[1:], "t at=10 name='a'\n  stored:    nothing"),
        ([*ROWS, (25, "d", 2, "w")], "t at=25 name='d'\n  stored:    at=25 name='d'"),
        ([ROWS[0], (20, "b", 2, "Y"), ROWS[2]], "text='Y'\n  should be: text='y'"),
        ([ROWS[0], (20, "B", 2, "y"), ROWS[2]], "name='B'\n  should be: name='b'"),
        ([*ROWS[1:], (40, "a", 1, "x")], "at=40\n  should be: at=10"),
        ([*ROWS[:2], (5, "c", 3, "z")], "at=5\n  should be: at=30"),
        ([*ROWS, ("x", "d", "y", "w")], "should be: nothing"),
    ],
)
def test_the_first_difference_of_rows_is_told_by_key_or_place(stored: Any, words: str) -> None:
    assert words in str(first_difference(TABLE, stored, ROWS))


def test_of_a_long_value_the_part_that_differs_is_shown() -> None:
    long = "a" * 1000
    stored, expected = ((1, "a", 1, long + tail) for tail in ("X" + long, "Y"))

    said = str(first_difference(TABLE, [stored], [expected]))

    assert "aXa" in said
    assert "aY'" in said
    assert len(said) < 500


def test_of_a_long_value_that_lost_its_end_the_end_is_shown() -> None:
    stored, expected = ((1, "a", 1, b"\xaa" * 1000 + tail) for tail in (b"", b"\xbb"))

    assert "aabb" in str(first_difference(TABLE, [stored], [expected]))
