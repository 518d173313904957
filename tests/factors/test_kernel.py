"""One source, two ways: what cannot be compiled runs plain, and stops nobody else."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from factors.engine import kernel
from factors.engine.kernel import Loop

ROOT = Path(__file__).resolve().parent.parent.parent
STATE = np.dtype([("count", "i8")])


def counting(state: Any, values: Any, rows: Any) -> tuple[int]:
    s = state[0]
    for value in values:
        s["count"] += 1
        if value > 1:
            rows[0]["count"] = s["count"]
    return (1 if s["count"] > 1 else 0,)


def untypable(state: Any, values: Any, rows: Any) -> tuple[int]:
    s = state[0]
    for value in values:
        s["count"] += len({"a": 1, "b": value, 3: None})
    return (0,)


def taken(loop: Loop, *values: float) -> tuple[int, int]:
    state = np.zeros(1, STATE)
    (rows,) = loop(state, (np.array(values),), (1,))
    return int(state["count"][0]), len(rows)


def test_a_kernel_that_cannot_be_compiled_runs_plain_and_lets_the_others_be_fast() -> None:
    good, bad = Loop(counting, STATE), Loop(untypable, STATE)

    assert kernel.warm(lambda: (taken(bad, 1.0), taken(good, 1.0)))

    assert good._compiled is not None
    assert (bad._compiled, taken(bad, 1.0, 2.0)) == (None, (6, 0))
    assert kernel.warm(lambda: taken(good, 1.0))
    assert taken(bad, 1.0, 2.0) == (6, 0)


def test_both_ways_say_the_same() -> None:
    loop = Loop(counting, STATE)
    kernel.warm(lambda: taken(loop, 1.0))

    with kernel.plain_only():
        plain = taken(loop, 1.0, 2.0, 3.0)

    assert taken(loop, 1.0, 2.0, 3.0) == plain == (3, 1)


def test_without_numba_rules_run_plain() -> None:
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "from factors.engine import kernel, run\n"
        "from market.bundled import bundled_candles\n"
        "candles = bundled_candles(500)\n"
        "print(kernel.warm(lambda: run(candles)), len(run(candles).events['pivot.minor']))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.split()[0] == "False"


def test_machine_code_is_kept_where_only_this_user_writes(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernel.use_cache_directory()

    (made,) = tmp_path.glob("trade_canvas/*")
    assert os.environ["NUMBA_CACHE_DIR"] == str(made)
    assert made.stat().st_mode & 0o077 == 0


def test_who_has_no_home_gets_a_directory_for_the_process(monkeypatch: Any) -> None:
    def no_home() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    kernel.use_cache_directory()

    assert "trade_canvas-kernels-" in os.environ["NUMBA_CACHE_DIR"]
