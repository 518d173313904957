"""A channel layer that loses hints, as the layer's contract allows any layer to."""

import logging
import os
import random
from typing import Any

from channels_redis.core import RedisChannelLayer

logger = logging.getLogger(__name__)

SHARE = 0.3
LOST = "a hint is lost on purpose"


class LossyRedisLayer(RedisChannelLayer):  # type: ignore[misc]  # channels_redis has no types
    """Redis, but 30 % of what is sent to a group arrives nowhere."""

    def __init__(self, *args: Any, **config: Any) -> None:
        super().__init__(*args, **config)
        self._dice = random.Random(os.environ["LOSSY_SEED"])  # noqa: S311 (a repeatable test)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send, or lose, a message."""
        if self._dice.random() < SHARE:
            logger.warning(LOST)
            return
        await super().group_send(group, message)
