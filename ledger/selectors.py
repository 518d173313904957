"""Read heads and stored instructions."""

import hashlib
from collections.abc import Mapping, Sequence

import orjson
from django.conf import settings
from django.db.models import F

from factors.selectors import found_checksum
from factors.services import current_fingerprint, is_current
from ledger.alignment import Heads
from ledger.models import LedgerHead
from ledger.overlay.render import Drawn
from market import database
from market.subscriptions import AnnouncedHead


def heads_of(series_id: str) -> Heads:
    """Return the heads of a series; a series that was never written has none."""
    row = LedgerHead.objects.using(database.alias()).filter(series_id=series_id).first()
    return Heads() if row is None else heads_in(row)


def heads_in(row: LedgerHead) -> Heads:
    """Return the heads that a row holds."""
    return Heads(
        candle=row.candle_head,
        factor=row.factor_head,
        overlay=row.overlay_head,
        dirty_from=row.dirty_from,
        generation=row.generation,
        is_current=is_current(row.rules_fingerprint),
    )


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
    found = LedgerHead.objects.filter(series_id__in=series_ids)
    return {head.series_id: AnnouncedHead(announced_head(head), head.generation) for head in found}


def series_with_candles() -> list[str]:
    """Return the series that have candles, in text order."""
    heads = LedgerHead.objects.filter(candle_head__isnull=False)
    return sorted(heads.values_list("series_id", flat=True))


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
    digest = hashlib.sha256(found_checksum(series_id))
    rows = database.rows(
        "SELECT ordinal, seq, instruction_id, kind, visible_time, def_json "
        "FROM overlay_instruction_versions WHERE series_id = %s ORDER BY ordinal, seq",
        [series_id],
    )
    for row in rows:
        digest.update(repr(row).encode())
    return digest.hexdigest()
