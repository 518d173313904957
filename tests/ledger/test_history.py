"""What many clients see while one series is written, corrected, damaged and repaired is true.

Eight readers over HTTP and eight sockets look at a series that a writer takes in, at once with
late and corrected candles, rules that raise, drawings deleted by hand, recovery and repair.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.goldens import candles_of, golden
from tests.ledger.history.checker import Kind, Violation, check_answers
from tests.ledger.history.faults import FAULTS, Fault
from tests.ledger.history.records import History
from tests.ledger.history.reference import Reference
from tests.ledger.history.run import Run
from tests.ledger.history.socket_checker import check_sockets
from tests.ledger.history.straight import ALL
from tests.ledger.reading import use_golden_windows

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
WALK = "walk_2_1"
ROUND, ROUNDS, BRIEF_RUNS = 10_000, 10, 4
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
    '{"detail":"no_data"}',
    '{"detail":"no_overlay"}',
    '{"detail":"ledger_out_of_sync:factor"}',
    '{"detail":"ledger_out_of_sync:overlay"}',
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
    return Run(f"test:spot:R{seed:03}E{ALL}/USDT:1m", rows, answers, seed, patience).play()


def checked(history: History) -> list[Violation]:
    return check_answers(history, Reference(history)) + check_sockets(history)


def counts_of(history: History) -> Counter[str]:
    """Count the answers by route and refusal, and what else happened."""
    counts = Counter(
        f"{answer.question.route} {answer.reply.status}"
        if answer.reply.status == 200
        else answer.reply.body.decode()
        for answer in history.answers
    )
    counts["answers"] = len(history.answers)
    counts["commits"] = len(history.commits)
    counts["changes of the past"] = history.commits[-1].state.generation
    counts["subscriptions"] = len(history.listenings)
    counts["frames"] = sum(len(one.frames) for one in history.listenings)
    return counts


def require_all_seen(counts: Counter[str], answers: int) -> None:
    """Require that each route answered often enough, and that each refusal was seen."""
    assert counts["answers"] >= answers
    assert min(counts[f"{route} 200"] for route in ROUTES) >= answers // 50
    assert min(counts[refusal] for refusal in REFUSALS) > 0
    assert counts["changes of the past"] >= answers // 1000
    assert counts["subscriptions"] > 8 * answers // ROUND


def test_every_answer_of_a_busy_series_is_true(capsys: pytest.CaptureFixture[str]) -> None:
    history = played(ROUND, 1)

    assert checked(history) == []
    counts = counts_of(history)
    require_all_seen(counts, ROUND)
    tell(counts, capsys)


@pytest.mark.long
def test_every_answer_of_many_busy_series_is_true(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    for seed in range(10, 10 + ROUNDS):
        history = played(ROUND, seed)
        assert checked(history) == []
        counts += counts_of(history)

    require_all_seen(counts, ROUNDS * ROUND)
    tell(counts, capsys)


def tell(counts: Counter[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Show what a run measured."""
    with capsys.disabled():
        print(*(f"\n  {count:>7}  {name}" for name, count in sorted(counts.items())))  # noqa: T201


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=name, marks=[pytest.mark.long] if fault.rare else [])
        for name, fault in FAULTS.items()
    ],
)
def test_a_planted_fault_is_found(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a lie is told in a run is up to the threads, so one fault has a few runs."""
    found: set[Kind] = set()
    for seed in range(32, 32 + BRIEF_RUNS):
        with monkeypatch.context() as patch:
            fault.plant(patch)
            history = briefly_played(seed, patience=1.5)
        found |= {violation.kind for violation in checked(history)}
        if fault.kinds <= found:
            return
    pytest.fail(f"found {found}, not {fault.kinds - found}")


def test_nothing_is_found_without_a_fault() -> None:
    history = briefly_played()

    assert checked(history) == []
    states = [commit.state for commit in history.commits]
    assert any(state.missing for state in states)
    assert any(state.dirty_from for state in states)


def briefly_played(seed: int = 32, patience: float = 10) -> History:
    """Play a short run in which everything happens that a writer can do."""
    return played(300, seed, candles=60, patience=patience)
