"""What the tests of the engine share."""

from collections.abc import Iterator

import pytest

from factors.engine import kernel
from factors.services import engine_warm


@pytest.fixture(scope="session")
def is_compiled() -> bool:
    """Compile the rules, and say whether that could be done."""
    return engine_warm()


@pytest.fixture(params=["plain", "compiled"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a test with plain kernels, then with compiled ones."""
    if request.param == "plain":
        with kernel.plain_only():
            yield
        return
    if not request.getfixturevalue("is_compiled"):
        pytest.skip("numba cannot be used here")
    yield
