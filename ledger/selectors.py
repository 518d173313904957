"""Read heads and stored instructions."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.conf import settings
from django.db.models import F, Q

from factors.selectors import FOUND_TABLES, digests_at, found_checksum, newest_found
from factors.services import current_fingerprint, current_rules, is_current
from ledger.alignment import Heads
from ledger.invariants import Facts
from ledger.models import LedgerHead
from ledger.overlay.render import Drawn
from market import database, selectors
from market.subscriptions import AnnouncedHead


def head_row(series_id: str) -> LedgerHead | None:
    """Return the head row of a series; a series that was never written has none."""
    return LedgerHead.objects.using(database.alias()).filter(series_id=series_id).first()


HEAD_COLUMNS = (
    "candle_head",
    "factor_head",
    "overlay_head",
    "dirty_from",
    "generation",
    "rules_fingerprint",
    "id",
)

# A stock SQLite takes 32,766 values in a query, others 250,000.
SERIES_PER_QUERY = 30_000

LOOK = f"""
WITH head AS (SELECT * FROM ledger_heads WHERE series_id = %s),
place AS (SELECT max(candle_time) AS aligned FROM candles WHERE series_id = %s AND candle_time <=
    coalesce(%s, (SELECT CASE WHEN overlay_head < candle_head THEN overlay_head
                              ELSE candle_head END FROM head)))
SELECT {", ".join(HEAD_COLUMNS)}, aligned,
    (SELECT count(*) FROM factor_events
     WHERE series_id = head.series_id AND candle_time BETWEEN aligned - %s AND aligned),
    (SELECT count(*) FROM overlay_instruction_versions
     WHERE series_id = head.series_id AND visible_time BETWEEN aligned - %s AND aligned)
FROM place LEFT JOIN head ON 1 = 1
"""  # noqa: S608 (our names)


def heads_of(series_id: str) -> Heads:
    """Return the heads of a series; a series that was never written has none."""
    found = database.series_rows("ledger_heads", HEAD_COLUMNS, series_id)
    return _heads(*found[0]) if found else Heads()


@dataclass(frozen=True, slots=True)
class Look:
    """What a read is about: the heads, the candle that its time is aligned to, and its window.

    `events` and `instructions` are how many became visible in the window that ends there.
    """

    heads: Heads
    aligned: int | None
    events: int
    instructions: int


def look_at(series_id: str, at_time: int | None, looks_back: int) -> Look:
    """Return, by one query, what there is at a time, or by default where all heads have come.

    `looks_back` is the length of the window in seconds.
    """
    found = database.rows(LOOK, [series_id, series_id, at_time, looks_back, looks_back])
    *values, aligned, events, instructions = found[0]
    heads = Heads() if values[-1] is None else _heads(*values)
    return Look(heads, aligned, events, instructions)


def heads_in(row: LedgerHead) -> Heads:
    """Return the heads that a row holds."""
    return _heads(*(getattr(row, column) for column in HEAD_COLUMNS))


def _heads(*values: Any) -> Heads:
    """Return heads, of values in the order of `HEAD_COLUMNS`."""
    candle, factor, overlay, dirty_from, generation, fingerprint, row = values
    is_ours = is_current(fingerprint)
    return Heads(candle, factor, overlay, dirty_from, generation, is_ours, fingerprint, row)


def announced_head(head: LedgerHead) -> int | None:
    """Return up to where subscribers may see candles: the head of the last step that is on.

    Nothing is announced while a part of the ledger is to be computed again: reads refuse it.
    """
    if not settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST:
        return head.candle_head
    if head.dirty_from is not None or not is_current(head.rules_fingerprint):
        return None
    if not settings.TRADE_CANVAS_ENABLE_OVERLAY_INGEST:
        return head.factor_head
    return head.overlay_head


def announced_heads(series_ids: Sequence[str]) -> Mapping[str, AnnouncedHead]:
    """Return the announced head and generation of each series that has a ledger."""
    return {
        head.series_id: AnnouncedHead(announced_head(head), head.generation)
        for start in range(0, len(series_ids), SERIES_PER_QUERY)
        for head in LedgerHead.objects.filter(
            series_id__in=series_ids[start : start + SERIES_PER_QUERY]
        )
    }


def series_with_candles() -> list[str]:
    """Return the series that have candles, in text order."""
    heads = LedgerHead.objects.filter(candle_head__isnull=False)
    return sorted(heads.values_list("series_id", flat=True))


def series_known() -> list[str]:
    """Return the series of which anything at all is stored, in text order."""
    tables = ("candles", "ledger_heads", *FOUND_TABLES, "overlay_instruction_versions")
    return sorted({name for table in tables for name in database.series_in(table)})


def series_behind() -> list[str]:
    """Return the series whose ledger does not reach their newest candle, or was made otherwise."""
    heads = LedgerHead.objects.filter(candle_head__isnull=False)
    if not settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST:
        return []
    sound = heads.filter(factor_head=F("candle_head"), dirty_from__isnull=True)
    if settings.TRADE_CANVAS_ENABLE_FACTOR_FINGERPRINT_REBUILD:
        sound = sound.filter(rules_fingerprint=current_fingerprint())
    if settings.TRADE_CANVAS_ENABLE_OVERLAY_INGEST:
        sound = sound.filter(overlay_head=F("candle_head"))
    behind = heads.exclude(pk__in=sound.values("pk"))
    return sorted(behind.values_list("series_id", flat=True))


def ledger_facts(series_id: str) -> Facts:
    """Return what the invariants of a series are about, from one state of the database."""
    with database.reading():
        row = head_row(series_id)
        head = row or LedgerHead(series_id=series_id)
        times = (head.candle_head, head.factor_head, head.overlay_head)
        return Facts(
            has_row=row is not None,
            candle_head=head.candle_head,
            factor_head=head.factor_head,
            overlay_head=head.overlay_head,
            generation=head.generation,
            digest=head.digest,
            newest_candle=selectors.head_time(series_id),
            head_candles=selectors.times_stored(series_id, [t for t in times if t is not None]),
            newest_event=newest_found("factor_events", series_id),
            newest_checkpoint=newest_found("factor_head_snapshots", series_id),
            newest_instruction=newest_instruction(series_id),
            digests=digests_at(series_id, head.factor_head),
            factors=_factors_of(head),
        )


def _factors_of(head: LedgerHead) -> frozenset[str]:
    """Return the factors whose checkpoints a ledger must hold, as far as is known here."""
    rules = current_rules()
    is_ours = head.rules_fingerprint == rules.fingerprint
    return frozenset(rules.names if is_ours else ())


def newest_instruction(series_id: str) -> int | None:
    """Return when the newest stored instruction of a series became visible."""
    newest: int | None = database.value(
        "SELECT max(visible_time) FROM overlay_instruction_versions WHERE series_id = %s",
        [series_id],
    )
    return newest


def dirty_series(settled_before: datetime) -> dict[str, int]:
    """Return where series are to be computed again though the recovery should have done it.

    It tried and failed, or nothing happened to the series since `settled_before`.
    """
    if not settings.TRADE_CANVAS_ENABLE_FACTOR_INGEST:
        return {}
    due = ~Q(last_error="") | Q(updated_at__lt=settled_before)
    heads = LedgerHead.objects.filter(due, dirty_from__isnull=False)
    return {head.series_id: head.dirty_from for head in heads if head.dirty_from is not None}


def instructions_between(series_id: str, start: int, end: int) -> list[Drawn]:
    """Return the stored instructions that became visible in [start, end], in ledger order."""
    rows = database.rows(
        "SELECT ordinal, seq, instruction_id, kind, visible_time, def_json "
        "FROM overlay_instruction_versions "
        "WHERE series_id = %s AND visible_time BETWEEN %s AND %s ORDER BY ordinal, seq",
        [series_id, start, end],
    )
    return [
        Drawn(ordinal, seq, name, kind, visible_time, text, orjson.loads(text))
        for ordinal, seq, name, kind, visible_time, text in rows
    ]


def ledger_checksum(series_id: str) -> str:
    """Return a hash of all that is stored of a series' ledger, heads and clock times aside."""
    return (found_checksum(series_id) + instructions_checksum(series_id)).hex()


def instructions_checksum(series_id: str) -> bytes:
    """Return a hash of what is drawn of a series, clock times aside."""
    digest = hashlib.sha256()
    rows = database.rows(
        "SELECT ordinal, seq, instruction_id, kind, visible_time, def_json "
        "FROM overlay_instruction_versions WHERE series_id = %s ORDER BY ordinal, seq",
        [series_id],
    )
    for row in rows:
        digest.update(repr(row).encode())
    return digest.digest()
