"""The admin shows every table of the ledger, changes none, and lets ledgers be mended."""

from unittest.mock import patch

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings
from django.urls import reverse

from factors.engine.plugins.pivot import Pivot
from ingest import pipeline
from ledger import frames
from ledger.models import LedgerHead
from tests.goldens import candles_of, golden
from tests.ledger.reading import SERIES, START, flat, use_golden_windows

TABLES = [
    "market_storedcandle",
    "factors_factorevent",
    "factors_factorheadsnapshot",
    "ledger_ledgerhead",
    "ledger_overlayinstructionversion",
]


@pytest.mark.django_db
@pytest.mark.parametrize("table", TABLES)
def test_list_links_to_the_chart_and_offers_no_change(table: str, admin_client: Client) -> None:
    case = golden("doji2_1_2")
    with use_golden_windows(case):
        pipeline.run_sync({case["series_id"]: candles_of(case)})

    page = admin_client.get(reverse(f"admin:{table}_changelist"), {"q": case["series_id"]})

    text = page.content.decode()
    assert "/live?series_id=test%3Aspot%3Adoji2_1_2%2FUSDT%3A1m" in text
    assert f"{table.replace('_', '/', 1)}/add/" not in text
    assert admin_client.get(reverse(f"admin:{table}_add")).status_code == 403


@pytest.mark.django_db
def test_a_row_that_has_a_time_links_to_the_chart_there(admin_client: Client) -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})

    candles = admin_client.get(reverse("admin:market_storedcandle_changelist"), {"q": SERIES})
    heads = admin_client.get(reverse(HEADS))

    assert f"1m&amp;at={START + 60}" in candles.content.decode()
    assert "&amp;at=" not in heads.content.decode()


@pytest.mark.django_db(databases=["default", "reader"], transaction=True)
def test_ledgers_are_filtered_by_status_and_timeframe(admin_client: Client) -> None:
    behind, hourly = "test:spot:BEHIND/USDT:1m", "test:spot:HOURLY/USDT:1h"
    pipeline.run_sync({SERIES: flat(1, 2), behind: flat(1, 2), hourly: flat(1, 2, step=3600)})
    LedgerHead.objects.filter(series_id=behind).update(factor_head=START)

    def shown(**query: str) -> list[str]:
        page = admin_client.get(reverse(HEADS), query)
        assert page.status_code == 200
        return [head.series_id for head in page.context["cl"].result_list]

    assert shown(status="behind") == [behind]
    assert shown(status="in_sync") == sorted([SERIES, hourly])
    assert shown(timeframe="1h") == [hourly]
    assert shown(timeframe="1m", status="in_sync") == [SERIES]
    assert shown(timeframe="h") == []
    assert len(shown(status="odd")) == 3


ACTIONS = ["refresh", "repair_overlay", "rebuild"]
HEADS = "admin:ledger_ledgerhead_changelist"


def ask(client: Client, action: str) -> str:
    """Choose the one head and let it be mended; return the page."""
    form = {"action": action, "_selected_action": [LedgerHead.objects.get().pk]}
    return client.post(reverse(HEADS), form, follow=True).content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("action", ACTIONS)
def test_a_ledger_is_mended_through_the_services_and_the_log_says_who(
    action: str, admin_client: Client, admin_user: User
) -> None:
    case = golden("doji2_1_2")
    with use_golden_windows(case):
        with override_settings(TRADE_CANVAS_ENABLE_FACTOR_INGEST=False):
            pipeline.run_sync({case["series_id"]: candles_of(case)})
        page = ask(admin_client, action)

        assert f"Done: {case['series_id']}" in page
        frames.live(series_id=case["series_id"], window_candles=500)
    assert LogEntry.objects.get().user == admin_user


@pytest.mark.django_db
@pytest.mark.parametrize("action", ACTIONS)
def test_a_ledger_that_cannot_be_mended_says_why(action: str, admin_client: Client) -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})
    LedgerHead.objects.update(dirty_from=START)

    with patch.object(Pivot, "step", side_effect=ValueError("broken")):
        page = ask(admin_client, action)

    assert f"Failed: {SERIES}" in page
    assert not LogEntry.objects.exists()


@pytest.mark.django_db
def test_who_may_only_look_is_offered_nothing(client: Client) -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})
    looker = User.objects.create_user("looker", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_ledgerhead"))
    client.force_login(looker)

    page = client.get(reverse(HEADS)).content.decode()

    assert SERIES in page
    assert 'value="rebuild"' not in page


@pytest.mark.django_db
def test_heads_list_shows_lag_and_last_error(admin_client: Client) -> None:
    LedgerHead.objects.create(
        series_id="binance:spot:LAG/USDT:1m",
        candle_head=300,
        factor_head=180,
        overlay_head=180,
        last_error="ValueError: odd candle",
        last_error_step="factor.ingest_closed",
    )

    text = admin_client.get(reverse("admin:ledger_ledgerhead_changelist")).content.decode()

    assert '<td class="field-lag">2</td>' in text
    assert "factor.ingest_closed: ValueError: odd candle" in text


@pytest.mark.django_db
def test_a_row_opens_with_its_json_indented(admin_client: Client) -> None:
    from factors.models import FactorEvent

    case = golden("doji2_1_2")
    with use_golden_windows(case):
        pipeline.run_sync({case["series_id"]: candles_of(case)})
    event = FactorEvent.objects.filter(kind="pivot.major").first()
    assert event is not None

    page = admin_client.get(reverse("admin:factors_factorevent_change", args=[event.pk]))

    assert "&quot;pivot_price&quot;: " in page.content.decode()
