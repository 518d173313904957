"""Numbers of several rounds, printed as a table: the median, and how far they spread."""

import statistics
from collections.abc import Mapping


class Numbers:
    """What rounds gave, by row and column."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, list[float]]] = {}

    def add(self, row: str, values: Mapping[str, float]) -> None:
        """Keep the numbers of one round."""
        columns = self._rows.setdefault(row, {})
        for column, value in values.items():
            columns.setdefault(column, []).append(value)

    def show(self, title: str, places: Mapping[str, int]) -> None:
        """Print these columns, each with so many decimal places: median (least to greatest)."""
        print(f"  {title:<42}" + "".join(f"{column:>26}" for column in places))
        for row, columns in self._rows.items():
            cells = (_cell(columns.get(column), digits) for column, digits in places.items())
            print(f"    {row:<40}" + "".join(f"{cell:>26}" for cell in cells), flush=True)


def _cell(values: list[float] | None, digits: int) -> str:
    if not values:
        return "-"
    shown = f"{statistics.median(values):,.{digits}f}"
    return f"{shown} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"
