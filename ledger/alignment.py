"""Heads, aligned time and readiness of one series' ledger. Imports no framework."""

from dataclasses import dataclass

VERSIONS = 1 << 32


class LedgerError(Exception):
    """A read or refresh that the ledger cannot serve.

    `detail` goes to the client; `code` says for logs and tests who asked.
    """

    detail = ""

    def __init__(self, detail: str = "", code: str = "") -> None:
        self.detail = detail or self.detail
        self.code = code
        super().__init__(self.detail)


class NoDataError(LedgerError):
    """No candle, or none at or before the asked time."""

    detail = "no_data"


class NoOverlayError(LedgerError):
    """Candles, but nothing was ever drawn from them."""

    detail = "no_overlay"


class OutOfSyncError(LedgerError):
    """The ledger does not cover the asked time yet."""

    detail = "ledger_out_of_sync"


@dataclass(frozen=True, slots=True)
class Heads:
    """Up to which candle each part of a series' ledger is known; all None before the first.

    Nothing at or after `dirty_from` can be trusted until it is computed again; `is_current` is
    False while the ledger was computed by other rules than those of now. `rules_fingerprint` is
    that of the rules it was computed by; `row` is that of the database, another one after the
    series was deleted.
    """

    candle: int | None = None
    factor: int | None = None
    overlay: int | None = None
    dirty_from: int | None = None
    generation: int = 0
    is_current: bool = True
    rules_fingerprint: str = ""
    row: int | None = None

    def sound(self, head: int | None) -> int | None:
        """Return up to when what a head covers can be trusted; None: not at all."""
        if head is None or not self.is_current:
            return None
        return head if self.dirty_from is None else min(head, self.dirty_from - 1)

    def covers(self, head: int | None, time: int) -> bool:
        """Say whether a head is at or after a time, and what it covers is sound."""
        sound = self.sound(head)
        return sound is not None and sound >= time

    def ledger(self) -> tuple[int | None, int, str]:
        """Return what all that is known at any candle stays the same under."""
        return self.row, self.generation, self.rules_fingerprint

    def same_generation(self, version: int) -> bool:
        """Say whether a version or cursor is of this generation."""
        return version // VERSIONS == self.generation

    def require_factor(self, time: int, code: str = "") -> None:
        """Raise `OutOfSyncError` unless factors cover the time."""
        if not self.covers(self.factor, time):
            raise OutOfSyncError("ledger_out_of_sync:factor", code)

    def require_overlay(self, time: int, code: str = "") -> None:
        """Raise `OutOfSyncError` unless drawings cover the time."""
        if not self.covers(self.overlay, time):
            raise OutOfSyncError("ledger_out_of_sync:overlay", code)


def first_version(generation: int) -> int:
    """Return the version of a generation before anything became visible."""
    return generation * VERSIONS


def version_id(generation: int, ordinal: int) -> int:
    """Return the version of what became visible with the candle of this ordinal."""
    return first_version(generation) + ordinal + 1
