"""Times of candles in pages."""

from datetime import UTC, datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

register = template.Library()


@register.filter
def moment(time: int | None) -> str:
    """Return a candle's time in UTC, to the minute; the tooltip has the Unix seconds.

    >>> moment(1700000180)
    '<time datetime="2023-11-14T22:16:20Z" title="1700000180">2023-11-14 22:16</time>'
    >>> moment(None)
    '—'
    """
    if time is None:
        return "—"
    try:
        at = datetime.fromtimestamp(time, UTC)
    except (OverflowError, ValueError):
        return str(time)
    precise, shown = f"{at:%Y-%m-%dT%H:%M:%S}Z", f"{at:%Y-%m-%d %H:%M}"
    return format_html('<time datetime="{}" title="{}">{}</time>', precise, time, shown)


@register.simple_tag
def zone_note() -> SafeString:
    """Say in which zone the times of a page are; the browser puts the one in that is chosen."""
    zone = format_html("<span data-zone-name>{}</span>", "UTC")
    return format_html(gettext("Times are {}."), zone)
