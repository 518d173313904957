"""What all that follows feeds in one process has in common."""

from collections.abc import Callable
from dataclasses import dataclass

from ingest.circuits import Circuits
from ingest.threads import Worker


@dataclass(frozen=True, slots=True)
class Station:
    """The name of the process, its threads, its policy of circuits, and its clock (epoch)."""

    owner: str
    worker: Worker
    circuits: Circuits
    clock: Callable[[], float]
