"""The lamps of a chart and the facts they open to, as a part of the page /live.

One read gives all of them, in the language of who looks; the page fetches it again and again.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil
from typing import Any, TypeAlias

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.timesince import timesince
from django.utils.translation import gettext_lazy as _

from ingest.feed_state import feed_state
from ledger.alignment import LedgerError
from ledger.digest import digest
from ledger.health import factor_health
from market import clock, database, filling, selectors
from market.health import kline_health
from market.series import BadSeriesIdError, SeriesId

Words: TypeAlias = str | Promise
Facts: TypeAlias = list[tuple[Words, Words]]

CIRCUITS = {"closed": _("closed"), "open": _("open"), "half_open": _("half open")}
FEED_NOTICES = {
    "unreachable": _(
        "The exchange cannot be reached: what is stored is shown. Trying again in {s} s."
    ),
    "waiting": _("The feed failed. Trying again in {s} s."),
    "open": _("The feed failed too often. Trying again in {s} s."),
    "rate_limited": _("The exchange asks for patience; the feed goes on by itself."),
}
QUIET_AFTER = 60.0


def lamps(request: HttpRequest) -> HttpResponse:
    """Show the lamps of `?series_id=`; with `&open=structures` the digest, which costs more.

    `quiet` is for how many seconds the page has heard nothing of the series.
    """
    try:
        series = SeriesId.parse(request.GET.get("series_id", ""))
    except BadSeriesIdError:
        return HttpResponseBadRequest()
    now = clock.now()
    feed = feed_state(str(series), now)
    opened = request.GET.get("open", "").split()
    candles = candle_lamp(series, feed, now)
    about = {
        "series_id": str(series),
        "candles": candles,
        "structures": structure_lamp(str(series), full="structures" in opened),
        "feed_notice": feed_notice(feed) or quiet_notice(request, candles["status"], now),
    }
    return render(request, "lamps.html", about)


def candle_lamp(series: SeriesId, feed: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Say whether the candles reach up to now, and who brings them."""
    with database.reading():
        head, filled = selectors.head_time(str(series)), filling.filling_read(str(series))
    health = kline_health(
        seconds=series.seconds,
        now=int(now),
        head=head,
        filling=filled,
        grace=settings.TRADE_CANVAS_KLINE_HEALTH_GRACE_S,
        recent_seconds=settings.TRADE_CANVAS_KLINE_HEALTH_BACKFILL_RECENT_SECONDS,
    )
    facts: Facts = [
        (_("Last closed candle"), moment(head)),
        (_("Its age"), ago(None if head is None else head + series.seconds, now)),
        (_("Missing candles"), str(health["missing_candles"] or 0) if head else _("unknown")),
        (_("Last message of the feed"), ago(feed["last_frame_at"], now)),
    ]
    if settings.TRADE_CANVAS_ENABLE_INGEST_LOOP_GUARDRAIL:
        facts.append((_("Circuit"), CIRCUITS[feed["circuit"]]))
    return {"status": health["status"], "text": candle_text(health, head, now), "facts": facts}


def candle_text(health: Mapping[str, Any], head: int | None, now: float) -> Words:
    """Return what the candle lamp says."""
    if head is None:
        return _("Unknown")
    if health["status"] == "green":
        return _("Up to date")
    filled = health["backfill"]["progress_pct"]
    if health["status"] == "yellow" and health["missing_candles"] and filled is not None:
        text = str(_("Catching up {pct} % · {n} missing"))
        return text.format(pct=round(filled), n=health["missing_candles"])
    if not health["missing_seconds"]:
        return _("Up to date")
    return str(_("Behind by {dur}")).format(dur=lasting(head, now))


def structure_lamp(series_id: str, *, full: bool) -> dict[str, Any]:
    """Say whether the structures belong to the newest candle."""
    health = factor_health(series_id)
    behind = health["max_delay_candles"]
    text: Words = _("Unknown")
    if health["status"] == "green":
        text = _("Up to date")
    elif behind:
        one, many = _("Structures are {n} candle behind"), _("Structures are {n} candles behind")
        text = str(one if behind == 1 else many).format(n=behind)
    elif health["store_head_time"] is not None:
        text = _("Not computed yet")
    facts: Facts = [
        (_("Candle head"), moment(health["store_head_time"])),
        (_("Factor head"), moment(health["factor_head_time"])),
        (_("Drawing head"), moment(health["overlay_head_time"])),
        (_("Candles behind"), _("unknown") if behind is None else str(behind)),
    ]
    return {
        "status": health["status"],
        "text": text,
        "facts": facts + (ledger_facts(series_id) if full else []),
    }


def ledger_facts(series_id: str) -> Facts:
    """Return what two machines compare; nothing while the ledger is behind."""
    try:
        found = digest(series_id=series_id, at_time=None)
    except LedgerError:
        return []
    return [
        (_("Generation"), str(found["generation"])),
        (_("Digest"), found["digest"]),
    ]


def feed_notice(feed: Mapping[str, Any]) -> str:
    """Return what does not work about the feed; empty while it does."""
    text = str(FEED_NOTICES.get(feed["state"], ""))
    return text.format(s=ceil(feed["next_attempt_in_s"]))


def quiet_notice(request: HttpRequest, status: str, now: float) -> str:
    """Return that nothing has come for a while; empty while it does, or nothing is missing."""
    try:
        quiet = float(request.GET.get("quiet", "0"))
    except ValueError:
        return ""
    if status == "green" or not QUIET_AFTER <= quiet <= now:
        return ""
    text = _("No updates for {dur}. The market may be quiet, or the feed has stopped.")
    return str(text).format(dur=lasting(now - quiet, now))


def moment(time: int | None) -> Words:
    """Return a time as date and clock, UTC."""
    if time is None:
        return _("unknown")
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M} UTC"


def lasting(time: float, now: float) -> str:
    """Return how long it is from a time to now, in its largest unit."""
    began, ends = (datetime.fromtimestamp(at, UTC) for at in (time, now))
    return timesince(began, ends, depth=1).replace("\xa0", " ")


def ago(time: float | None, now: float) -> Words:
    """Return how long ago a time was; less than a minute in seconds."""
    if time is None:
        return _("unknown")
    return f"{max(0, int(now - time))} s" if now - time < 60 else lasting(time, now)
