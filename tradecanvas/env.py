"""Strict readers of the environment; only `tradecanvas.settings` calls them.

Empty counts as unset. A value that is not understood stops the start and names its variable;
a number under its minimum is raised to it, with a warning.
"""

import logging
import os
from collections.abc import Sequence

from django.core.exceptions import ImproperlyConfigured

logger = logging.getLogger(__name__)

ON = frozenset({"1", "true", "yes", "on"})
OFF = frozenset({"0", "false", "no", "off"})


def text(name: str, default: str = "") -> str:
    """Return the variable without surrounding blanks, or the default."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, *, default: bool = False) -> bool:
    """Return a switch: 1, true, yes, on or 0, false, no, off, in any case."""
    raw = text(name).lower()
    if not raw:
        return default
    if raw not in ON | OFF:
        raise ImproperlyConfigured(f"{name} must be one of 1, 0, true, false, was {raw!r}")
    return raw in ON


def integer(name: str, default: int, *, minimum: int) -> int:
    """Return a whole number, at least `minimum`."""
    raw = text(name)
    try:
        value = int(raw) if raw else default
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, was {raw!r}") from None
    if value < minimum:
        logger.warning("%s is %s, raised to its minimum %s", name, value, minimum)
    return max(value, minimum)


def names(name: str, default: Sequence[str] = ()) -> list[str]:
    """Return a comma-separated list, blanks and empty items dropped."""
    raw = text(name)
    return [item.strip() for item in raw.split(",") if item.strip()] if raw else list(default)
