"""What must hold of every ledger and costs little to ask (`manage.py check_ledger`).

Whether the rows are those that the candles give is another question: `ledger.verify`. Imports no
framework.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Facts:
    """What is stored of one series, as far as the invariants are about it.

    `head_candles` are the heads at which a candle is stored, `digests` those of the checkpoints at
    the factor head by factor, `factors` those that need one.
    """

    has_row: bool = True
    candle_head: int | None = None
    factor_head: int | None = None
    overlay_head: int | None = None
    generation: int = 0
    digest: str = ""
    newest_candle: int | None = None
    head_candles: frozenset[int] = frozenset()
    newest_event: int | None = None
    newest_checkpoint: int | None = None
    newest_instruction: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    factors: frozenset[str] = frozenset()

    @property
    def heads(self) -> dict[str, int | None]:
        """The heads by name, each at most the one before it."""
        return {
            "candle_head": self.candle_head,
            "factor_head": self.factor_head,
            "overlay_head": self.overlay_head,
        }


def violations(facts: Facts) -> list[str]:
    """Return what does not hold, in words."""
    if not facts.has_row:
        return list(_without_row(facts))
    rules = (_order, _stored_heads, _newest, _nothing_later, _checkpoints, _digests, _generation)
    return [words for rule in rules for words in rule(facts)]


def _without_row(facts: Facts) -> Iterator[str]:
    newest = {
        "candles": facts.newest_candle,
        "factor_events": facts.newest_event,
        "factor_head_snapshots": facts.newest_checkpoint,
        "overlay_instruction_versions": facts.newest_instruction,
    }
    for table, time in newest.items():
        if time is not None:
            yield f"{table} has rows up to {time}, but there is no head row"


def _order(facts: Facts) -> Iterator[str]:
    for (upper, most), (lower, time) in pairwise(facts.heads.items()):
        if is_later(time, most):
            yield f"{lower} {time} is later than {upper} {_named(most)}"


def _stored_heads(facts: Facts) -> Iterator[str]:
    for name, head in facts.heads.items():
        if head is not None and head not in facts.head_candles:
            yield f"{name} {head} is not the time of a stored candle"


def _newest(facts: Facts) -> Iterator[str]:
    if facts.candle_head != facts.newest_candle:
        yield (
            f"candle_head is {_named(facts.candle_head)}, "
            f"the newest candle {_named(facts.newest_candle)}"
        )


def _nothing_later(facts: Facts) -> Iterator[str]:
    for what, time, head in (
        ("an event", facts.newest_event, "factor_head"),
        ("a checkpoint", facts.newest_checkpoint, "factor_head"),
        ("an instruction", facts.newest_instruction, "overlay_head"),
    ):
        if is_later(time, facts.heads[head]):
            yield f"{what} of {time} is later than {head} {_named(facts.heads[head])}"


def _checkpoints(facts: Facts) -> Iterator[str]:
    if facts.factor_head is None:
        return
    for name in sorted(facts.factors - set(facts.digests)):
        yield f"no checkpoint of {name} at factor_head {facts.factor_head}"
    if not facts.factors and not facts.digests:
        yield f"no checkpoint of any factor at factor_head {facts.factor_head}"


def _digests(facts: Facts) -> Iterator[str]:
    if facts.factor_head is None and facts.digest:
        yield f"digest is {facts.digest!r}, but there is no factor_head"
    for name, digest in sorted(facts.digests.items()):
        if digest != facts.digest:
            yield f"digest is {facts.digest!r}, in the checkpoint of {name} {digest!r}"


def _generation(facts: Facts) -> Iterator[str]:
    if facts.generation < 0:
        yield f"generation is {facts.generation}"


def is_later(time: int | None, head: int | None) -> bool:
    """Say whether a time is later than a head; every time is later than a head that is not."""
    return time is not None and (head is None or time > head)


def _named(time: int | None) -> str:
    return "none" if time is None else str(time)
