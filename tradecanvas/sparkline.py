"""A line of a few prices, as small as a word. Imports no framework."""

from collections.abc import Sequence

WIDTH, HEIGHT, MARGIN = 120, 28, 2


def points(values: Sequence[float]) -> str:
    """Return where the line of these values runs in an SVG of `WIDTH` by `HEIGHT`.

    >>> points([1.0, 3.0, 2.0])
    '2,26 60,2 118,14'
    >>> points([5.0])
    ''
    """
    if len(values) < 2:
        return ""
    low, spread = min(values), max(values) - min(values)
    across = (WIDTH - 2 * MARGIN) / (len(values) - 1)
    up = (HEIGHT - 2 * MARGIN) / spread if spread else 0.0
    floor = HEIGHT - MARGIN if spread else HEIGHT / 2
    return " ".join(
        f"{MARGIN + across * n:.4g},{floor - up * (value - low):.4g}"
        for n, value in enumerate(values)
    )
