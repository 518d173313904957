"""The admin shows how the feeds are, and lets staff stop, restart, reset and hold them."""

import time
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now

from ingest.models import ExchangeGate, IngestGuardrail, IngestJob
from market.models import BackfillProgress, SeriesDemand

pytestmark = pytest.mark.django_db
A, B = "binance:futures:A/USDT:1m", "binance:futures:B/USDT:1m"
JOBS = "admin:ingest_ingestjob_changelist"
TABLES = [
    "ingest_ingestjob",
    "ingest_ingestguardrail",
    "ingest_exchangegate",
    "market_seriesdemand",
    "market_backfillprogress",
]
ACTIONS = ["stop", "restart", "reset_circuit", "hold_circuit"]


@pytest.fixture(autouse=True)
def guardrail_on(settings: Any) -> None:
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True


def opened(series_id: str, seconds: float = 20.4) -> None:
    IngestGuardrail.objects.create(
        series_id=series_id,
        state="open",
        open_until=time.time() + seconds,
        last_error="refused",
        last_error_kind="connect",
    )


def cell(page: str, name: str) -> str:
    """Return what stands in the first cell of a column."""
    return page.split(f'field-{name}">')[1].split("</td>")[0]


def shown(client: Client, table: str = "ingest_ingestjob", **query: str) -> str:
    page = client.get(reverse(f"admin:{table}_changelist"), query)
    assert page.status_code == 200
    return page.content.decode()


def ask(client: Client, action: str, **query: str) -> str:
    """Choose all jobs and do something about them; return the page."""
    chosen = list(IngestJob.objects.values_list("pk", flat=True))
    form = {"action": action, "_selected_action": chosen}
    return client.post(reverse(JOBS, query=query), form, follow=True).content.decode()


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_shown_and_offers_no_change(table: str, admin_client: Client) -> None:
    rows = {
        "ingest_ingestjob": IngestJob(series_id=A),
        "ingest_ingestguardrail": IngestGuardrail(series_id=A),
        "ingest_exchangegate": ExchangeGate(exchange="binance", market="futures"),
        "market_seriesdemand": SeriesDemand(series_id=A, holder="a", count=2, expires_at=now()),
        "market_backfillprogress": BackfillProgress(series_id=A, window_start=60, window_end=120),
    }
    rows[table].save()

    page = shown(admin_client, table)

    assert "binance" in page
    assert f"{table.replace('_', '/', 1)}/add/" not in page
    assert admin_client.get(reverse(f"admin:{table}_add")).status_code == 403
    url = reverse(f"admin:{table}_change", args=[rows[table].pk])
    assert admin_client.get(url).status_code == 200
    assert admin_client.post(url, {}).status_code == 403


def test_the_list_of_jobs_shows_circuit_lag_error_and_next_attempt(admin_client: Client) -> None:
    minute = int(time.time()) // 60 * 60
    IngestJob.objects.create(series_id=A, last_closed_time=minute - 300)
    opened(A)

    page = shown(admin_client)

    assert cell(page, "circuit") == "open (connect)"
    assert cell(page, "next_attempt") in {"19", "20"}
    assert cell(page, "lag") in {"4", "5"}
    assert cell(page, "error") == "refused"


def test_a_job_whose_circuit_has_no_row_is_closed_and_waits_for_nothing(
    admin_client: Client,
) -> None:
    IngestJob.objects.create(series_id=A)

    page = shown(admin_client)

    assert (cell(page, "circuit"), cell(page, "next_attempt")) == ("closed", "-")


def test_the_list_asks_for_all_circuits_at_once(admin_client: Client) -> None:
    for number in range(20):
        IngestJob.objects.create(series_id=f"binance:spot:S{number}/USDT:1m")

    with CaptureQueriesContext(connection) as queries:
        shown(admin_client)

    assert sum("ingest_guardrails" in query["sql"] for query in queries) == 1


@pytest.mark.parametrize(("state", "series_id"), [("open", A), ("closed", B)])
def test_jobs_are_found_by_the_state_of_their_circuit(
    state: str, series_id: str, admin_client: Client
) -> None:
    IngestJob.objects.create(series_id=A)
    IngestJob.objects.create(series_id=B)
    opened(A)

    page = admin_client.get(reverse(JOBS), {"circuit": state})

    assert [job.series_id for job in page.context["cl"].result_list] == [series_id]


def test_jobs_are_found_by_their_state(admin_client: Client) -> None:
    IngestJob.objects.create(series_id=A, state="streaming")
    IngestJob.objects.create(series_id=B, state="rate_limited")

    page = admin_client.get(reverse(JOBS), {"state__exact": "rate_limited"})

    assert [job.series_id for job in page.context["cl"].result_list] == [B]


def test_a_job_is_stopped_and_restarted(admin_client: Client) -> None:
    IngestJob.objects.create(series_id=A)

    stopped = ask(admin_client, "stop", wanted__exact="1")
    assert not IngestJob.objects.get().wanted
    ask(admin_client, "restart")

    assert f"Done: {A}" in stopped
    assert IngestJob.objects.get().wanted


def test_a_circuit_is_held_and_reset(admin_client: Client, admin_user: User) -> None:
    IngestJob.objects.create(series_id=A)

    ask(admin_client, "hold_circuit")
    row = IngestGuardrail.objects.get()
    assert (row.state, row.last_error) == ("open", f"held by {admin_user.username}")
    ask(admin_client, "reset_circuit")

    row.refresh_from_db()
    assert row.state == "closed"


@pytest.mark.parametrize("action", ACTIONS)
def test_the_log_says_who_asked_for_it(action: str, admin_client: Client, admin_user: User) -> None:
    IngestJob.objects.create(series_id=A)

    ask(admin_client, action)

    entry = LogEntry.objects.get()
    assert (entry.user, entry.get_change_message()) == (admin_user, action.replace("_", " "))


def test_a_circuit_cannot_be_held_where_circuits_are_off(
    admin_client: Client, settings: Any
) -> None:
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = False
    IngestJob.objects.create(series_id=A)

    page = ask(admin_client, "hold_circuit")

    assert f"Failed: {A}: circuits are switched off" in page
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("action", ACTIONS)
def test_who_may_only_look_is_offered_nothing(action: str, client: Client) -> None:
    IngestJob.objects.create(series_id=A)
    looker = User.objects.create_user("looker", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_ingestjob"))
    client.force_login(looker)

    page = shown(client)
    ask(client, action)

    assert A in page
    assert f'value="{action}"' not in page
    assert IngestJob.objects.get().wanted
    assert not IngestGuardrail.objects.exists()


def test_the_page_of_a_job_shows_its_holes(admin_client: Client) -> None:
    job = IngestJob.objects.create(series_id=A, gaps='[{"from":60,"state":"unknown"}]')

    page = admin_client.get(reverse("admin:ingest_ingestjob_change", args=[job.pk]))

    assert "&quot;state&quot;: &quot;unknown&quot;" in page.content.decode()


def test_a_closed_gate_says_for_how_long(admin_client: Client) -> None:
    """Row 22 of the feeds' faults."""
    ExchangeGate.objects.create(
        exchange="binance", market="spot", blocked_until=time.time() + 90.4, blocked_why="418"
    )

    page = shown(admin_client, "ingest_exchangegate")

    assert cell(page, "closed_for") in {"89", "90"}
    assert cell(page, "blocked_why") == "418"


def test_the_list_of_circuits_shows_next_attempt_and_error(admin_client: Client) -> None:
    opened(A)

    page = shown(admin_client, "ingest_ingestguardrail", q=A)

    assert cell(page, "next_attempt") in {"19", "20"}
    assert cell(page, "error") == "connect: refused"
