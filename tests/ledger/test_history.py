"""What many clients see while one series is written, corrected, damaged and repaired is true.

Eight readers over HTTP and eight sockets look at a series that a writer takes in, at once with
late and corrected candles, rules that raise, drawings deleted by hand, recovery and repair.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.goldens import candles_of, golden
from tests.ledger.history.checker import Violation, check_answers
from tests.ledger.history.faults import FAULTS
from tests.ledger.history.records import History
from tests.ledger.history.reference import Reference
from tests.ledger.history.run import Run
from tests.ledger.history.socket_checker import check_sockets
from tests.ledger.reading import use_golden_windows

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
WALK = "walk_2_1"
ROUND = 10_000
ROUTES = (
    "market/candles",
    "factor/slices",
    "draw/delta",
    "frame/live",
    "frame/at_time",
    "delta/poll",
    "ledger/digest",
)
REFUSALS = {
    b'{"detail":"no_data"}',
    b'{"detail":"no_overlay"}',
    b'{"detail":"ledger_out_of_sync:factor"}',
    b'{"detail":"ledger_out_of_sync:overlay"}',
}


@pytest.fixture(autouse=True)
def small_windows() -> Iterator[None]:
    """Let structures form within few candles."""
    with use_golden_windows(golden(WALK)):
        yield


def played(answers: int, seed: int, *, candles: int = 140, patience: float = 10) -> History:
    """Play a run on its own part of the walk."""
    walk = candles_of(golden(WALK))
    first = seed * 37 % (len(walk) - candles)
    rows = walk.take(slice(first, first + candles)).rows()
    return Run(f"test:spot:R{seed:03}/USDT:1m", rows, answers, seed, patience).play()


def checked(history: History) -> list[Violation]:
    return check_answers(history, Reference(history)) + check_sockets(history)


def counted(history: History, counts: Counter[str]) -> None:
    """Count the answers of each route, and the refusals."""
    for answer in history.answers:
        refusal = "" if answer.status == 200 else f" {answer.status} {answer.body.decode()}"
        counts[answer.question.route + refusal] += 1
    counts["commits"] += len(history.commits)
    counts["changes of the past"] += history.commits[-1].state.generation
    counts["frames"] += sum(len(one.frames) for one in history.listenings)


def test_every_answer_of_a_busy_series_is_true() -> None:
    history = played(ROUND, 1)

    assert checked(history) == []
    assert len(history.answers) >= ROUND
    answered = Counter(a.question.route for a in history.answers if a.status == 200)
    assert min(answered[route] for route in ROUTES) >= ROUND // 50
    assert {a.body for a in history.answers if a.status != 200} == REFUSALS
    assert history.commits[-1].state.generation >= 10
    assert len(history.listenings) > 8


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, kinds = FAULTS[name]

    with monkeypatch.context() as patch:
        plant(patch)
        history = played(400, 2, candles=90, patience=1.5)

    assert kinds <= {violation.kind for violation in checked(history)}


def test_nothing_is_found_without_a_fault() -> None:
    assert checked(played(400, 2, candles=90)) == []
