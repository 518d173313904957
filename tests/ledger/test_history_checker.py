"""The checkers of histories judge by the rules that they state: made-up records, no database."""

from typing import Any

import orjson
import pytest

from market.candles import Candle
from tests.ledger.history.checker import Kind, check_answers
from tests.ledger.history.records import (
    Answer,
    Commit,
    Frame,
    History,
    Listening,
    Question,
    Reply,
    State,
)
from tests.ledger.history.socket_checker import check_sockets

SERIES = "test:spot:MADE/USDT:1m"
ASKED = Question("factor/slices", ())
CANDLES = tuple(Candle(60 * n, 1.0, 1.0, 1.0, 1.0, 1.0) for n in range(1, 6))
ALTERED = (*CANDLES[:2], CANDLES[2]._replace(close=1.5), *CANDLES[3:])
# Candle 1 comes from 10 to 15, and so on; from 60 to 65 the third one is altered.
STATES = [State(), *(State(1, 60 * n, 60 * n) for n in range(1, 6)), State(2, 300, 300, None, 1)]
COMMITS = tuple(Commit(state, 10 * n, 10 * n + 5) for n, state in enumerate(STATES))


class Numbered:
    """Answers with the number of the state."""

    def reply(self, state: State, _: Question) -> Reply:
        return Reply(200, orjson.dumps({"state": STATES.index(state)}))


def kinds_of_answers(*answers: tuple[int, int, int]) -> list[Kind]:
    """Judge answers of one client: sent, came, and the number of the state that they show."""
    found = tuple(
        Answer(0, ASKED, sent, came, Reply(200, orjson.dumps({"state": shown})))
        for sent, came, shown in answers
    )
    history = History(SERIES, ((), CANDLES, ALTERED), COMMITS, found, ())
    return [violation.kind for violation in check_answers(history, Numbered())]


@pytest.mark.parametrize("shown", [2, 3, 4])
def test_any_state_that_was_current_meanwhile_may_be_shown(shown: int) -> None:
    assert kinds_of_answers((26, 42, shown)) == []


@pytest.mark.parametrize(("shown", "kind"), [(1, Kind.OLDER), (5, Kind.NEWER), (9, Kind.WRONG)])
def test_no_other_state_may_be_shown(shown: int, kind: Kind) -> None:
    assert kinds_of_answers((26, 42, shown)) == [kind]


def test_a_client_that_saw_a_later_state_may_not_be_shown_an_earlier_one() -> None:
    assert kinds_of_answers((20, 21, 2), (22, 23, 1)) == [Kind.BACK]
    assert kinds_of_answers((20, 21, 1), (22, 23, 2)) == []


def test_a_refusal_must_be_documented_and_fit() -> None:
    refused = Reply(409, b'{"detail":"busy"}')
    answer = Answer(0, ASKED, 26, 42, refused)
    history = History(SERIES, ((), CANDLES, ALTERED), COMMITS, (answer,), ())

    kinds = [violation.kind for violation in check_answers(history, Numbered())]

    assert kinds == [Kind.NEEDLESS, Kind.UNDOCUMENTED]


def closed(heard: int, *numbers: int, rows: tuple[Candle, ...] = CANDLES) -> Frame:
    candles = [rows[number - 1]._asdict() for number in numbers]
    if len(candles) == 1:
        return frame(heard, "candle_closed", candle=candles[0])
    return frame(heard, "candles_batch", candles=candles)


def frame(heard: int, kind: str, **content: Any) -> Frame:
    return Frame(heard, {"type": kind, "series_id": SERIES} | content)


REBUILT = frame(70, "system", event="factor.rebuild")
WHOLE = (closed(20, 1), closed(35, 2, 3), closed(45, 4), closed(55, 5), REBUILT)


def kinds_of_frames(*frames: Frame, stayed: bool = True) -> list[Kind]:
    one = Listening(0, 0, True, 1, 2, stayed, frames)
    history = History(SERIES, ((), CANDLES, ALTERED), COMMITS, (), (one,))
    return [violation.kind for violation in check_sockets(history)]


def test_a_socket_that_hears_all_is_served_well() -> None:
    assert kinds_of_frames(*WHOLE) == []


def test_a_socket_that_left_need_not_hear_the_rest() -> None:
    assert kinds_of_frames(*WHOLE[:2], stayed=False) == []
    assert set(kinds_of_frames(*WHOLE[:2])) == {Kind.SKIPPED, Kind.UNTOLD}


@pytest.mark.parametrize(
    ("frames", "kinds"),
    [
        ((*WHOLE[:2], closed(36, 3), *WHOLE[2:]), {Kind.TWICE}),
        ((WHOLE[0], closed(35, 3), closed(36, 2), *WHOLE[2:]), {Kind.DISORDER, Kind.GAP}),
        ((*WHOLE[:2], WHOLE[3], REBUILT), {Kind.SKIPPED, Kind.GAP}),
        ((closed(9, 1), *WHOLE[1:]), {Kind.EARLY}),
        ((*WHOLE[:1], closed(35, 2, 3, rows=ALTERED), *WHOLE[2:]), {Kind.ALTERED}),
        (WHOLE[:4], {Kind.UNTOLD}),
        ((*WHOLE, REBUILT), {Kind.NEEDLESSLY_TOLD}),
        ((*WHOLE, frame(71, "gap", expected_next_time=360, actual_time=420)), {Kind.GAP}),
        ((*WHOLE, frame(71, "candle_forming")), {Kind.FRAME}),
    ],
)
def test_a_socket_that_is_served_badly_is_found(
    frames: tuple[Frame, ...], kinds: set[Kind]
) -> None:
    assert set(kinds_of_frames(*frames)) == kinds
