"""Compares what the readers of a run heard with what was true, and says what does not fit.

The rule is that of linearizable reads: an answer must be the right one, to the byte, for a state
that was current at some moment between the question and the answer; refusals too. And one client,
who asks the next question when it has the answer, never goes back to an earlier state.

Beside it stand checks that need no reference: the parts of a frame are of one candle, what only
grows never falls, and a refusal is one that is documented.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import cache
from itertools import islice
from typing import Any, NamedTuple, Protocol

import orjson

from ledger.alignment import VERSIONS
from tests.ledger.history.records import Answer, History, Question, Reply, State

# Of each client so many violations are told, and no more.
MOST = 8
Json = dict[str, Any]
# Details of refusals that these routes document.
DOCUMENTED = {
    404: {"no_data", "no_overlay"},
    409: {
        "ledger_out_of_sync",
        "ledger_out_of_sync:factor",
        "ledger_out_of_sync:overlay",
    },
}


class Kind(StrEnum):
    """What can be wrong."""

    UNDOCUMENTED = "the refusal is not documented"
    NEEDLESS = "the refusal fits no state of its time"
    UNREFUSED = "every state of its time is to be refused"
    OLDER = "the answer fits a state that was over"
    NEWER = "the answer fits a state that was to come"
    WRONG = "the answer fits no state at all"
    BACK = "the client was shown a later state before"
    PARTS = "the parts are not of one candle"
    FELL = "what only grows fell"
    TWICE = "the socket got a candle twice"
    DISORDER = "the socket got a candle after a later one"
    SKIPPED = "the socket did not get a candle"
    EARLY = "the socket got a candle that was not announced"
    ALTERED = "the socket got a candle with numbers that it never had"
    UNTOLD = "the socket was not told that history changed"
    NEEDLESSLY_TOLD = "the socket was told of a change that was none"
    GAP = "the gap does not fit"
    FRAME = "the frame is not one that a subscriber expects"


class Violation(NamedTuple):
    """Something that does not fit."""

    kind: Kind
    client: int
    about: str


class Reference(Protocol):
    """Knows the right answers."""

    def reply(self, state: State, question: Question) -> Reply:
        """Return what a read of this state must be answered."""


def check_answers(history: History, reference: Reference) -> list[Violation]:
    """Return what does not fit, at most some of it."""
    clients: dict[int, list[Answer]] = {}
    for answer in history.answers:
        clients.setdefault(answer.client, []).append(answer)
    read = cache(_loads)
    found: list[Violation] = []
    for answers in clients.values():
        found += islice(_client(history, reference, answers), MOST)
        found += islice(_growing(answers, read), MOST)
    found += islice((bad for one in history.answers for bad in _alone(one, read)), MOST)
    return found


def _loads(body: bytes) -> Json:
    content: Json = orjson.loads(body)
    return content


def _client(
    history: History, reference: Reference, answers: Iterable[Answer]
) -> Iterator[Violation]:
    """Judge one client's answers, each against the states from the one before on.

    Each answer is laid to the first state that it fits; so the next one has the most room.
    """
    seen = 0
    for answer in answers:
        current = history.current_between(answer.sent, answer.came)
        fits = [number for number in current if _fits(history, reference, answer, number)]
        later = [number for number in fits if number >= seen]
        if later:
            seen = later[0]
        elif fits:
            yield _violation(Kind.BACK, answer)
        else:
            yield _violation(_misfit(history, reference, answer, current), answer)


def _fits(history: History, reference: Reference, answer: Answer, number: int) -> bool:
    return reference.reply(history.commits[number].state, answer.question) == answer.reply


def _misfit(history: History, reference: Reference, answer: Answer, current: range) -> Kind:
    """Say in which way an answer fits no state of its time."""
    if answer.reply.status != 200:
        return Kind.NEEDLESS
    states = [history.commits[number].state for number in current]
    if all(reference.reply(state, answer.question).status != 200 for state in states):
        return Kind.UNREFUSED
    if any(_fits(history, reference, answer, number) for number in range(current.start)):
        return Kind.OLDER
    others = range(current.stop, len(history.commits))
    return Kind.NEWER if any(_fits(history, reference, answer, n) for n in others) else Kind.WRONG


def _growing(answers: Iterable[Answer], read: Any) -> Iterator[Violation]:
    """Find what fell though it only grows: heads, the generation, and in one of it the cursors."""
    most: dict[str, int] = {}
    for answer in answers:
        if answer.reply.status != 200:
            continue
        for name, value in _grows(answer, read(answer.reply.body)):
            if value < most.get(name, value):
                yield _violation(Kind.FELL, answer, f"{name} {value} after {most[name]}")
            most[name] = value


def _grows(answer: Answer, content: Json) -> Iterator[tuple[str, int]]:
    """Return what a client may hold an answer to: names, and values that never fall."""
    question = answer.question
    if question.route == "market/candles" and content["server_head_time"] is not None:
        yield "head", content["server_head_time"]
    if question.route == "frame/live":
        yield "head", content["time"]["at_time"]
        yield "frame", content["time"]["aligned_time"]
        yield from _versions(content["draw_state"]["next_cursor"]["version_id"])
    if question.route == "draw/delta" and question.get("at_time") is None:
        yield from _versions(content["next_cursor"]["version_id"])
    if question.route == "delta/poll" and content["records"]:
        yield from _versions(content["next_cursor"]["id"])
    if question.route == "ledger/digest":
        yield "generation", content["generation"]
        if question.get("at_time") is None:
            yield "candles", content["candles"]


def _versions(version: int) -> Iterator[tuple[str, int]]:
    """Return the parts of a cursor."""
    yield "generation", version // VERSIONS
    yield "cursor", version


def _alone(answer: Answer, read: Any) -> Iterator[Violation]:
    """Judge an answer by itself."""
    content = read(answer.reply.body)
    if answer.reply.status != 200:
        if content.get("detail") not in DOCUMENTED.get(answer.reply.status, ()):
            yield _violation(Kind.UNDOCUMENTED, answer)
    elif len(set(_candle_ids(content))) > 1:
        yield _violation(Kind.PARTS, answer)


def _candle_ids(content: Json) -> Iterator[str | None]:
    """Return the candles that the parts of a frame or of a record say they are of."""
    if "draw_state" in content:
        yield content["time"]["candle_id"]
        yield f"{content['series_id']}:{content['time']['aligned_time']}"
        yield from _of_parts(content["factor_slices"], content["draw_state"])
    for record in content.get("records", ()):
        yield record["to_candle_id"]
        yield f"{content['series_id']}:{record['to_candle_time']}"
        yield from _of_parts(record["factor_slices"], record["draw_delta"])


def _of_parts(slices: Json, drawn: Json) -> Iterator[str | None]:
    yield slices["candle_id"]
    yield f"{slices['series_id']}:{slices['at_time']}"
    yield from (one["meta"]["candle_id"] for one in slices["snapshots"].values())
    yield drawn["to_candle_id"]
    yield f"{drawn['series_id']}:{drawn['to_candle_time']}"


def _violation(kind: Kind, answer: Answer, more: str = "") -> Violation:
    query = " ".join(f"{name}={value}" for name, value in answer.question.query)
    shown = more or answer.reply.body[:200].decode(errors="replace")
    about = f"{answer.question.route} {query}: {answer.reply.status} {shown}"
    return Violation(kind, answer.client, about)
