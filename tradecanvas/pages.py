"""The pages of the user interface, and the texts that their modules show."""

from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from factors.engine.types import Json
from factors.slices import catalog
from ledger.selectors import series_with_candles
from market.access import may_write
from market.clock import demo_clock
from tradecanvas.modules import modules_of

Text: TypeAlias = Promise | dict[str, Promise]

# The candles that the page begins with: `WINDOW` of its module `api.js`.
WINDOW = 2000

STATES: dict[str, Text] = {
    "idle": _("Getting ready…"),
    "loading": _("Loading candles…"),
    "backfilling": {
        "one": _("Filling in history: {n} candle so far…"),
        "other": _("Filling in history: {n} candles so far…"),
    },
    "loading_structures": _("Computing structures…"),
    "empty": _("No candles for {series} yet. Start ingest, or load history."),
    "no_series": _("No series here yet. Run “manage.py serve --demo” for a demo."),
    "lag": {
        "one": _("Structures are {n} candle behind"),
        "other": _("Structures are {n} candles behind"),
    },
    "behind": _("Structures for {time} are not ready yet."),
    "rebuild": _("Structures were recomputed ({reason})."),
    "factors recomputed": _("factors recomputed"),
    "gap": {
        "one": _("{n} candle is missing before {time}. Fetching it…"),
        "other": _("{n} candles are missing before {time}. Fetching them…"),
    },
    "bad_series": _("“{series}” is not a series that this server knows."),
    "failed.candles": _("Could not load candles ({code})."),
    "failed.structures": _("Could not load structures ({code})."),
    "no_answer": _("no answer"),
}
CONNECTION: dict[str, Text] = {
    "ws.connecting": _("Connecting"),
    "ws.open": _("Connected"),
    "ws.stale": _("No answer"),
    "ws.reconnecting": _("Reconnecting"),
    "ws.closed": _("Disconnected"),
    "reconnecting": _("Connection lost. Trying again in {s} s (try {attempt})."),
    "resumed": {
        "one": _("Connected again. {n} candle caught up."),
        "other": _("Connected again. {n} candles caught up."),
    },
    "offline": _("You are offline. Showing the last data from {time}."),
    "fact.state": _("State"),
    "fact.message": _("Last message"),
    "fact.ago": _("{s} s ago"),
    "fact.candle": _("Last candle held"),
    "none": _("none yet"),
    "link.copy": _("Copy link"),
    "lamp.unknown": _("Unknown"),
    "capacity": _("The server follows as many series as it may. Asking again every 30 s."),
    "refused": _("The server ended the connection: {reason}."),
}
STRUCTURES: dict[str, Text] = {
    "feature.pivot": _("Pivots"),
    "feature.pivot.major": _("Major"),
    "feature.pivot.minor": _("Minor"),
    "feature.pen": _("Pens"),
    "feature.pen.confirmed": _("Confirmed"),
    "feature.pen.extending": _("Extending"),
    "feature.pen.candidate": _("Candidate"),
    "feature.zhongshu": _("Zhongshu"),
    "feature.zhongshu.alive": _("Alive"),
    "feature.zhongshu.dead": _("Dead"),
    "feature.anchor": _("Anchors"),
    "feature.anchor.current": _("Current"),
    "feature.anchor.history": _("History"),
    "feature.anchor.switch": _("Switches"),
    "feature.sr": _("Support and resistance"),
    "feature.sr.active": _("Active"),
    "feature.sr.broken": _("Broken"),
    "shape.pivot.major": _("Major pivot"),
    "shape.pivot.minor": _("Minor pivot"),
    "shape.pen.confirmed": _("Confirmed pen"),
    "shape.pen.extending": _("Extending pen"),
    "shape.pen.candidate": _("Candidate pen"),
    "shape.zhongshu.alive": _("Alive zhongshu"),
    "shape.zhongshu.dead": _("Dead zhongshu"),
    "shape.anchor.current": _("Current anchor"),
    "shape.anchor.history": _("Former anchor"),
    "shape.anchor.switch": _("Anchor switch"),
    "shape.sr.active": _("Support or resistance"),
    "shape.sr.broken": _("Broken support or resistance"),
    "reason.strong_pen": _("a stronger pen"),
    "reason.zhongshu_entry": _("entry into a zhongshu"),
}
CARD: dict[str, Text] = {
    "card.time": _("Time"),
    "card.price": _("Price"),
    "card.prices": _("Prices"),
    "card.from": _("From"),
    "card.to": _("To"),
    "card.zg": _("Upper edge (ZG)"),
    "card.zd": _("Lower edge (ZD)"),
    "card.entry": _("Entry"),
    "card.reason": _("Reason"),
    "card.visible": _("Visible since"),
    "card.provisional": _("not settled, may still change"),
    "card.delay": {
        "one": _("{n} candle later"),
        "other": _("{n} candles later"),
    },
    "why.entry": _("Entered by the pen {prices}, from {time}."),
    "why.pen": _("Pen {n}: {prices}."),
    "why.confirmed": _("Formed at {time}, when pen 3 was confirmed: all four share a price."),
    "why.crossed": _(
        "Formed at {time}, when the price came back to {price}, the end of pen 1: "
        "all four share a price."
    ),
    "why.edges": _("ZG {zg} is the lowest top of pens 1 to 3, ZD {zd} their highest bottom."),
    "why.ended": _("Ended by the pen {prices}, all of it outside."),
    "why.unknown": _("Its pens are older than the candles on the chart; scroll back to see them."),
    "card.copy": _("Copy JSON"),
    "card.copied": _("Copied"),
    "card.gone": _("{name}: no longer on the chart. It was not settled yet."),
    "up": _("upward"),
    "down": _("downward"),
    "unknown": _("unknown"),
}
CHART: dict[str, Text] = {
    "chart_label": _("{symbol} {timeframe} candle chart"),
    "open": _("O"),
    "high": _("H"),
    "low": _("L"),
    "close": _("C"),
    "volume": _("Vol"),
    "bar_of": _("candle {i} of {count}"),
    "dismiss": _("Dismiss"),
    "forming": _("forming"),
    "spoken.closed": _("The candle of {time} closed at {price}."),
}
SIDE: dict[str, Text] = {
    "markets.asking": _("Asking Binance…"),
    "markets.of": _("As of {time}"),
    "markets.failed": _("Binance cannot be reached. Trying again."),
    "events.lost": _("Connection lost. Trying again."),
    "events.none": _("Nothing to show."),
    "events.head": _("Newest candle"),
    "events.lag": _("Behind now"),
    "events.gaps": _("Gaps"),
    "events.buckets": _("Complete from 1m"),
}
PLACE: dict[str, Text] = {
    "place.older": _("Loading older candles…"),
    "place.before": _("There are no candles before {time}."),
    "place.after": _("The newest candle is of {time}."),
    "place.bound": _("A chart holds {n} candles at most. The oldest held is of {time}."),
}
TABLES: dict[str, Text] = {
    "table.candles": {
        "one": _("{n} candle up to {time}, the newest first"),
        "other": _("{n} candles up to {time}, the newest first"),
    },
    "table.structures": {
        "one": _("{n} structure in view, the newest first"),
        "other": _("{n} structures in view, the newest first"),
    },
    "table.open": _("Opening price"),
    "table.high": _("Highest price"),
    "table.low": _("Lowest price"),
    "table.close": _("Closing price"),
    "table.volume": _("Volume"),
    "table.structure": _("Structure"),
}
DRAWING: dict[str, Text] = {
    "tool.first": _("Click the first point, or press Enter at the crosshair. Esc cancels."),
    "tool.second": _("Now the second point."),
    "tool.drawn": _("Drawn."),
    "measure.bars": {"one": _("{n} candle"), "other": _("{n} candles")},
}
SHORTCUTS: list[tuple[list[str], Promise]] = [
    (["/"], _("Search series")),
    (["1", "…", "6"], _("Timeframe")),
    (["[", "]"], _("Previous or next symbol")),
    (["←", "→"], _("Crosshair by one bar")),
    (["Shift", "← →"], _("Crosshair by ten bars")),
    (["↑", "↓"], _("Next structure under the crosshair")),
    (["Enter"], _("Open its card")),
    (["+", "-"], _("Zoom")),
    (["0"], _("Fit")),
    (["Home"], _("Oldest candle held")),
    (["End", "L"], _("Go to latest")),
    (["G"], _("Go to date")),
    (["T"], _("Candles and structures in view")),
    (["P"], _("Pivots")),
    (["B"], _("Pens")),
    (["Z"], _("Zhongshu")),
    (["A"], _("Anchors")),
    (["S"], _("Support and resistance")),
    (["F"], _("Switches of the factors")),
    (["R", "M"], _("Measure")),
    (["Delete"], _("Remove the selected drawing")),
    (["Ctrl", "Z"], _("Undo drawing")),
    (["Esc"], _("Put the tool away, close the card")),
    (["?"], _("Keyboard shortcuts")),
]
TEXTS: dict[str, Text] = {
    **STATES,
    **CONNECTION,
    **STRUCTURES,
    **CARD,
    **CHART,
    **PLACE,
    **TABLES,
    **DRAWING,
    **SIDE,
}


def switches() -> list[Json]:
    """Return the factors of the catalogue with their features, named in the user's language."""

    def named(entry: Json) -> Json:
        features = [named(one) for one in entry.get("sub_features", ())]
        name = STRUCTURES.get(f"feature.{entry['key']}", entry["label"])
        return {"key": entry["key"], "name": name, "features": features}

    return [named(factor) for factor in catalog()["factors"]]


UNSETTLED = {"pen.extending", "pen.candidate", "zhongshu.alive", "anchor.current", "sr.active"}
PRESETS: list[tuple[Promise, Callable[[Json], bool]]] = [
    (_("Usual"), lambda feature: feature["default_visible"]),
    (_("Everything"), lambda _feature: True),
    (_("Pens and zhongshu"), lambda feature: feature["key"].startswith(("pen", "zhongshu"))),
    (_("Only what is settled"), lambda feature: feature["key"] not in UNSETTLED),
    (_("Nothing"), lambda _feature: False),
]


def presets() -> list[Json]:
    """Return ready choices of features: the name of each, and which features it hides."""
    factors = catalog()["factors"]
    features = [one for factor in factors for one in factor["sub_features"] or [factor]]
    return [
        {"name": name, "hidden": " ".join(one["key"] for one in features if not shows(one))}
        for name, shows in PRESETS
    ]


def first_reads(series_id: str) -> list[str]:
    """Return what the page of a series reads first, written as its modules write it."""
    series = quote(series_id, safe="!'()*")
    return [
        f"/api/market/candles?series_id={series}&limit={WINDOW}",
        f"/api/frame/live?series_id={series}&window_candles={WINDOW}",
    ]


def live(request: HttpRequest) -> HttpResponse:
    """Show the live chart; its modules load everything else."""
    clock = demo_clock()
    known, asked = series_with_candles(), request.GET.get("series_id", "")
    about = {
        "texts": TEXTS,
        "known_series": known,
        "catalog": catalog(),
        "factors": switches(),
        "presets": presets(),
        "shortcuts": SHORTCUTS,
        "may_debug": settings.TRADE_CANVAS_ENABLE_DEBUG_API and may_write(request),
        "modules": modules_of("tc/app/live.js"),
        "reads": first_reads(asked) if asked in known else [],
        "demo": clock
        and _("Demo: recorded candles, played %s times as fast.") % f"{clock.speed:g}",
    }
    return render(request, "live.html", about)


def about(request: HttpRequest) -> HttpResponse:
    """Say what this is, and whose work it shows."""
    return render(request, "about.html")
