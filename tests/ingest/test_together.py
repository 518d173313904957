"""Candles that arrive at once share a commit, and each sender hears what came of its own."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import pytest
from django.db import OperationalError, connections

from factors import services
from ingest import pipeline
from ingest.together import Together
from ledger.advance import IngestPipelineError
from ledger.models import LedgerHead
from market import selectors
from market.candles import Candles
from tests.ledger.reading import START, flat

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])

NAMES = [f"test:spot:T{n}/USDT:1m" for n in range(6)]


def sent_at_once(wishes: list[tuple[str, Candles]]) -> tuple[list[Any], list[int]]:
    """Send all while one is being written; return results or errors, and the sizes of the runs."""
    together, sizes = Together(), []
    first_is_in, all_wait = threading.Event(), threading.Event()
    run = pipeline.run_each

    def slow(batches: Any, errors: Any) -> Any:
        sizes.append(len(batches))
        first_is_in.set()
        all_wait.wait(10)
        return run(batches, errors)

    def send(wish: tuple[str, Candles]) -> Any:
        try:
            return together.run_sync(*wish)
        except IngestPipelineError as error:
            return error
        finally:
            connections.close_all()

    with patch("ingest.pipeline.run_each", slow), ThreadPoolExecutor(20) as threads:
        first = threads.submit(send, wishes[0])
        assert first_is_in.wait(10)
        rest = []
        for wish in wishes[1:]:
            rest.append(threads.submit(send, wish))
            while len(together._waiting) < len(rest):
                time.sleep(0.001)
        all_wait.set()
        return [task.result() for task in (first, *rest)], sizes


def test_those_who_wait_share_one_run() -> None:
    results, sizes = sent_at_once([(name, flat(1)) for name in NAMES])

    assert sizes == [1, 5]
    assert all(result.stored[name] == 1 for result, name in zip(results, NAMES, strict=True))
    assert LedgerHead.objects.filter(overlay_head=START).count() == 6


def test_candles_of_one_series_keep_their_order() -> None:
    """The last one that was sent of a time stands, as if they had come one after another."""
    wishes = [(NAMES[0], flat(price)) for price in range(1, 6)]
    _, sizes = sent_at_once(wishes)

    assert sizes == [1] * 5
    (candle,) = selectors.candles_between(NAMES[0], 0, START).rows()
    assert candle.close == 5


def test_one_that_fails_is_told_and_the_others_are_not() -> None:
    compute = services.series_compute

    def broken(**about: Any) -> Any:
        if str(about["series"]) == NAMES[3]:
            raise ValueError("no luck")
        return compute(**about)

    with patch("factors.services.series_compute", broken):
        results, _ = sent_at_once([(name, flat(1)) for name in NAMES])

    failed = [n for n, result in enumerate(results) if isinstance(result, IngestPipelineError)]
    assert failed == [3]
    assert selectors.head_time(NAMES[3]) == START


def test_a_transaction_that_fails_is_told_to_all_of_its_senders() -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OperationalError("the disk is full")

    with patch("ingest.pipeline.advance.heads_lock", refuse):
        results, _ = sent_at_once([(name, flat(1)) for name in NAMES])

    assert [type(result) for result in results] == [IngestPipelineError] * 6
    assert [result.series_id for result in results] == NAMES
