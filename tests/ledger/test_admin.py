"""The admin shows every table of the ledger and changes none."""

import pytest
from django.test import Client
from django.urls import reverse

from ingest import pipeline
from tests.goldens import candles_of, golden
from tests.ledger.reading import use_golden_windows

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
def test_heads_list_shows_lag_and_last_error(admin_client: Client) -> None:
    from ledger.models import LedgerHead

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
