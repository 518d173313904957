"""Whatever happens to a circuit in whatever order: it opens for a time, and one probe tries."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from ingest.circuit_rows import circuit_of, circuit_put
from ingest.guardrail import FailureKind, IngestLoopGuardrail, IngestLoopGuardrailConfig, State
from ingest.models import IngestGuardrail

START = 1_700_000_000.0


class AnyOrder(RuleBasedStateMachine):
    """Two workers try, fail and succeed; staff acts, time passes, and processes restart."""

    @initialize(
        jitter=st.sampled_from([0.0, 0.2, 1.0]),
        budget=st.integers(1, 6),
        failed=st.integers(0, 6),
        tried=st.booleans(),
    )
    def start(self, jitter: float, budget: int, failed: int, tried: bool) -> None:
        self.config = IngestLoopGuardrailConfig(crash_budget=budget, jitter_ratio=jitter)
        self.guardrail = self.new_process()
        self.now = START
        self.waited = 0.0
        for _ in range(failed):
            self.fails(FailureKind.STREAM)
        if tried:
            self.connect_in_time("one")

    def new_process(self) -> IngestLoopGuardrail:
        """Return a guardrail whose jitter always makes waits longer."""
        return IngestLoopGuardrail(config=self.config, uniform=lambda low, high: high)

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(owner=st.sampled_from(["one", "two"]))
    def connect_in_time(self, owner: str) -> None:
        self.now += self.guardrail.peek(now=self.now)
        self.connect(owner)

    @rule(seconds=st.floats(0, 10_000))
    def clock_jumps_back(self, seconds: float) -> None:
        self.now -= seconds
        self.guardrail.restore(self.guardrail.circuit, now=self.now)

    @rule(owner=st.sampled_from(["one", "two"]))
    def connect(self, owner: str) -> None:
        before, peeked = self.guardrail.circuit, self.guardrail.peek(now=self.now)

        self.waited = self.guardrail.before_attempt(owner, now=self.now)

        after = self.guardrail.circuit
        assert self.waited == peeked
        if self.waited or before.state is State.CLOSED:
            assert after == before
            return
        assert (after.state, after.probe_owner, after.probe_at) == ("half_open", owner, self.now)
        timeout = self.config.probe_timeout_s
        assert before.probe_at is None or self.now - before.probe_at > timeout - 1e-6

    @rule(kind=st.sampled_from(FailureKind))
    def fails(self, kind: FailureKind) -> None:
        before = self.guardrail.circuit
        self.waited = self.guardrail.on_failure(error="broken", now=self.now, kind=kind)
        if before.open_until is not None:
            assert (self.guardrail.circuit.open_until or 0) >= before.open_until
        assert self.guardrail.peek(now=self.now) <= self.waited + 1e-6

    @rule()
    def frame_comes(self) -> None:
        """Tell nobody: a frame alone is no success."""

    @rule()
    def succeeds(self) -> None:
        was_held = self.guardrail.circuit.is_held
        self.guardrail.on_success(now=self.now)
        assert was_held or self.guardrail.peek(now=self.now) == 0

    @rule(held=st.sampled_from([True, False, False]))
    def staff_acts(self, held: bool) -> None:
        if held:
            self.guardrail.hold("ann", now=self.now)
        else:
            self.guardrail.reset()
            assert self.guardrail.peek(now=self.now) == 0

    @invariant()
    def a_process_that_restarts_goes_on_from_the_same_state(self) -> None:
        row = IngestGuardrail(series_id="test:spot:A/USDT:1m")
        circuit_put(row, self.guardrail.circuit)
        again = self.new_process()

        again.restore(circuit_of(row), now=self.now)

        assert again.circuit == self.guardrail.circuit
        self.guardrail = again

    @invariant()
    def waits_are_bounded(self) -> None:
        for wait in (self.waited, self.guardrail.peek(now=self.now)):
            assert 0 <= wait <= self.config.longest_s

    @invariant()
    def open_has_an_end_and_nothing_else_has(self) -> None:
        circuit = self.guardrail.circuit
        assert (circuit.open_until is not None) == (circuit.state is State.OPEN)

    @invariant()
    def only_half_open_has_a_probe(self) -> None:
        circuit = self.guardrail.circuit
        assert circuit.probe_at is None or circuit.state is State.HALF_OPEN
        assert bool(circuit.probe_owner) == (circuit.probe_at is not None)

    @invariant()
    def times_kept_are_few(self) -> None:
        circuit = self.guardrail.circuit
        assert len(circuit.failures) <= 64
        assert len(circuit.rotations) <= 64


def test_the_circuit_keeps_its_promises_in_any_order() -> None:
    """Row 48 of the feeds' faults."""
    many = settings(max_examples=300, stateful_step_count=50, deadline=None)
    run_state_machine_as_test(AnyOrder, settings=many)
