"""The states of a circuit in one table: tests play each row, the documents draw it."""

from typing import NamedTuple

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"


class Row(NamedTuple):
    """In a state, an event under a condition leads to a state, with an effect."""

    state: str
    event: str
    condition: str
    leads_to: str
    effect: str


TABLE = (
    Row(CLOSED, "attempt", "", CLOSED, "may try"),
    Row(CLOSED, "failure", "under both limits", CLOSED, "waits 1, 2, 4, 8, 15 s"),
    Row(CLOSED, "failure", "5 in 60 s, or 10 in a row", OPEN, "waits 30 s"),
    Row(CLOSED, "failure", "of kind config", OPEN, "waits 300 s"),
    Row(CLOSED, "rotation", "at most 6 in 10 min", CLOSED, "waits 1 s"),
    Row(OPEN, "attempt", "too early", OPEN, "waits the rest"),
    Row(OPEN, "attempt", "in time", HALF_OPEN, "is the one probe"),
    Row(OPEN, "failure", "", OPEN, "never waits less"),
    Row(HALF_OPEN, "attempt", "while a probe is out", HALF_OPEN, "waits until it expires"),
    Row(HALF_OPEN, "attempt", "60 s after the probe", HALF_OPEN, "is the next probe"),
    Row(HALF_OPEN, "failure", "", OPEN, "waits twice as long"),
    Row(HALF_OPEN, "success", "", CLOSED, "all is forgotten"),
    Row(OPEN, "reset", "by staff", CLOSED, "all is forgotten"),
    Row(CLOSED, "hold", "by staff", OPEN, "until a reset"),
)


def mermaid() -> str:
    """Return the table as a state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {CLOSED}"]
    for row in TABLE:
        condition = f" ({row.condition})" if row.condition else ""
        lines.append(f"    {row.state} --> {row.leads_to}: {row.event}{condition}, {row.effect}")
    return "\n".join(lines)
