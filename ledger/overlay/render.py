"""What is drawn at a closed candle, and how a client learns of it. Imports no framework.

History instructions are functions of one event and stored; provisional ones are rendered from the
states at that candle. Both pass the same time rule.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from factors.engine.rules import Rules
from factors.engine.types import Instruction, Json, View


@dataclass(frozen=True, slots=True)
class Drawn:
    """An instruction with the ordinal of the candle that made it visible.

    `seq` orders those of one candle; `text` is the definition as stored.
    """

    ordinal: int
    seq: int
    instruction_id: str
    kind: str
    visible_time: int
    text: str
    definition: Json


def history(rules: Rules, events: Iterable[tuple[int, str, str, Json]]) -> list[Drawn]:
    """Return the instructions of events (ordinal, factor, kind, payload), in ledger order."""
    factors = {factor.name: factor for factor in rules.factors}
    drawn: list[Drawn] = []
    for ordinal, name, kind, payload in events:
        for instruction in factors[name].marks(kind, payload):
            seq = drawn[-1].seq + 1 if drawn and drawn[-1].ordinal == ordinal else 0
            drawn.append(as_drawn(ordinal, seq, instruction))
    return drawn


def provisional(rules: Rules, view: View, ordinal: int) -> list[Drawn]:
    """Return what is drawn at the view's time and may change with the next candle."""
    instructions = [line for factor in rules.factors for line in factor.draw(view)]
    return [as_drawn(ordinal, seq, line) for seq, line in enumerate(instructions)]


def as_drawn(ordinal: int, seq: int, instruction: Instruction) -> Drawn:
    """Return an instruction as it is stored and sent."""
    return Drawn(
        ordinal,
        seq,
        instruction.instruction_id,
        instruction.kind,
        instruction.visible_time,
        orjson.dumps(instruction.definition).decode(),
        instruction.definition,
    )


def is_active(drawn: Drawn, start: int, end: int) -> bool:
    """Say whether a marker, or any point of a line, lies in [start, end]."""
    if drawn.kind == "marker":
        return bool(start <= drawn.definition["time"] <= end)
    return any(start <= point["time"] <= end for point in drawn.definition["points"])


def active(drawn: Iterable[Drawn], start: int, end: int) -> dict[str, Drawn]:
    """Return by id what is active in [start, end]; of one id the later instruction counts."""
    latest = {one.instruction_id: one for one in drawn}
    return {name: one for name, one in latest.items() if is_active(one, start, end)}


def layers(rules: Rules) -> Mapping[str, int]:
    """Return the layer of each feature."""
    return {feature.key: feature.layer for f in rules.factors for feature in f.features}


def in_patch_order(drawn: Iterable[Drawn], layer: Mapping[str, int]) -> list[Drawn]:
    """Sort by version, then markers before lines, then lines by layer."""

    def place(one: Drawn) -> tuple[Any, ...]:
        is_line = one.kind != "marker"
        depth = layer.get(one.definition["feature"], 100) if is_line else 0
        return one.ordinal, is_line, depth, one.seq

    return sorted(drawn, key=place)
