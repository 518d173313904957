"""The channel layer of a single process."""

import time
from typing import Any

from channels.layers import InMemoryChannelLayer

CLEAN_EVERY = 1.0


class MemoryChannelLayer(InMemoryChannelLayer):  # type: ignore[misc]  # Channels has no types
    """Looks for what has expired once a second.

    Channels' own looks at every group and message whenever one is sent or received: 1,000 series
    that close at once cost it a million looks each way.
    """

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        self._cleaned = 0.0

    def _clean_expired(self) -> None:
        now = time.monotonic()
        if now - self._cleaned >= CLEAN_EVERY:
            self._cleaned = now
            super()._clean_expired()
