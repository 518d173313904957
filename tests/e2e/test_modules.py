"""The modules of the pages that need no browser, tested by Node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

MODULES = Path(__file__).parent / "modules"


def test_modules_do_what_their_tests_say() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on PATH")

    tests = sorted(str(path) for path in MODULES.glob("*.test.js"))
    command = [node, "--test", "--test-reporter", "tap", *tests]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert "# skipped 0" in done.stdout
