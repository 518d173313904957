"""/ingest: what the feeds do, for everybody to read, and for staff to steer."""

import re
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
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


def ask(
    client: Client, action: str, name: str = ETH, *, query: str = "", follow: bool = False
) -> Any:
    form = {"series_id": name, "action": action}
    return client.post(f"/ingest/steer{query}", form, follow=follow)


def test_open_circuits_come_first_and_stopped_feeds_when_asked(client: Client) -> None:
    page = shown(client)

    assert re.findall(r'data-series-id="([^"]+)"', page) == [ETH, BTC]
    assert re.findall(r'data-series-id="([^"]+)"', shown(client, stopped="1")) == [ETH, BTC, SOL]
    assert re.search(r'<span data-left="2[345]">\d\d:\d\d:\d\d UTC</span></td>', page)
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


def test_who_may_not_write_is_told_so(client: Client) -> None:
    page = shown(client)
    refused = ask(client, "reset")

    assert "Staff only." in page
    assert "ingest/steer" not in page
    assert refused.status_code == 403
    assert 'data-level="error">Staff only.' in refused.content.decode()
    assert IngestGuardrail.objects.get().state == "open"


def test_a_step_needs_its_token_a_post_and_a_feed_that_is_here(admin_client: Client) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = admin_client.cookies

    assert ask(strict, "reset").status_code == 403
    assert admin_client.get("/ingest/steer").status_code == 405
    assert ask(admin_client, "stop", "nobody").status_code == 404
    assert ask(admin_client, "explode").status_code == 404
    assert IngestGuardrail.objects.get().state == "open"
    assert not IngestJob.objects.filter(wanted=False).exists()


def test_staff_resets_a_circuit_and_stops_and_restarts_a_feed(client: Client) -> None:
    """The rights are those of /ledger; a permission of the admin is not asked for."""
    client.force_login(User.objects.create(username="researcher", is_staff=True))
    page = shown(client)
    assert "Yes, reset" in page
    assert "/admin/ingest/ingestjob/" in page

    assert "is closed: it may try at once." in ask(client, "reset", follow=True).content.decode()
    assert IngestGuardrail.objects.get().state == "closed"

    page = ask(client, "stop", follow=True).content.decode()
    assert f"{ETH} is being stopped." in page
    assert [job.series_id for job in IngestJob.objects.filter(wanted=False)] == [ETH]
    assert "Restart" in page

    assert f"{ETH} is being started." in ask(client, "restart", follow=True).content.decode()
    assert not IngestJob.objects.filter(wanted=False).exists()


def test_this_machine_may_steer_where_serve_says_so(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """The right is that of the API's writes (`market/access.py`)."""
    caplog.set_level("INFO", "ingest.pages")
    with patch("ingest.pages.may_write", return_value=True):
        ask(client, "reset")

    assert IngestGuardrail.objects.get().state == "closed"
    assert f"ingest.steered reset {ETH} user_id=None" in caplog.text


def test_a_step_leads_back_to_what_was_shown(admin_client: Client) -> None:
    here = f"?series_id={quote(ETH, safe='')}"

    assert f"/ingest/steer{here}" in shown(admin_client, series_id=ETH)
    assert ask(admin_client, "reset", query=here)["Location"] == f"/ingest{here}"
    assert ask(admin_client, "restart", query="?stopped=1")["Location"] == "/ingest?stopped=1"
    IngestJob.objects.filter(series_id=ETH).update(state="idle")
    stopped = ask(admin_client, "stop", follow=True).content.decode()
    assert f'data-series-id="{ETH}"' in stopped


def test_the_head_of_the_page_says_role_and_jobs(client: Client, settings: Any) -> None:
    settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS = 20
    IngestJob.objects.filter(series_id=BTC).update(kind="whitelist")

    page = shown(client)
    for said in ("Role: hybrid", "Feeds: 2", "on demand: 1 / 20", "Loop guardrail: on"):
        assert f"<span>{said}</span>" in page
    settings.TRADE_CANVAS_ENABLE_INGEST_ROLE_GUARD = True
    settings.TRADE_CANVAS_INGEST_ROLE = "ingest"
    settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS = 0
    page = shown(client)
    assert "Role: ingest" in page
    assert "on demand: 1</span>" in page


def test_a_row_opens_to_failures_and_configuration(client: Client) -> None:
    IngestJob.objects.filter(series_id=ETH).update(source="ccxt", crashes=7, last_error="")
    IngestGuardrail.objects.update(last_failure_at=60.5, last_backoff_s=8, last_error="odd <end>")

    page = shown(client, series_id=ETH)

    facts = dict(re.findall(r"<dt>([^<]+)</dt><dd>(.*?)</dd>", page))
    assert facts["Consecutive failures"] == "5"
    assert 'title="60">1970-01-01 00:01</time>' in facts["Last failure"]
    assert facts["Last wait"] == "8 s"
    assert facts["Crashes"] == "7"
    assert facts["Failures that open the circuit"] == "5 / 60 s"
    assert facts["Wait after a failure"].startswith("1–15 s")
    assert "<td>ccxt</td>" in page
    assert "odd &lt;end&gt;" in page


def test_a_half_open_circuit_probes(client: Client) -> None:
    IngestGuardrail.objects.update(state="half_open", open_until=None, probe_at=now())

    assert "probing</td>" in shown(client)


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
