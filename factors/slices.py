"""What each factor knew at a closed candle: the answer of `GET /api/factor/slices`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from factors.engine import runner
from factors.engine.rules import Rules
from factors.engine.runner import Standing
from factors.engine.types import Json, StoredEvent, View
from factors.resuming import Reach, runs_resume
from factors.selectors import events_between, first_event_time
from factors.services import current_rules
from market.series import SeriesId


class MissingCheckpointError(Exception):
    """A factor head without a checkpoint at or before it: the ledger was tampered with."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """All that was known at the closed candle `at_time`, events of the window included.

    `ordinal` is that of the candle.
    """

    series: SeriesId
    rules: Rules
    at_time: int
    from_time: int
    ordinal: int
    standing: Standing
    events: Mapping[str, list[StoredEvent]]

    def begun(self) -> bool:
        """Say whether any event of the series was visible at this candle."""
        return bool(self.events) or first_event_time(str(self.series)) <= self.at_time

    def view(self, window_candles: int) -> View:
        """Return what a window of so many candles shows, with the heads of all factors."""
        start = window_start(self.series, self.at_time, window_candles)
        history = {
            kind: [event for event in events if event.candle_time >= start]
            for kind, events in self.events.items()
        }
        view = View(self.at_time, start, self.standing.states, history, {})
        heads: dict[str, Json] = {}
        for factor in self.rules.factors:
            heads[factor.name] = factor.shown(self.standing.states[factor.name], view)
            view = replace(view, heads=dict(heads))
        return view


def window_start(series: SeriesId, at_time: int, window_candles: int) -> int:
    """Return the first time of a window that ends with the candle `at_time`."""
    return max(0, at_time - window_candles * series.seconds)


def knowledge_at(series: SeriesId, aligned: int, window_candles: int) -> Knowledge:
    """Return what was known at a stored candle that the factor head covers."""
    rules = current_rules()
    standing = standing_at(rules, series, aligned)
    start = window_start(series, aligned, window_candles)
    events = events_between(str(series), start, aligned)
    ordinal = standing.count - 1
    return Knowledge(series, rules, aligned, start, ordinal, standing, events)


def standing_at(rules: Rules, series: SeriesId, aligned: int) -> Standing:
    """Return the exact states after a stored candle, from the nearest checkpoint."""
    found = runs_resume(rules, {str(series): Reach(aligned, aligned)})[str(series)]
    if isinstance(found, Exception):
        raise found
    if found.checkpoint is None:
        raise MissingCheckpointError(f"{series}: no checkpoint at or before {aligned}")
    runner.advance(rules, found.standing, found.candles, series.seconds)
    return found.standing


def slices_answer(knowledge: Knowledge, window_candles: int) -> Json:
    """Return the body of the slices answer."""
    series_id, view = str(knowledge.series), knowledge.view(window_candles)
    candle_id = f"{series_id}:{knowledge.at_time}"
    shown = [factor for factor in knowledge.rules.factors if factor.appears(view)]
    snapshots = {
        factor.name: {
            "schema_version": 1,
            "history": factor.history(view),
            "head": view.heads[factor.name],
            "meta": {
                "series_id": series_id,
                "epoch": 0,
                "at_time": knowledge.at_time,
                "candle_id": candle_id,
                "factor_name": factor.name,
            },
        }
        for factor in shown
    }
    return {
        "schema_version": 1,
        "series_id": series_id,
        "at_time": knowledge.at_time,
        "candle_id": candle_id,
        "factors": [factor.name for factor in shown],
        "snapshots": snapshots,
    }


def empty_slices(series_id: str, at_time: int) -> Json:
    """Return the answer for a time before the first candle."""
    return {
        "schema_version": 1,
        "series_id": series_id,
        "at_time": at_time,
        "candle_id": None,
        "factors": [],
        "snapshots": {},
    }


def catalog() -> Json:
    """Return the factors and what they draw, in order."""
    return {
        "schema_version": 1,
        "factors": [
            {
                "key": factor.name,
                "label": factor.label,
                "default_visible": True,
                "sub_features": [
                    {"key": f.key, "label": f.label, "default_visible": f.default_visible}
                    for f in factor.features
                ],
            }
            for factor in current_rules().factors
        ],
    }
