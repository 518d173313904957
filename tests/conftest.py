"""What the tests of all apps share."""

import os
from collections.abc import Iterator

import pytest
from channels.layers import channel_layers
from django.conf import settings
from django.utils import translation

from ledger.answers import kept

if settings.REDIS_URL:  # test processes side by side would hear each other
    process = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    settings.CHANNEL_LAYERS["default"]["CONFIG"]["prefix"] = f"tests-{process}"


@pytest.fixture(autouse=True)
def fresh_channel_layer() -> Iterator[None]:
    """Give each test a channel layer of its own: queues belong to one event loop."""
    channel_layers.backends.clear()
    yield
    channel_layers.backends.clear()


@pytest.fixture(autouse=True)
def no_kept_answers() -> None:
    """Forget the answers of the test before: its series are gone, and may come again."""
    kept.cache_clear()


@pytest.fixture(autouse=True)
def _no_language() -> Iterator[None]:
    """Forget the language of a page that was asked for: a request leaves it to its thread."""
    yield
    translation.deactivate()
