"""What the lamps of a chart say for candles and structures that are late, early or missing."""

import pytest
from django.test import Client, RequestFactory
from django.utils.translation import override

from market.series import SeriesId
from tradecanvas.lamps import ago, candle_text, lasting, quiet_notice

SERIES = SeriesId.parse("binance:futures:BTC/USDT:1m")


def health(status: str, missing: int, progress: float | None = None) -> dict[str, object]:
    return {
        "status": status,
        "missing_candles": missing,
        "missing_seconds": missing * SERIES.seconds,
        "backfill": {"progress_pct": progress},
    }


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (health("green", 0), "Up to date"),
        (health("yellow", 0), "Up to date"),
        (health("yellow", 40, 60.0), "Catching up 60 % · 40 missing"),
        (health("red", 40, 60.0), "Behind by 40 minutes"),
    ],
)
def test_candle_lamp_says_how_late_the_candles_are(found: dict[str, object], text: str) -> None:
    assert str(candle_text(found, 1_700_000_000, 1_700_002_400)) == text


def test_a_series_without_candles_is_unknown() -> None:
    assert str(candle_text(health("red", 0), None, 1_700_000_000)) == "Unknown"


def test_durations_speak_the_language_of_who_looks() -> None:
    with override("zh-hans"):
        assert lasting(0, 7200) == "2 小时"
        assert str(candle_text(health("red", 2), 0, 120)) == "落后 2 分钟"


@pytest.mark.parametrize(
    ("time", "text"), [(None, "unknown"), (95.0, "5 s"), (-200.0, "5 minutes")]
)
def test_an_age_is_in_its_largest_unit(time: float | None, text: str) -> None:
    assert str(ago(time, 100.0)) == text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("series_id", "code"), [(str(SERIES), 200), ("nonsense", 400), ("", 400), ("a:b:c:\x00", 400)]
)
def test_lamps_are_there_for_series_alone(client: Client, series_id: str, code: int) -> None:
    answer = client.get("/live/lamps", {"series_id": series_id, "open": "structures candles"})

    assert answer.status_code == code


@pytest.mark.parametrize(
    ("status", "quiet", "text"),
    [
        ("red", "75", "No updates for 1 minute. The market may be quiet, or the feed has stopped."),
        ("red", "59", ""),
        ("green", "75", ""),
        ("red", "nan", ""),
        ("red", "inf", ""),
        ("red", "x", ""),
    ],
)
def test_silence_is_named_after_a_minute_where_candles_are_missing(
    rf: RequestFactory, status: str, quiet: str, text: str
) -> None:
    assert quiet_notice(rf.get("/live/lamps", {"quiet": quiet}), status, 1_700_000_000) == text
