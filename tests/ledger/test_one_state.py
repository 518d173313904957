"""All queries of a read see one state of the database, and no read waits for a writer."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction
from django.test import Client

from ingest import pipeline
from ledger.selectors import heads_of
from market import database, selectors
from market.store import candles_upsert
from tests.ledger.reading import SERIES, START, flat, get

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])


def take_elsewhere(*prices: float, start: int) -> None:
    """Take candles in by another thread, on connections of its own."""

    def take() -> None:
        try:
            pipeline.run_sync({SERIES: flat(*prices, start=start)})
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as other:
        other.submit(take).result(timeout=20)


def test_a_read_does_not_see_what_is_committed_meanwhile() -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})

    with database.reading():
        assert selectors.head_time(SERIES) == START + 60
        take_elsewhere(3, start=START + 120)
        assert selectors.head_time(SERIES) == START + 60
        assert heads_of(SERIES).overlay == START + 60

    assert selectors.head_time(SERIES) == START + 120


def test_a_read_cannot_write() -> None:
    with pytest.raises(DatabaseError), database.reading(), database.cursor() as cursor:
        cursor.execute("DELETE FROM candles")


def test_a_read_inside_a_write_sees_its_rows() -> None:
    with transaction.atomic():
        candles_upsert([(SERIES, flat(1))])
        with database.reading():
            assert selectors.head_time(SERIES) == START
        transaction.set_rollback(True)

    assert selectors.head_time(SERIES) is None


@pytest.mark.parametrize("path", ["digest", "diff"])
def test_a_ledger_read_shows_one_state_though_history_changes_meanwhile(
    path: str, client: Client, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.TRADE_CANVAS_PIVOT_WINDOW_MAJOR = settings.TRADE_CANVAS_PIVOT_WINDOW_MINOR = 1
    pipeline.run_sync({SERIES: flat(1, 2, 3, 2, 1, 2, 3, 4, 3)})
    query = {"at_time": START + 420, "from_time": START + 120, "to_time": START + 480}
    before, real = get(client, f"ledger/{path}", series_id=SERIES, **query), database.rows
    meddled: list[str] = []

    def meddle(sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
        found = real(sql, params)
        if not meddled:
            meddled.append(sql)
            take_elsewhere(9, start=START + 60)
        return found

    monkeypatch.setattr(database, "rows", meddle)
    during = get(client, f"ledger/{path}", series_id=SERIES, **query)
    after = get(client, f"ledger/{path}", series_id=SERIES, **query)

    assert (before.status_code, during.content) == (200, before.content)
    assert after.content != before.content


def test_a_candle_read_names_no_head_that_came_after_its_candles(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})
    real = selectors.candles_closed

    def then_one_comes(*query: Any) -> Any:
        found = real(*query)
        take_elsewhere(3, start=START + 120)
        return found

    monkeypatch.setattr(selectors, "candles_closed", then_one_comes)
    answer = get(client, "market/candles", series_id=SERIES).json()

    assert answer["server_head_time"] == answer["candles"][-1]["candle_time"] == START + 60
