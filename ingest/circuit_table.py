"""Every change of a circuit as a table: the tests play it and the documents draw it.

Imports no framework. `ingest.guardrail` does what the table says.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ingest.guardrail import State


class Event(StrEnum):
    """What happens to a circuit."""

    ATTEMPT = "before_attempt"
    FAILURE = "failure"
    PASSING = "failure that does not count"
    SUCCESS = "success"
    RESET = "reset by staff"
    HOLD = "hold by staff"


class Condition(StrEnum):
    """When a row of the table applies."""

    ALWAYS = ""
    EARLY = "too early"
    DUE = "in time"
    UNDER_LIMITS = "under both limits"
    FAST_LIMIT = "crash budget reached within the window"
    SLOW_LIMIT = "twice the crash budget in a row"
    CONFIG = "kind config"
    SEVENTH_ROTATION = "7th rotation in 10 min"
    PROBE_RUNS = "another one is trying"
    PROBE_FREE = "no probe, or it expired"
    HELD = "held by staff"


class Effect(StrEnum):
    """What a row of the table does beside the change of state."""

    NOTHING = "nothing"
    ADMIT = "may try at once"
    WAIT_BACKOFF = "waits until next_attempt_at"
    WAIT_OPEN = "waits until open_until"
    WAIT_PROBE = "waits until the probe expires"
    BACK_OFF = "next_attempt_at = now + backoff"
    TRIP = "trips + 1, open_until = now + cooldown"
    LATER = "recorded; open_until = now + backoff if that is later"
    GO_BY = "rotation waits 1 s, others wait elsewhere"
    PROBE = "becomes the probe: probe_owner, probe_at"
    FREE_PROBE = "the probe's place is free"
    RESET = "failures, trips and times forgotten"
    HOLD = "open_until far away, last_error says who"


@dataclass(frozen=True, slots=True)
class Transition:
    """One row: in this state, at this event, under this condition."""

    state: State
    event: Event
    condition: Condition
    new_state: State
    effect: Effect


CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN
TRANSITIONS = (
    Transition(CLOSED, Event.ATTEMPT, Condition.DUE, CLOSED, Effect.ADMIT),
    Transition(CLOSED, Event.ATTEMPT, Condition.EARLY, CLOSED, Effect.WAIT_BACKOFF),
    Transition(CLOSED, Event.FAILURE, Condition.UNDER_LIMITS, CLOSED, Effect.BACK_OFF),
    Transition(CLOSED, Event.FAILURE, Condition.SEVENTH_ROTATION, CLOSED, Effect.BACK_OFF),
    Transition(CLOSED, Event.FAILURE, Condition.FAST_LIMIT, OPEN, Effect.TRIP),
    Transition(CLOSED, Event.FAILURE, Condition.SLOW_LIMIT, OPEN, Effect.TRIP),
    Transition(CLOSED, Event.FAILURE, Condition.CONFIG, OPEN, Effect.TRIP),
    Transition(CLOSED, Event.PASSING, Condition.ALWAYS, CLOSED, Effect.GO_BY),
    Transition(CLOSED, Event.SUCCESS, Condition.ALWAYS, CLOSED, Effect.RESET),
    Transition(CLOSED, Event.RESET, Condition.ALWAYS, CLOSED, Effect.RESET),
    Transition(CLOSED, Event.HOLD, Condition.ALWAYS, OPEN, Effect.HOLD),
    Transition(OPEN, Event.ATTEMPT, Condition.EARLY, OPEN, Effect.WAIT_OPEN),
    Transition(OPEN, Event.ATTEMPT, Condition.DUE, HALF_OPEN, Effect.PROBE),
    Transition(OPEN, Event.FAILURE, Condition.ALWAYS, OPEN, Effect.LATER),
    Transition(OPEN, Event.PASSING, Condition.ALWAYS, OPEN, Effect.NOTHING),
    Transition(OPEN, Event.SUCCESS, Condition.ALWAYS, CLOSED, Effect.RESET),
    Transition(OPEN, Event.RESET, Condition.ALWAYS, CLOSED, Effect.RESET),
    Transition(OPEN, Event.HOLD, Condition.ALWAYS, OPEN, Effect.HOLD),
    Transition(OPEN, Event.ATTEMPT, Condition.HELD, OPEN, Effect.WAIT_OPEN),
    Transition(OPEN, Event.FAILURE, Condition.HELD, OPEN, Effect.NOTHING),
    Transition(OPEN, Event.PASSING, Condition.HELD, OPEN, Effect.NOTHING),
    Transition(OPEN, Event.SUCCESS, Condition.HELD, OPEN, Effect.NOTHING),
    Transition(HALF_OPEN, Event.ATTEMPT, Condition.PROBE_RUNS, HALF_OPEN, Effect.WAIT_PROBE),
    Transition(HALF_OPEN, Event.ATTEMPT, Condition.PROBE_FREE, HALF_OPEN, Effect.PROBE),
    Transition(HALF_OPEN, Event.FAILURE, Condition.ALWAYS, OPEN, Effect.TRIP),
    Transition(HALF_OPEN, Event.PASSING, Condition.ALWAYS, HALF_OPEN, Effect.FREE_PROBE),
    Transition(HALF_OPEN, Event.SUCCESS, Condition.ALWAYS, CLOSED, Effect.RESET),
    Transition(HALF_OPEN, Event.RESET, Condition.ALWAYS, CLOSED, Effect.RESET),
    Transition(HALF_OPEN, Event.HOLD, Condition.ALWAYS, OPEN, Effect.HOLD),
)


def as_markdown(rows: Iterable[Transition] = TRANSITIONS) -> str:
    """Return the table as Markdown."""
    titles = ("state", "event", "condition", "new state", "effect")
    cells = [(row.state, row.event, row.condition, row.new_state, row.effect) for row in rows]
    lines = [f"| {' | '.join(line)} |" for line in (titles, ["---"] * len(titles), *cells)]
    return "\n".join(lines).replace("|  |", "| |")


def as_mermaid(rows: Iterable[Transition] = TRANSITIONS) -> str:
    """Return the picture as Mermaid: what changes the state; what does not is left out."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for row in rows:
        if row.new_state is not row.state:
            label = ", ".join(filter(None, (row.event, row.condition)))
            arrows.setdefault((row.state, row.new_state), []).append(label)
    lines = ["stateDiagram-v2", f"    [*] --> {CLOSED}"]
    lines += [f"    {old} --> {new}: {'<br>'.join(said)}" for (old, new), said in arrows.items()]
    return "\n".join(lines)
