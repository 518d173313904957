"""The pytest plugin of CI: there a skipped test has failed, so that no skip hides a gap.

`.ci/run` loads it with `-p tests.plugin_ci`. Only the tests of a service that this run was not
given may be skipped; another run has to be given it.
"""

import os
from collections.abc import Generator
from importlib.util import find_spec

import pytest

DATABASE = os.environ.get("DATABASE_URL") or "sqlite"
GIVEN = {
    "ccxt": find_spec("ccxt") is not None,
    "postgres": DATABASE.startswith("postgres"),
    "redis": bool(os.environ.get("REDIS_URL")),
    "sqlite": DATABASE.startswith("sqlite"),
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test into a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and not lacks_service(item):
        fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a failure."""
    report = yield
    if report.skipped:
        fail(report)
    return report


def lacks_service(item: pytest.Item) -> bool:
    """Say whether a test needs a service that this run was not given."""
    return any(item.get_closest_marker(marker) and not given for marker, given in GIVEN.items())


def fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make the report one of a failure that names the reason of the skip."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"nothing may be skipped in CI, but: {reason}"
