"""Compute a ledger again from its candles, in memory, and compare all that is stored of it.

Byte for byte, clock times and errors aside. The generation says how often history changed, which
no candle tells, so it is not compared. Nothing is written.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from factors import services
from factors.resuming import Reach
from factors.services import EVENT_COLUMNS, SNAPSHOT_COLUMNS, Found
from ledger.advance import INSTRUCTION_COLUMNS, instruction_rows
from ledger.invariants import is_later
from ledger.models import LedgerHead
from ledger.overlay import render
from ledger.selectors import head_row
from market import database, selectors
from market.series import SeriesId

HEADS = "ledger_heads"
MOST_SHOWN = 160

Row = tuple[Any, ...]
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not as it should be: the columns in question, None where there is no row."""

    table: str
    key: str
    ordinal: int
    stored: Values | None
    expected: Values | None

    def __str__(self) -> str:
        return (
            f"{self.table} {self.key}\n"
            f"  stored:    {_shown(self.stored, self.expected)}\n"
            f"  should be: {_shown(self.expected, self.stored)}"
        )


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the ledger: its columns, the order of its rows, and what a row is known by.

    `once` are the columns that the table holds only once: of two such rows the first was stored.
    """

    name: str
    columns: tuple[str, ...]
    place: tuple[str, ...]
    key: tuple[str, ...]
    once: tuple[str, ...]

    def pick(self, row: Row, names: Sequence[str]) -> Row:
        """Return these columns of a row."""
        return tuple(row[self.columns.index(name)] for name in names)

    def order(self, row: Row) -> tuple[tuple[str, Any], ...]:
        """Return where a row stands; a damaged row may hold text where a number should be."""
        return tuple((type(v).__name__, v) for v in self.pick(row, self.place))

    def first_of_each(self, rows: Iterable[Row]) -> list[Row]:
        """Return the rows that the table would keep."""
        kept: dict[Row, Row] = {}
        for row in rows:
            kept.setdefault(self.pick(row, self.once), row)
        return list(kept.values())

    def difference(self, stored: Row | None, expected: Row | None) -> Difference:
        """Say how a stored row and the one that should be there differ; one may be None."""
        row = self._values(expected or stored) or {}
        names = dict.fromkeys(self.place + self.key)
        return Difference(
            self.name,
            " ".join(f"{name}={_text(row[name])}" for name in names),
            row["ordinal"] if isinstance(row["ordinal"], int) else -1,
            *_unequal(self._values(stored), self._values(expected)),
        )

    def _values(self, row: Row | None) -> Values | None:
        return None if row is None else dict(zip(self.columns, row, strict=True))


def _table(
    name: str, columns: Iterable[str], place: Sequence[str], key: Sequence[str], once: Sequence[str]
) -> Table:
    """Return a table of the ledger, without the columns for the series and the clock."""
    kept = tuple(c for c in columns if c not in {"series_id", "created_at_ms"})
    return Table(name, kept, tuple(place), tuple(key), tuple(once))


EVENTS = _table(
    "factor_events",
    EVENT_COLUMNS,
    place=("candle_time", "seq"),
    key=("factor_name", "event_key"),
    once=("factor_name", "event_key"),
)
SNAPSHOTS = _table(
    "factor_head_snapshots",
    SNAPSHOT_COLUMNS,
    place=("candle_time", "factor_name", "seq"),
    key=("factor_name", "ordinal"),
    once=("candle_time", "factor_name", "seq"),
)
INSTRUCTIONS = _table(
    "overlay_instruction_versions",
    INSTRUCTION_COLUMNS,
    place=("ordinal", "seq"),
    key=("instruction_id", "visible_time"),
    once=("instruction_id", "ordinal"),
)
TABLES = (EVENTS, SNAPSHOTS, INSTRUCTIONS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying a series came to. `refused` says why nothing was compared."""

    candles: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    behind: str = ""
    refused: str = ""
    difference: Difference | None = None

    @property
    def is_sound(self) -> bool:
        """Whether all that is stored is as it should be; a ledger may be behind all the same."""
        return not self.refused and self.difference is None


def first_difference(
    table: Table, stored: Iterable[Row], expected: Iterable[Row]
) -> Difference | None:
    """Return the first difference in the order of the table, or None."""
    have, want = set(stored), set(expected)
    extra = sorted(have - want, key=table.order)
    missing = sorted(want - have, key=table.order)
    if missing and not (extra and table.order(extra[0]) < table.order(missing[0])):
        return table.difference(_counterpart(table, missing[0], extra), missing[0])
    if extra:
        return table.difference(extra[0], _counterpart(table, extra[0], missing))
    return None


def _counterpart(table: Table, row: Row, others: Sequence[Row]) -> Row | None:
    """Return the row that this one was or should have been: of the same key, or in its place."""
    for names in (table.key, table.place):
        for other in others:
            if table.pick(other, names) == table.pick(row, names):
                return other
    return None


def series_verify(series_id: str, progress: Callable[[int], None] = lambda _: None) -> Verdict:
    """Compare what is stored of a series with what its candles give, up to its factor head.

    All reads see one state of the database. `progress` hears how many candles were taken.
    """
    with database.reading():
        head = head_row(series_id)
        newest = selectors.head_time(series_id)
        if head is None and newest is not None:
            return Verdict(refused=f"candles are stored up to {newest}, but there is no head row")
        head = head or LedgerHead(series_id=series_id)
        if refused := _refused(head):
            return Verdict(refused=refused)
        try:
            found = _compute(head, progress)
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001 (a rule may raise anything)
            return Verdict(refused=f"cannot be computed: {type(error).__name__}: {error}")
        return _compared(head, newest, found)


def _refused(head: LedgerHead) -> str:
    """Say why there is no use in comparing: the ledger itself says that it is not to be trusted."""
    if head.dirty_from is not None:
        return f"dirty_from is {head.dirty_from}: from there on it is to be computed again"
    ours = services.current_fingerprint()
    if head.factor_head is not None and head.rules_fingerprint != ours:
        return f"rules_fingerprint is {head.rules_fingerprint!r}, that of the settings {ours!r}"
    return ""


def _compute(head: LedgerHead, progress: Callable[[int], None]) -> Found:
    return services.series_compute(
        series=SeriesId.parse(head.series_id),
        reach=Reach(None, -1 if head.factor_head is None else head.factor_head),
        replaces=False,
        progress=progress,
    )


def _compared(head: LedgerHead, newest: int | None, found: Found) -> Verdict:
    """Compare head row and tables; report what comes first, of one candle the head row."""
    stored = {t: database.series_rows(t.name, t.columns, head.series_id) for t in TABLES}
    last = found.advance.checkpoints[-1] if found.advance.checkpoints else None
    reach = last.candle_time if last else None
    drawn_to, undrawn = _compare_drawn(head, found, reach, stored[INSTRUCTIONS])
    expected = {
        "candle_head": newest,
        "factor_head": reach,
        "overlay_head": drawn_to,
        "digest": last.digest.hex() if last else "",
        "rules_fingerprint": found.rules.fingerprint if last else "",
    }
    differences = (
        _compare_head(head, last.ordinal if last else -1, expected),
        first_difference(EVENTS, stored[EVENTS], _plain(EVENTS, services.event_rows(found, 0))),
        first_difference(
            SNAPSHOTS, stored[SNAPSHOTS], _plain(SNAPSHOTS, services.snapshot_rows(found, 0))
        ),
        undrawn,
    )
    return Verdict(
        candles=last.ordinal + 1 if last else 0,
        rows={t.name: len(rows) for t, rows in stored.items()},
        behind=_behind(head.series_id, newest, reach, drawn_to),
        difference=min((d for d in differences if d), key=lambda d: d.ordinal, default=None),
    )


def _compare_drawn(
    head: LedgerHead, found: Found, reach: int | None, stored: Iterable[Row]
) -> tuple[int | None, Difference | None]:
    """Return what the overlay head should be, and the first difference up to there."""
    drawn_to = head.overlay_head
    if drawn_to is not None and (
        is_later(drawn_to, reach) or not selectors.times_stored(head.series_id, [drawn_to])
    ):
        drawn_to = reach
    difference = first_difference(INSTRUCTIONS, stored, _drawn(found, drawn_to))
    if difference and first_difference(INSTRUCTIONS, stored, _drawn(found, reach)) is None:
        return reach, None  # all is drawn, and the head says otherwise
    return drawn_to, difference


def _compare_head(head: LedgerHead, ordinal: int, expected: Values) -> Difference | None:
    stored = {name: getattr(head, name) for name in expected}
    if stored == expected:
        return None
    return Difference(HEADS, f"series_id={head.series_id}", ordinal, *_unequal(stored, expected))


def _drawn(found: Found, drawn_to: int | None) -> list[Row]:
    """Return the instructions of all events up to a time, as they should be stored."""
    if drawn_to is None:
        return []
    events = [e for e in found.advance.events if e.candle_time <= drawn_to]
    told = ((e.ordinal, e.factor, e.kind, e.payload) for e in events)
    drawn = render.history(found.rules, told)
    return _plain(INSTRUCTIONS, instruction_rows(found.series_id, drawn, 0))


def _plain(table: Table, rows: Iterable[Row]) -> list[Row]:
    """Return rows as the table keeps them, without the columns for the series and the clock."""
    return table.first_of_each(row[1:-1] for row in rows)


def _behind(series_id: str, newest: int | None, reach: int | None, drawn_to: int | None) -> str:
    """Say what is not there yet, and will be when the ledger is refreshed."""
    if newest is not None and (reach is None or reach < newest):
        waiting = selectors.candle_count(series_id, 0 if reach is None else reach + 1, newest)
        return f"{waiting} candles wait for factors"
    if drawn_to != reach and settings.TRADE_CANVAS_ENABLE_OVERLAY_INGEST:
        return "nothing is drawn" if drawn_to is None else f"drawn up to {drawn_to} of {reach}"
    return ""


def _unequal(stored: Values | None, expected: Values | None) -> tuple[Values | None, Values | None]:
    """Return both sides, cut to the columns that differ where both are there."""
    if stored is None or expected is None:
        return stored, expected
    names = [name for name in stored if stored[name] != expected[name]]
    return {name: stored[name] for name in names}, {name: expected[name] for name in names}


def _shown(values: Values | None, others: Values | None) -> str:
    if values is None:
        return "nothing"
    return " ".join(f"{name}={_text(v, (others or {}).get(name))}" for name, v in values.items())


def _text(value: Any, other: Any = None) -> str:
    """Return a value for people; of a long one the part where it begins to differ from `other`."""
    text, rest = (v.hex() if isinstance(v, bytes) else repr(v) for v in (value, other))
    if len(text) <= MOST_SHOWN:
        return text
    pairs = enumerate(zip(text, rest, strict=False))
    same = next((n for n, (one, two) in pairs if one != two), min(len(text), len(rest)))
    start = max(0, same - MOST_SHOWN // 2)
    before, after = "..." * (start > 0), "..." * (start + MOST_SHOWN < len(text))
    return f"{before}{text[start : start + MOST_SHOWN]}{after}"
