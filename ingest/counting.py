"""How many feeds do what, and how many circuits let them."""

from collections import Counter

from ingest.models import CircuitState, IngestGuardrail, IngestJob, JobState


def jobs_by_state() -> dict[JobState, int]:
    """Return how many feeds are in each state that any is in."""
    found = Counter(IngestJob.objects.values_list("state", flat=True))
    return {state: found[state] for state in JobState if found[state]}


def circuits_by_state() -> dict[CircuitState, int]:
    """Return how many feeds have a circuit in each state; one without a row has a closed one."""
    jobs = list(IngestJob.objects.values_list("series_id", flat=True))
    rows = IngestGuardrail.objects.exclude(state=CircuitState.CLOSED)
    stored = dict(rows.values_list("series_id", "state"))
    found = Counter(stored.get(name, CircuitState.CLOSED.value) for name in jobs)
    return {state: found[state] for state in CircuitState if found[state]}
