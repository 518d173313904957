"""The page /ledger: how far each ledger has come, and one ledger closely; without JavaScript."""

import logging
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from ledger.mending import MENDING_ERRORS, MENDS
from ledger.standing import Standing, Status, standing_of, standings
from market import clock
from market.access import may_write
from market.series import SeriesId
from market.series_health import series_health

MOST_GAPS, MOST_BUCKETS = 10, 48

logger = logging.getLogger(__name__)


def ledgers(request: HttpRequest) -> HttpResponse:
    """Show all ledgers, the worst first, or closely the one that `series_id` names.

    `q` is part of a series, in any case; `lagging=1` leaves out what is in sync.
    """
    name = request.GET.get("series_id")
    if name:
        return _closely(request, name)
    text, only_lagging = request.GET.get("q", "").strip(), request.GET.get("lagging") == "1"
    every = standings()
    rows = [
        each
        for each in every
        if text.lower() in each.series_id.lower()
        and not (only_lagging and each.status is Status.IN_SYNC)
    ]
    about = {"rows": rows, "known": len(every), "q": text, "only_lagging": only_lagging}
    return render(request, "ledger.html", about)


@require_POST
def mend(request: HttpRequest) -> HttpResponse:
    """Bring one ledger up to date or draw it again; its page says what came of it."""
    name, work = request.POST.get("series_id", ""), MENDS.get(request.POST.get("action", ""))
    if not may_write(request):
        return _closely(request, name, status=403)
    if work is None or standing_of(name) is None:
        return _closely(request, name)
    try:
        messages.success(request, work(name))
    except MENDING_ERRORS as error:
        messages.error(request, f"{gettext('failed')}: {error}")
    logger.info("ledger.mended %s %s user_id=%s", work.__name__, name, request.user.pk)
    return redirect(f"{reverse('ledger')}?{urlencode({'series_id': name})}")


def _closely(request: HttpRequest, name: str, status: int = 200) -> HttpResponse:
    """Show one ledger with the gaps of its candles."""
    found = standing_of(name)
    about: dict[str, Any] = {"name": name, "row": found, "may_write": may_write(request)}
    if found is None:
        unknown = gettext("“{series}” is not a series that this server knows.")
        about["unknown"] = unknown.format(series=name)
        status = 404 if status == 200 else status
    else:
        about |= _health(found)
    return render(request, "ledger_series.html", about, status=status)


def _health(found: Standing) -> dict[str, Any]:
    """Return how whole the candles of a series are."""
    series = SeriesId.parse(found.series_id)
    health = series_health(series, int(clock.now()), most_gaps=MOST_GAPS, most_buckets=MOST_BUCKETS)
    buckets = health["base_bucket_completeness"]
    whole = sum(not bucket["missing_minutes"] for bucket in buckets)
    return {"health": health, "buckets": len(buckets), "whole_buckets": whole}
