"""The cheap invariants: each violation has its line, and nothing is written."""

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from factors.engine.plugins.pen import Pen
from factors.models import FactorEvent, FactorHeadSnapshot
from ingest import pipeline
from ledger.advance import IngestPipelineError
from ledger.invariants import Facts, violations
from ledger.models import LedgerHead, OverlayInstructionVersion
from ledger.selectors import ledger_facts
from market.candles import Candles
from market.models import StoredCandle
from tests.goldens import candles_of, golden
from tests.ledger.reading import SERIES, use_golden_windows
from tests.tables import tables_state

pytestmark = pytest.mark.django_db
CASE = golden("walk_2_1")
OTHER = "test:spot:OTHER/USDT:1m"
SOUND = Facts(
    candle_head=300,
    factor_head=240,
    overlay_head=180,
    generation=2,
    digest="ab",
    newest_candle=300,
    head_candles=frozenset({180, 240, 300}),
    newest_event=240,
    newest_checkpoint=240,
    newest_instruction=180,
    digests={"pen": "ab", "pivot": "ab"},
    factors=frozenset({"pen", "pivot"}),
)


@pytest.fixture
def candles() -> Iterator[Candles]:
    with use_golden_windows(CASE):
        yield candles_of(CASE).take(slice(0, 200))


def checked(*series: str) -> tuple[list[str], bool]:
    """Run the command; return its lines, and whether it succeeded."""
    out = io.StringIO()
    try:
        call_command("check_ledger", *series, stdout=out)
    except CommandError as error:
        return [*out.getvalue().splitlines(), str(error)], False
    return out.getvalue().splitlines(), True


def test_sound_ledgers_give_one_quiet_line_in_few_queries(candles: Candles) -> None:
    pipeline.run_sync({SERIES: candles, OTHER: candles})
    before = tables_state()

    with CaptureQueriesContext(connection) as queries:
        said = checked()

    assert said == (["2 series checked, no violation"], True)
    assert len(queries) <= 6 + 2 * 7
    assert tables_state() == before


def test_a_database_without_a_series_has_no_violation() -> None:
    assert checked() == (["0 series checked, no violation"], True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"factor_head": 180, "overlay_head": 240}, "overlay_head 240 is later than factor_head"),
        ({"factor_head": 360}, "factor_head 360 is later than candle_head 300"),
        ({"factor_head": None}, "overlay_head 180 is later than factor_head none"),
        ({"factor_head": None}, "digest is 'ab', but there is no factor_head"),
        ({"candle_head": None}, "candle_head is none, the newest candle 300"),
        ({"newest_candle": 360}, "candle_head is 300, the newest candle 360"),
        ({"overlay_head": 179}, "overlay_head 179 is not the time of a stored candle"),
        ({"factor_head": 239}, "factor_head 239 is not the time of a stored candle"),
        ({"candle_head": 301}, "candle_head 301 is not the time of a stored candle"),
        ({"newest_event": 241}, "an event of 241 is later than factor_head 240"),
        ({"newest_checkpoint": 300}, "a checkpoint of 300 is later than factor_head 240"),
        ({"newest_instruction": 240}, "an instruction of 240 is later than overlay_head 180"),
        ({"overlay_head": None}, "an instruction of 180 is later than overlay_head none"),
        ({"digests": {"pen": "ab"}}, "no checkpoint of pivot at factor_head 240"),
        ({"digests": {}, "factors": frozenset()}, "no checkpoint of any factor at factor_head"),
        ({"digest": "cd"}, "digest is 'cd', in the checkpoint of pen 'ab'"),
        ({"digests": {"pen": "ab", "pivot": ""}}, "digest is 'ab', in the checkpoint of pivot ''"),
        ({"generation": -1}, "generation is -1"),
        ({"has_row": False}, "candles has rows up to 300, but there is no head row"),
    ],
)
def test_each_violation_has_its_words(change: dict[str, Any], words: str) -> None:
    assert violations(SOUND) == []

    assert [line for line in violations(replace(SOUND, **change)) if words in line]


def test_a_series_of_which_nothing_is_known_violates_nothing() -> None:
    assert violations(Facts()) == violations(Facts(has_row=False)) == []


def test_the_facts_of_a_sound_ledger_violate_nothing(candles: Candles) -> None:
    pipeline.run_sync({SERIES: candles})

    facts = ledger_facts(SERIES)

    assert violations(facts) == []
    assert facts.newest_candle == facts.newest_checkpoint == int(candles.time[-1])
    assert set(facts.digests) == facts.factors == {"pivot", "pen", "zhongshu", "anchor"}


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (lambda: LedgerHead.objects.update(candle_head=F("factor_head") - 60), "factor_head"),
        (lambda: LedgerHead.objects.update(factor_head=F("factor_head") - 60), "overlay_head"),
        (lambda: LedgerHead.objects.update(overlay_head=1), "not the time of a stored candle"),
        (lambda: LedgerHead.objects.update(generation=-3), "generation is -3"),
        (lambda: LedgerHead.objects.update(digest=""), "digest is ''"),
        (lambda: LedgerHead.objects.all().delete(), "there is no head row"),
        (lambda: StoredCandle.objects.order_by("-candle_time")[0].delete(), "the newest candle"),
        (lambda: StoredCandle.objects.all().delete(), "the newest candle none"),
        (
            lambda: FactorHeadSnapshot.objects.filter(factor_name="pen").delete(),
            "checkpoint of pen",
        ),
        (
            lambda: FactorEvent.objects.filter(seq=0).update(candle_time=F("candle_time") + 10**6),
            "an event of",
        ),
        (
            lambda: FactorHeadSnapshot.objects.update(candle_time=F("candle_time") + 60),
            "a checkpoint of",
        ),
        (
            lambda: OverlayInstructionVersion.objects.update(visible_time=2**40),
            "an instruction of 1099511627776",
        ),
    ],
)
def test_what_is_planted_is_found(candles: Candles, plant: Any, words: str) -> None:
    pipeline.run_sync({SERIES: candles})
    plant()

    lines, is_sound = checked(SERIES)

    assert not is_sound
    assert [line for line in lines if line.startswith(f"{SERIES}: ") and words in line]
    assert lines[-1].endswith("violations in 1 of 1 series")


def test_rows_without_candles_or_head_are_found(candles: Candles) -> None:
    pipeline.run_sync({SERIES: candles})
    FactorEvent.objects.filter(event_key=FactorEvent.objects.all()[0].event_key).update(
        series_id=OTHER
    )

    lines, is_sound = checked()

    assert not is_sound
    assert lines[0].startswith(f"{OTHER}: factor_events has rows up to")


def test_a_ledger_that_is_behind_violates_nothing(candles: Candles) -> None:
    pipeline.run_sync({SERIES: candles.take(slice(0, 150))})
    with patch.object(Pen, "step", side_effect=ValueError), pytest.raises(IngestPipelineError):
        pipeline.run_sync({SERIES: candles})

    assert checked() == (["1 series checked, no violation"], True)


@pytest.mark.parametrize(
    ("columns", "is_said"),
    [
        ({"last_error": "ValueError: broken"}, True),
        ({"updated_at": timezone.now() - timedelta(minutes=5)}, True),
        ({}, False),
    ],
)
def test_what_the_recovery_left_dirty_is_said_and_is_no_failure(
    candles: Candles, columns: dict[str, Any], is_said: bool
) -> None:
    pipeline.run_sync({SERIES: candles})
    LedgerHead.objects.update(dirty_from=int(candles.time[9]), **columns)

    lines, is_sound = checked()

    assert is_sound
    assert (lines[0] == f"{SERIES}: is still to be computed again from {candles.time[9]} on") == (
        is_said
    )


def test_other_rules_ask_for_no_checkpoint_of_theirs(candles: Candles, settings: Any) -> None:
    pipeline.run_sync({SERIES: candles})
    settings.TRADE_CANVAS_EXTRA_FACTORS = ("sr",)

    assert checked()[1]


@pytest.mark.parametrize(
    ("series_id", "words"),
    [(SERIES, f"nothing is stored of {SERIES}"), ("nonsense", "must be '{exchange}")],
)
def test_a_series_that_there_is_not_is_said(series_id: str, words: str) -> None:
    lines, is_sound = checked(series_id)

    assert not is_sound
    assert words in lines[-1]
