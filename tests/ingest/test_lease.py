"""One worker for each series: leases with tokens, and one place for a supervisor on SQLite."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models.functions import Now

from ingest.jobs import jobs_make
from ingest.lease import (
    LeaseLostError,
    SupervisorBusyError,
    SupervisorLock,
    leases_release,
    leases_renew,
    leases_require,
    leases_take,
)
from ingest.models import IngestJob

pytestmark = pytest.mark.django_db

A, B = "binance:futures:A/USDT:1m", "binance:futures:B/USDT:1m"


@pytest.fixture(autouse=True)
def rows() -> None:
    """Make the rows of two jobs."""
    jobs_make({A: "whitelist", B: "whitelist"})


def let_run_out(series_id: str) -> None:
    IngestJob.objects.filter(series_id=series_id).update(
        lease_expires_at=Now() - timedelta(seconds=1)
    )


def test_who_comes_first_has_the_series() -> None:
    assert leases_take([A, B], "one") == {A: 1, B: 1}
    assert leases_take([A, B], "two") == {}


def test_who_has_a_series_may_take_it_again_under_another_token() -> None:
    leases_take([A], "one")

    assert leases_take([A], "one") == {A: 2}


def test_a_lease_that_is_over_is_taken_by_another_and_its_token_is_worth_nothing() -> None:
    first = leases_take([A, B], "one")
    let_run_out(A)

    second = leases_take([A, B], "two")

    assert second == {A: 2}
    assert leases_renew(first, "one") == {A}
    with pytest.raises(LeaseLostError, match="A/USDT") as caught:
        leases_require(first)
    assert caught.value.series_ids == [A]
    leases_require(second)
    leases_require({B: first[B]})


def test_a_renewed_lease_is_not_taken() -> None:
    tokens = leases_take([A], "one")
    let_run_out(A)

    assert leases_renew(tokens, "one") == set()
    assert leases_take([A], "two") == {}


def test_a_lease_that_was_given_up_is_free_at_once() -> None:
    leases_take([A], "one")
    leases_release([A], "one")

    assert leases_take([A], "two") == {A: 2}


def test_nobody_gives_up_the_lease_of_another() -> None:
    leases_take([A], "one")
    leases_release([A], "two")

    assert leases_take([A], "two") == {}


def test_without_tokens_nothing_is_required() -> None:
    leases_require({})


def test_a_second_process_finds_the_place_of_the_supervisor_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 28 of the feeds' faults: what `run_ingest` finds."""
    monkeypatch.setattr(SupervisorLock, "path", staticmethod(lambda: tmp_path / "supervisor"))
    lock = SupervisorLock().take()
    with pytest.raises(SupervisorBusyError):
        SupervisorLock().take()
    lock.release()

    SupervisorLock().take().release()
