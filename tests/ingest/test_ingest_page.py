"""/ingest: what the feeds do, for everybody to read, and for staff to steer."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from ingest.models import IngestGuardrail, IngestJob
from market.clock import now
from tests.ingest.feeding import BTC, ETH

pytestmark = pytest.mark.django_db(databases=["default", "reader"], transaction=True)

SOL = "binance:spot:SOL/USDT:1h"


@pytest.fixture(autouse=True)
def rows(settings: Any) -> None:
    """Have three feeds: one streams, one is stopped by its circuit, one is not followed."""
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True
    beat = timezone.now()
    newest = int(now()) // 60 * 60 - 60
    IngestJob.objects.create(
        series_id=BTC, state="streaming", refcount=-1, last_closed_time=newest, heartbeat_at=beat
    )
    IngestJob.objects.create(
        series_id=ETH,
        state="waiting",
        refcount=2,
        last_error="TimeoutError: <script>",
        last_closed_time=newest - 300,
        heartbeat_at=beat,
    )
    IngestJob.objects.create(series_id=SOL, state="idle")
    IngestGuardrail.objects.create(
        series_id=ETH,
        state="open",
        open_until=now() + 24,
        consecutive_failures=5,
        last_error_kind="connect",
    )


def shown(client: Client, **query: str) -> str:
    answer = client.get("/ingest", query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_open_circuits_come_first_and_stopped_feeds_when_asked(client: Client) -> None:
    page = shown(client)

    assert re.findall(r'data-series-id="([^"]+)"', page) == [ETH, BTC]
    assert re.findall(r'data-series-id="([^"]+)"', shown(client, stopped="1")) == [ETH, BTC, SOL]
    assert re.search(r"2[345] s</td>", page)
    assert 'data-state="open"' in page
    assert "whitelist" in page


def test_a_row_says_what_circuit_and_job_do(client: Client, settings: Any) -> None:
    row = f'data-testid="ingest-row" data-series-id="{ETH}" data-circuit="open" data-running="1"'

    assert row in shown(client)
    assert 'data-running="0"' in shown(client, series_id=SOL)
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = False
    assert "data-circuit" not in shown(client)


def test_one_feed_is_shown_where_its_series_is_named(client: Client) -> None:
    names = [
        re.findall(r'data-series-id="([^"]+)"', shown(client, series_id=n)) for n in (SOL, "x")
    ]

    assert names == [[SOL], []]
    assert "Nothing to show." in shown(client, series_id="x")


def test_what_a_feed_said_is_text(client: Client) -> None:
    page = shown(client)

    assert "TimeoutError: &lt;script&gt;" in page
    assert "TimeoutError: <script>" not in page


def test_the_page_says_when_the_guardrail_is_off(client: Client, settings: Any) -> None:
    assert "circuits are not tracked" not in shown(client)
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = False

    page = shown(client)
    assert "Loop guardrail is off: circuits are not tracked." in page
    assert "data-state" not in page


def test_a_dead_worker_is_not_taken_for_a_living_one(client: Client) -> None:
    """P5: rows that nobody renews look as they did when their worker died."""
    assert "Worker silent since" not in shown(client)
    IngestJob.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=40))

    assert "Worker silent since" in shown(client)


def test_only_staff_may_steer(client: Client, admin_client: Client) -> None:
    assert "ingest/steer" not in shown(client)
    assert "ingest/steer" in shown(admin_client)
    asked = {"series_id": ETH, "action": "reset"}

    assert client.post("/ingest/steer", asked).status_code == 302
    assert IngestGuardrail.objects.get().state == "open"
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = admin_client.cookies
    assert strict.post("/ingest/steer", asked).status_code == 403
    assert IngestGuardrail.objects.get().state == "open"
    assert admin_client.get("/ingest/steer").status_code == 405


def test_staff_resets_a_circuit_and_stops_and_restarts_a_feed(admin_client: Client) -> None:
    admin_client.post("/ingest/steer", {"series_id": ETH, "action": "reset"})
    assert IngestGuardrail.objects.get().state == "closed"

    admin_client.post("/ingest/steer", {"series_id": ETH, "action": "stop"})
    assert [job.series_id for job in IngestJob.objects.filter(wanted=False)] == [ETH]
    assert "Restart" in shown(admin_client)

    admin_client.post("/ingest/steer", {"series_id": ETH, "action": "restart"})
    assert not IngestJob.objects.filter(wanted=False).exists()
    admin_client.post("/ingest/steer", {"series_id": "nobody", "action": "stop"})
    admin_client.post("/ingest/steer", {"series_id": ETH, "action": "explode"})
    assert not IngestJob.objects.filter(wanted=False).exists()


def test_any_number_of_feeds_costs_as_many_queries(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    names = [f"binance:futures:F{n}/USDT:1m" for n in range(300)]
    IngestJob.objects.bulk_create(IngestJob(series_id=name, state="waiting") for name in names)

    with django_assert_max_num_queries(4, using="reader"):
        shown(client)


def test_without_feeds_the_page_says_what_to_turn_on(client: Client) -> None:
    IngestJob.objects.all().delete()

    assert "TRADE_CANVAS_ENABLE_WHITELIST_INGEST" in shown(client)


def test_the_page_is_chinese_for_a_chinese_browser() -> None:
    page = Client(headers={"accept-language": "zh-CN"}).get("/ingest").content.decode()

    assert "行情源" in page
    assert "熔断器" in page
