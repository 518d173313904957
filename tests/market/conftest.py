"""What the tests of `market` share."""

import pytest

from market import hub


@pytest.fixture(autouse=True)
def candles_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the newest candle be the announced head: these tests know no ledger."""
    monkeypatch.setattr(hub._Registered, "heads", staticmethod(hub.candle_heads))
