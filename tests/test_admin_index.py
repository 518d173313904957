"""The first page of the admin says at a glance whether all is well."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ingest.models import IngestGuardrail, IngestJob
from ledger.models import LedgerHead, LedgerJob

pytestmark = pytest.mark.django_db(databases=["default", "reader"], transaction=True)


def glanced(client: Client) -> dict[str, str]:
    """Return what the page says of each part."""
    page = client.get("/admin/").content.decode()
    return dict(re.findall(r'<a href="[^"]+">([^<]+)</a></th>\s*<td>([^<]*)</td>', page))


def test_ledgers_feeds_circuits_and_jobs_are_counted_by_state(admin_client: Client) -> None:
    LedgerHead.objects.create(series_id="test:spot:A/USDT:1m", last_error="odd")
    LedgerHead.objects.create(series_id="test:spot:B/USDT:1m")
    for name, state in (("A", "streaming"), ("B", "streaming"), ("C", "waiting")):
        IngestJob.objects.create(series_id=f"test:spot:{name}/USDT:1m", state=state)
    IngestGuardrail.objects.create(series_id="test:spot:C/USDT:1m", state="open")
    LedgerJob.objects.create(kind="rebuild", series_id="test:spot:A/USDT:1m", state="failed")

    assert glanced(admin_client) == {
        "Ledgers": "error: 1, not built: 1",
        "Feeds": "streaming: 2, waiting: 1",
        "Circuits": "closed: 2, open: 1",
        "Ledger jobs": "failed: 1",
    }


def test_an_empty_database_has_nothing_to_count(admin_client: Client) -> None:
    assert set(glanced(admin_client).values()) == {"—"}


def test_who_may_see_no_table_still_gets_the_page(client: Client) -> None:
    client.force_login(User.objects.create(username="looker", is_staff=True))

    assert set(glanced(client)) == {"Ledgers", "Feeds", "Circuits", "Ledger jobs"}


@pytest.mark.parametrize("count", [3, 30])
def test_any_number_of_rows_costs_as_many_queries(
    count: int, admin_client: Client, django_assert_num_queries: Any
) -> None:
    for n in range(count):
        LedgerHead.objects.create(series_id=f"test:spot:M{n}/USDT:1m")
        IngestJob.objects.create(series_id=f"test:spot:M{n}/USDT:1m")
    glanced(admin_client)  # what is looked up once in a process

    with django_assert_num_queries(5, using="reader"), django_assert_num_queries(7):
        glanced(admin_client)
