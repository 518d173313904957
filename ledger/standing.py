"""How every ledger stands: its heads, how far it is behind, and in a word whether all is well."""

from collections import Counter
from dataclasses import dataclass, replace

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy

from ledger.alignment import Heads
from ledger.health import behind, candles
from ledger.models import JobState, LedgerHead, LedgerJob
from ledger.selectors import heads_in
from market import database, selectors
from market.series import SeriesId, reading_order


class Status(TextChoices):
    """How a ledger is, the worst first."""

    ERROR = "error", gettext_lazy("error")
    NOT_BUILT = "not_built", gettext_lazy("not built")
    BEHIND = "behind", gettext_lazy("behind")
    IN_SYNC = "in_sync", gettext_lazy("in sync")


SEVERITY = {status: place for place, status in enumerate(Status)}


@dataclass(frozen=True, slots=True)
class Standing:
    """One series that has candles or a head; `head` is an unsaved row where none is stored.

    `heads` holds the time of the newest stored candle, whatever the row says. `seconds` is how far
    the slower part is behind, None where one is missing or made by other rules.
    """

    series_id: str
    head: LedgerHead
    heads: Heads
    seconds: int | None
    status: Status

    @property
    def lag(self) -> int | None:
        """By how many candles it is behind."""
        return candles(self.seconds, SeriesId.parse(self.series_id).seconds)

    @property
    def rank(self) -> tuple[int, int, tuple[str, int]]:
        """Its place where the worst come first."""
        return SEVERITY[self.status], -(self.lag or 0), reading_order(self.series_id)


def standings() -> list[Standing]:
    """Return how all ledgers stand, the worst first, with as many queries for one as for all."""
    with database.reading():
        rows = {row.series_id: row for row in LedgerHead.objects.using(database.alias())}
        newest = selectors.head_times(sorted(rows.keys() | set(selectors.series_stored())))
    found = [_standing(name, rows.get(name), candle) for name, candle in newest.items()]
    return sorted(found, key=lambda each: each.rank)


def standing_of(series_id: str) -> Standing | None:
    """Return how one ledger stands; None for a series without candles and head."""
    with database.reading():
        rows = LedgerHead.objects.using(database.alias())
        row = rows.filter(series_id=series_id).first()
        newest = selectors.head_time(series_id)
    return None if row is None and newest is None else _standing(series_id, row, newest)


def ledgers_by_status() -> dict[Status, int]:
    """Return how many ledgers have each status that any has."""
    found = Counter(each.status for each in standings())
    return {status: found[status] for status in Status if found[status]}


def jobs_by_state() -> dict[JobState, int]:
    """Return how many rebuilds and other long work are in each state that any is in."""
    found = Counter(LedgerJob.objects.values_list("state", flat=True))
    return {state: found[state] for state in JobState if found[state]}


def _standing(series_id: str, row: LedgerHead | None, newest: int | None) -> Standing:
    head = row or LedgerHead(series_id=series_id)
    heads = replace(heads_in(head), candle=newest)
    seconds = behind(heads)
    return Standing(series_id, head, heads, seconds, _status(head, seconds))


def _status(head: LedgerHead, seconds: int | None) -> Status:
    if head.last_error:
        return Status.ERROR
    if seconds is None:
        return Status.NOT_BUILT if head.factor_head is None else Status.BEHIND
    return Status.BEHIND if seconds else Status.IN_SYNC
