"""The table of candles: what is written is what is read."""

import sys
from operator import itemgetter

import pytest
from django.db import connection

from market import database, selectors
from market.candles import Candle, Candles
from market.models import StoredCandle
from market.selectors import Stretch
from market.store import candles_upsert
from tests.market.factories import OTHER, SERIES, flat, minute, stored

pytestmark = pytest.mark.django_db


def times(candles: Candles) -> list[int]:
    return [candle.candle_time for candle in candles.rows()]


def test_numbers_come_back_as_the_same_doubles() -> None:
    odd = Candle(minute(0), 0.1 + 0.2, 5e-324, sys.float_info.max, 1e-7, 1e16)
    candles_upsert([(SERIES, Candles.from_rows([odd]))])
    assert repr(selectors.candles_latest(SERIES, 1).rows()) == repr([odd])


TEXTS = ["", "NULL", 'a "b" \\c', "{x,y}", "it's %s", "中文", "\n\t"]


def test_texts_and_bytes_are_written_and_changed_as_they_are() -> None:
    """On PostgreSQL they travel as the text of arrays."""
    columns = {"factor_name": "text", "state": "bytea", "head_json": "text"}
    keys = {"series_id": "text", "candle_time": "bigint"}
    fixed = {"seq": 0, "ordinal": 0, "state_version": 1, "digest": b"", "created_at_ms": 0}
    kinds = dict.fromkeys(fixed, "bigint") | {"digest": "bytea"}
    blobs = [bytes(range(256)), b"", b"\\x00", b'"', b"NULL", b"\0", b"{}"]
    before = [("a", b"b", "c", SERIES, minute(n), *fixed.values()) for n in range(len(TEXTS))]
    after = [
        (t, b, t, SERIES, minute(n)) for n, (t, b) in enumerate(zip(TEXTS, blobs, strict=True))
    ]

    database.insert("factor_head_snapshots", columns | keys | kinds, before)
    database.update("factor_head_snapshots", columns, keys, after)

    found = database.series_rows("factor_head_snapshots", [*columns, *keys], SERIES)
    assert sorted(found, key=itemgetter(4)) == after


def test_equal_time_takes_the_new_numbers() -> None:
    stored([0, 1], price=1.0)
    stored([1], price=2.0)
    assert selectors.candles_latest(SERIES, 9).rows() == [flat(minute(0)), flat(minute(1), 2.0)]


def test_series_do_not_mix() -> None:
    stored([0, 1])
    stored([5], OTHER)
    assert times(selectors.candles_latest(SERIES, 9)) == [minute(0), minute(1)]


def test_nothing_is_written_for_no_candles() -> None:
    candles_upsert([(SERIES, Candles.from_rows([]))])
    assert not StoredCandle.objects.exists()


def test_order_of_arrival_does_not_show() -> None:
    stored([3, 1])
    stored([2, 0])
    assert times(selectors.candles_between(SERIES, 0, minute(9))) == [minute(n) for n in range(4)]


def test_between_includes_both_ends() -> None:
    stored(range(5))
    assert times(selectors.candles_between(SERIES, minute(1), minute(3))) == [
        minute(1),
        minute(2),
        minute(3),
    ]
    assert selectors.candle_count(SERIES, minute(1), minute(3)) == 3
    assert selectors.times_between(SERIES, minute(3), minute(9)).tolist() == [minute(3), minute(4)]


def test_latest_are_the_newest_up_to_a_time() -> None:
    stored(range(5))
    assert times(selectors.candles_latest(SERIES, 2)) == [minute(3), minute(4)]
    assert times(selectors.candles_latest(SERIES, 2, minute(2))) == [minute(1), minute(2)]


def test_after_excludes_its_time() -> None:
    stored(range(5))
    assert times(selectors.candles_after(SERIES, minute(1), 2)) == [minute(2), minute(3)]
    assert times(selectors.candles_after(SERIES, minute(1), 9, minute(2))) == [minute(2)]


def test_stretches_look_back_over_holes_and_do_not_mix() -> None:
    stored([0, 3, 4, 9])
    stored([2, 3], OTHER)
    asked = [
        Stretch(OTHER, None, 0, minute(9)),
        Stretch(SERIES, minute(4), 2, minute(8)),
        Stretch(SERIES, minute(3), 0, minute(9)),
        Stretch(SERIES, minute(4), 9, minute(9)),
        Stretch("a:b:c:1m", minute(0), 2, minute(9)),
    ]

    found = [times(candles) for candles in selectors.candles_of_each(asked)]

    minutes = [[(time - minute(0)) // 60 for time in each] for each in found]
    assert minutes == [[2, 3], [3, 4], [4, 9], [0, 3, 4, 9], []]


def test_floor_is_a_stored_time_and_not_arithmetic() -> None:
    stored([0, 3])
    assert selectors.floor_time(SERIES, minute(3) - 1) == minute(0)
    assert selectors.floor_time(SERIES, minute(3)) == minute(3)
    assert selectors.floor_time(SERIES, minute(0) - 1) is None


def test_ends_of_a_series() -> None:
    stored([2, 7])
    stored([1], OTHER)
    assert (selectors.first_time(SERIES), selectors.head_time(SERIES)) == (minute(2), minute(7))
    assert selectors.head_times([SERIES, OTHER, "a:b:c:1m"]) == {
        SERIES: minute(7),
        OTHER: minute(1),
        "a:b:c:1m": None,
    }


def test_unknown_series_is_empty() -> None:
    assert len(selectors.candles_latest(SERIES, 9)) == 0
    assert selectors.head_time(SERIES) is None
    assert selectors.first_time(SERIES) is None
    assert selectors.candle_count(SERIES, 0, minute(9)) == 0
    assert selectors.head_times([]) == {}


def test_greatest_integers_are_no_error() -> None:
    stored([0])
    assert len(selectors.candles_after(SERIES, 2**63 - 1, 5)) == 0
    assert len(selectors.candles_between(SERIES, -(2**63), 2**63 - 1)) == 1


@pytest.mark.sqlite
def test_reads_use_the_index() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads the plan of SQLite")
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN QUERY PLAN " + selectors.SELECT + selectors.ASCENDING, [SERIES])
        plan = " ".join(row[3] for row in cursor.fetchall())
    assert "USING INDEX" in plan
    assert "TEMP B-TREE" not in plan
