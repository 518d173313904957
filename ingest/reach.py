"""Says in words, once, that an exchange cannot be reached, and once that it can be again."""

import logging

logger = logging.getLogger("tradecanvas.feeds")


class Reach:
    """What is known of the way to one market of an exchange."""

    def __init__(self, exchange: str, market: str) -> None:
        self.name = f"{exchange} {market}"
        self.is_lost = False

    def lost(self, error: BaseException) -> None:
        """Note that there was no way."""
        if not self.is_lost:
            self.is_lost = True
            logger.warning(
                "%s cannot be reached (%s). What is stored is served; it is tried again and again.",
                self.name,
                str(error) or type(error).__name__,
            )

    def found(self) -> None:
        """Note that there is a way."""
        if self.is_lost:
            self.is_lost = False
            logger.warning("%s can be reached again.", self.name)
