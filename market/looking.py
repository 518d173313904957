"""The base of admin pages that are for looking: read-only, by series, never counting a table."""

from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar, cast
from urllib.parse import urlencode

import orjson
from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

MOST_ROWS = 10_000
M = TypeVar("M", bound=Model)


class UncountedPaginator(Paginator[Any]):
    """Pages of the newest rows; a full count of millions of rows would take minutes."""

    @cached_property
    def count(self) -> int:
        """Return how many rows can be paged through."""
        rows = cast("QuerySet[Model]", self.object_list)
        return len(rows.values_list("pk")[:MOST_ROWS])


def chart_link(series_id: str, at: int | None = None) -> SafeString:
    """Return a link to the chart of a series, or to what it was at a time."""
    query = urlencode({"series_id": series_id} | ({} if at is None else {"at": at}))
    return format_html('<a href="/live?{}">{}</a>', query, gettext("show on chart"))


def moment(time: int | None) -> SafeString | None:
    """Return a candle time as UTC date and time; the seconds stand in the tooltip."""
    if time is None:
        return None
    try:
        shown = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError):
        shown = str(time)
    return format_html('<span title="{}">{}</span>', time, shown)


def pretty(text: str) -> SafeString:
    """Return stored JSON with line breaks, for reading."""
    indented = orjson.dumps(orjson.loads(text), option=orjson.OPT_INDENT_2).decode()
    return format_html("<pre>{}</pre>", indented)


class LookingAdmin(admin.ModelAdmin[M]):
    """A table to look at: written by the ledgers alone; a search takes one exact series id.

    `time_field` names the column by which the rows of one series are ordered, newest first.
    """

    time_field: ClassVar[str] = "candle_time"
    sortable_by = ()
    search_fields = ("=series_id",)
    search_help_text = gettext_lazy("The whole series_id")
    ordering = ("-pk",)
    list_per_page = 100
    paginator = UncountedPaginator
    show_full_result_count = False

    @admin.display(description=gettext_lazy("time (UTC)"))
    def time(self, row: M) -> SafeString | None:
        """Return when, for people."""
        return moment(getattr(row, self.time_field))

    @admin.display(description=gettext_lazy("chart"))
    def chart(self, row: M) -> SafeString:
        """Return a link to the chart of this row's series, at the row's candle if it has one."""
        time = None if self.time_field == "pk" else getattr(row, self.time_field)
        is_candle = isinstance(time, int)  # a moment of the clock is no candle's time
        return chart_link(cast("Any", row).series_id, time if is_candle else None)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[M], search_term: str
    ) -> tuple[QuerySet[M], bool]:
        """Return the rows of one series, its newest first, by the index."""
        if not search_term:
            return queryset, False
        return queryset.filter(series_id=search_term).order_by(f"-{self.time_field}"), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds a row by hand: it would pass by the ledgers."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody changes a row by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody deletes a row by hand."""
        return False
