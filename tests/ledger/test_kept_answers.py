"""Answers that are kept are right, bounded, and asked for again each time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.test import Client

from ingest import pipeline
from ledger.answers import KEPT, answer, kept
from ledger.models import LedgerHead, OverlayInstructionVersion
from market import database
from market.candles import Candle, Candles
from tests.goldens import candles_of, golden
from tests.ledger.reading import SERIES, START, use_golden_windows

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

DRAWN = ("overlay_instruction_versions", "ledger_heads")
TAGGED = [
    ("factor/slices", {"at_time": START + 9_960}),
    ("draw/delta", {}),
    ("draw/delta", {"at_time": START + 9_960, "cursor_version_id": 40}),
    ("frame/live", {}),
    ("frame/at_time", {"at_time": START + 9_999}),
]


@pytest.fixture
def case() -> Iterator[Candles]:
    """Return the candles of a golden case, all but the last ten taken in."""
    found = golden("box_2_1")
    with use_golden_windows(found):
        candles = candles_of(found)
        pipeline.run_sync({SERIES: candles.take(slice(0, -10))})
        yield candles


def ask(client: Client, path: str, query: dict[str, Any], tag: str = "") -> Any:
    headers = {"If-None-Match": tag} if tag else {}
    return client.get(f"/api/{path}", {"series_id": SERIES} | query, headers=headers)


@pytest.mark.parametrize(("path", "query"), TAGGED)
def test_who_has_an_answer_is_told_that_it_still_holds(
    path: str, query: dict[str, Any], case: Candles, client: Client
) -> None:
    first = ask(client, path, query)
    again = ask(client, path, query, first["ETag"])

    assert (first.status_code, first["Cache-Control"]) == (200, "no-cache")
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])


def test_another_window_or_cursor_has_another_answer(case: Candles, client: Client) -> None:
    asked = [{}, {"window_candles": 30}, {"cursor_version_id": 300}, {"at_time": START + 9_960}]
    bodies = {ask(client, "draw/delta", query).content for query in asked * 2}

    assert len(bodies) == len(asked)


def test_a_new_candle_alters_the_newest_frame_and_no_older_one(
    case: Candles, client: Client
) -> None:
    live = ask(client, "frame/live", {})
    then = ask(client, "frame/at_time", {"at_time": START + 9_960})

    pipeline.run_sync({SERIES: case})

    assert ask(client, "frame/live", {}, live["ETag"]).status_code == 200
    assert ask(client, "frame/at_time", {"at_time": START + 9_960}, then["ETag"]).status_code == 304


def test_a_correction_alters_what_is_known_from_there(case: Candles, client: Client) -> None:
    at = {"at_time": int(case.time[400])}
    before = ask(client, "factor/slices", at)
    wrong = case.take(slice(300, 301))

    pipeline.run_sync({SERIES: Candles.from_rows([(int(wrong.time[0]), 1.0, 9e5, 0.5, 1.0, 9.0)])})
    wrongly = ask(client, "factor/slices", at, before["ETag"])
    pipeline.run_sync({SERIES: wrong})
    mended = ask(client, "factor/slices", at)

    assert wrongly.status_code == 200
    assert wrongly.content != before.content == mended.content


@pytest.mark.parametrize(("path", "query"), TAGGED)
def test_a_ledger_that_is_not_ready_is_refused_though_the_answer_is_kept(
    path: str, query: dict[str, Any], case: Candles, client: Client
) -> None:
    first = ask(client, path, query)
    LedgerHead.objects.update(dirty_from=START)

    assert ask(client, path, query, first["ETag"]).status_code == 409


def test_a_row_taken_out_by_hand_is_noticed_though_the_answer_is_kept(
    case: Candles, client: Client
) -> None:
    """Row 21 of the ledger's faults, for a server that answered before."""
    first = ask(client, "draw/delta", {})
    zone = OverlayInstructionVersion.objects.filter(def_json__contains="zhongshu.dead")
    zone.order_by("-visible_time")[:1].get().delete()

    assert ask(client, "draw/delta", {}, first["ETag"]).status_code == 409


def test_a_series_that_was_deleted_and_came_again_has_its_own_answers(
    case: Candles, client: Client
) -> None:
    first = ask(client, "frame/live", {})
    for table in ("candles", "factor_events", "factor_head_snapshots", *DRAWN):
        database.execute(f"DELETE FROM {table}", [])  # noqa: S608 (our names)
    twice = [Candle(c[0], *(2 * price for price in c[1:])) for c in case.rows()[:-10]]

    pipeline.run_sync({SERIES: Candles.from_rows(twice)})
    again = ask(client, "frame/live", {})
    kept.cache_clear()

    assert first.content != again.content == ask(client, "frame/live", {}).content


def test_who_asks_at_once_waits_for_one_answer() -> None:
    made: list[int] = []
    barrier = Barrier(8)

    def make() -> dict[str, int]:
        made.append(1)
        return {"made": len(made)}

    def one() -> bytes:
        barrier.wait()
        return kept("the same", make).body

    with ThreadPoolExecutor(8) as threads:
        bodies = [threads.submit(one) for _ in range(8)]

    assert {body.result() for body in bodies} == {b'{"made":1}'}


def test_an_answer_that_fails_is_made_again() -> None:
    def fail() -> Any:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 (nothing to match)
        kept("a key", fail)

    assert kept("a key", lambda: {"now": 1}).body == b'{"now":1}'


def test_what_is_kept_is_bounded() -> None:
    big = "x" * 1_000_000
    for number in range(100):
        kept(number, lambda: {"big": big})

    assert KEPT.currsize <= KEPT.maxsize == 64_000_000
    assert KEPT.currsize > 60_000_000


def test_equal_answers_have_equal_tags_and_others_do_not() -> None:
    assert answer({"a": 1}).etag == answer({"a": 1}).etag
    assert answer({"a": 1}).etag != answer({"a": 1.0}).etag
