"""Demand: who wants which series, for how long, and who gets the last place."""

import threading
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from django.db import connection
from django.db.models.functions import Now
from pytest_django import Settings

from market.demand import TTL, demand_counts, demand_end, demand_write
from market.models import SeriesDemand
from tests.market.factories import OTHER, SERIES

pytestmark = pytest.mark.django_db(transaction=True)

THIRD = "binance:futures:CCC/USDT:1m"


@pytest.fixture
def one_place(settings: Settings) -> None:
    """Let one series be followed on demand, and no more."""
    settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS = 1


def expire(holder: str) -> None:
    """Let a process have died more than a minute ago."""
    SeriesDemand.objects.filter(holder=holder).update(expires_at=Now() - timedelta(seconds=1))


def test_subscribers_of_all_processes_are_added_up() -> None:
    demand_write("one", {SERIES: 2, OTHER: 1})
    demand_write("two", {SERIES: 3})

    assert demand_counts() == {SERIES: 5, OTHER: 1}


def test_a_demand_lasts_a_minute_on_the_clock_of_the_database() -> None:
    demand_write("one", {SERIES: 1})

    soon, late = timedelta(seconds=50), timedelta(seconds=60)
    assert SeriesDemand.objects.filter(expires_at__gt=Now() + soon).count() == 1
    assert SeriesDemand.objects.filter(expires_at__gt=Now() + late).count() == 0
    assert timedelta(seconds=60) == TTL


def test_a_process_that_died_counts_no_more_when_its_minute_is_over() -> None:
    """Row 31 of the feeds' faults, as far as the web process is concerned."""
    demand_write("dead", {SERIES: 3})
    demand_write("alive", {SERIES: 1})

    expire("dead")

    assert demand_counts() == {SERIES: 1}


def test_what_expired_is_cleared_away_by_the_next_write() -> None:
    demand_write("dead", {SERIES: 3})
    expire("dead")

    demand_write("alive", {OTHER: 1})

    assert set(SeriesDemand.objects.values_list("holder", flat=True)) == {"alive"}


def test_a_write_renews_and_counts_anew_and_zero_ends_it() -> None:
    demand_write("one", {SERIES: 2, OTHER: 1})
    expire("one")

    demand_write("one", {SERIES: 4})
    demand_write("one", {OTHER: 0})

    assert demand_counts() == {SERIES: 4}


def test_the_end_of_a_process_takes_its_demand_along() -> None:
    demand_write("one", {SERIES: 2, OTHER: 1})
    demand_write("two", {SERIES: 1})

    demand_end("one")

    assert demand_counts() == {SERIES: 1}


@pytest.mark.usefixtures("one_place")
def test_a_series_is_refused_when_so_many_others_are_in_demand() -> None:
    assert demand_write("one", {SERIES: 1}) == set()

    assert demand_write("two", {OTHER: 1}) == {OTHER}
    assert demand_counts() == {SERIES: 1}


@pytest.mark.usefixtures("one_place")
def test_a_series_that_others_want_already_is_not_refused() -> None:
    demand_write("one", {SERIES: 1})

    assert demand_write("two", {SERIES: 1}) == set()


@pytest.mark.usefixtures("one_place")
def test_of_two_new_series_in_one_write_one_is_refused() -> None:
    assert demand_write("one", {SERIES: 1, OTHER: 1}) == {OTHER}


@pytest.mark.usefixtures("one_place")
def test_a_series_whose_last_subscriber_left_makes_room() -> None:
    """Row 33 of the feeds' faults, as far as the place is concerned: an idle series takes none."""
    demand_write("one", {SERIES: 1})
    demand_write("one", {SERIES: 0})

    assert demand_write("two", {OTHER: 1}) == set()


@pytest.mark.usefixtures("one_place")
def test_a_process_that_died_makes_room() -> None:
    demand_write("dead", {SERIES: 1})
    expire("dead")

    assert demand_write("two", {OTHER: 1}) == set()


@pytest.mark.usefixtures("one_place")
def test_who_slept_too_long_may_find_the_place_taken() -> None:
    demand_write("slow", {SERIES: 1})
    expire("slow")
    demand_write("two", {OTHER: 1})

    assert demand_write("slow", {SERIES: 1}) == {SERIES}


def test_a_demand_that_is_held_is_renewed_though_the_limit_was_lowered(settings: Settings) -> None:
    demand_write("one", {SERIES: 1, OTHER: 1})
    settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS = 1

    assert demand_write("one", {SERIES: 1, OTHER: 2}) == set()


def test_without_a_limit_nothing_is_refused() -> None:
    assert demand_write("one", {SERIES: 1, OTHER: 1, THIRD: 1}) == set()


@pytest.fixture
def followed(settings: Settings, tmp_path: Path) -> None:
    """Let the first test series be followed for ever."""
    settings.TRADE_CANVAS_ENABLE_WHITELIST_INGEST = True
    settings.TRADE_CANVAS_WHITELIST_PATH = tmp_path / "whitelist.json"
    settings.TRADE_CANVAS_WHITELIST_PATH.write_bytes(orjson.dumps({"series_ids": [SERIES]}))


@pytest.mark.usefixtures("one_place", "followed")
def test_a_whitelisted_series_takes_no_place_and_needs_none() -> None:
    assert demand_write("one", {SERIES: 1, OTHER: 1}) == set()
    assert demand_write("one", {THIRD: 1}) == {THIRD}
    assert demand_write("two", {SERIES: 1}) == set()


@pytest.mark.usefixtures("one_place", "followed")
def test_a_listed_series_counts_while_the_whitelist_is_not_followed(settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_WHITELIST_INGEST = False
    demand_write("one", {SERIES: 1})

    assert demand_write("two", {OTHER: 1}) == {OTHER}


@pytest.mark.usefixtures("one_place")
@pytest.mark.parametrize("turn", range(5))
def test_of_two_processes_at_once_one_gets_the_last_place(turn: int) -> None:
    ready, refused = threading.Barrier(2), []

    def race(holder: str, series_id: str) -> None:
        try:
            connection.ensure_connection()
            ready.wait(10)
            refused.append(demand_write(holder, {series_id: 1}))
        finally:
            connection.close()

    racers = [threading.Thread(target=race, args=pair) for pair in (("a", SERIES), ("b", OTHER))]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()

    assert sorted(map(len, refused)) == [0, 1]
    assert len(demand_counts()) == 1
