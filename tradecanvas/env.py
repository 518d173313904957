"""Strict readers of the environment; only `tradecanvas.settings` calls them.

Empty counts as unset. A value that is not understood stops the start and names its variable;
a number under its minimum is raised to it, with a warning.
"""

import logging
import math
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


def decimal(name: str, default: float, *, minimum: float) -> float:
    """Return a number, at least `minimum`."""
    raw = text(name)
    try:
        value = float(number(raw)) if raw else default
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, was {raw!r}") from None
    if value < minimum:
        logger.warning("%s is %s, raised to its minimum %s", name, value, minimum)
    return max(value, minimum)


def choice(name: str, default: str, among: Sequence[str]) -> str:
    """Return one of a few words, in any case."""
    value = text(name, default).lower()
    if value not in among:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(among)}, was {value!r}")
    return value


def number(raw: str) -> int | float:
    """Return a number; one without a point or exponent is whole. Raises `ValueError`.

    >>> number("5"), number("0.5")
    (5, 0.5)
    """
    try:
        return int(raw)
    except ValueError:
        value = float(raw)
    if not math.isfinite(value):
        raise ValueError(raw)
    return value


def numbers(name: str) -> dict[str, int | float]:
    """Return numbers by name from a list such as `pivot.window_major=30,gap.least=0.5`."""
    found = {}
    for item in names(name):
        key, _, raw = item.partition("=")
        try:
            found[key.strip()] = number(raw)
        except ValueError:
            raise ImproperlyConfigured(
                f"{name} must list name=number, was {item!r} in it"
            ) from None
    return found


def names(name: str, default: Sequence[str] = ()) -> list[str]:
    """Return a comma-separated list, blanks and empty items dropped."""
    raw = text(name)
    return [item.strip() for item in raw.split(",") if item.strip()] if raw else list(default)
