"""Settings that do nothing, or leave a server open, are named by the checks."""

from typing import Any

from ingest.apps import check_feeds, check_settings_without_effect


def test_a_setting_without_effect_is_named_by_the_check(settings: Any) -> None:
    assert check_settings_without_effect() == []

    settings.SETTINGS_WITHOUT_EFFECT = ["TRADE_CANVAS_ENABLE_INGEST_COMPENSATE_NEW_CANDLES"]

    (warning,) = check_settings_without_effect()
    assert "TRADE_CANVAS_ENABLE_INGEST_COMPENSATE_NEW_CANDLES has no effect" in warning.msg


def test_a_server_without_guardrail_or_limit_is_warned(settings: Any) -> None:
    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = False
    settings.TRADE_CANVAS_ENABLE_ONDEMAND_INGEST = True
    settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS = 0
    assert [warning.id for warning in check_feeds()] == ["ingest.W002", "ingest.W003"]

    settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL = True
    settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS = 50

    assert check_feeds() == []
