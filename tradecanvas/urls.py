"""The HTTP routes of all apps. No path of the API ends in a slash."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from ingest.pages import feeds, steer
from ledger.pages import ledgers, mend
from tradecanvas import pages
from tradecanvas.lamps import lamps
from tradecanvas.landing import landing

admin.site.site_header = admin.site.site_title = "trade_canvas"

handler400 = "tradecanvas.errors.bad_request"
handler404 = "tradecanvas.errors.not_found"
handler500 = "tradecanvas.errors.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("ledger.urls")),  # asked most, found first
    path("", include("ingest.urls")),
    path("", landing, name="home"),
    path("live", pages.live, name="live"),
    path("ledger", ledgers, name="ledger"),
    path("ledger/mend", mend, name="ledger_mend"),
    path("live/lamps", lamps, name="lamps"),
    path("ingest", feeds, name="ingest"),
    path("ingest/steer", steer, name="ingest-steer"),
    path("about", pages.about, name="about"),
    path("", include("market.urls")),
    path("", include("factors.urls")),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
]
