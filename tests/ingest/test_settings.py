"""Settings of the earlier system that do nothing are named."""

from typing import Any

from ingest.apps import check_settings_without_effect


def test_a_setting_without_effect_is_named_by_the_check(settings: Any) -> None:
    assert check_settings_without_effect() == []

    settings.SETTINGS_WITHOUT_EFFECT = ["TRADE_CANVAS_ENABLE_INGEST_COMPENSATE_NEW_CANDLES"]

    (warning,) = check_settings_without_effect()
    assert "TRADE_CANVAS_ENABLE_INGEST_COMPENSATE_NEW_CANDLES has no effect" in warning.msg
