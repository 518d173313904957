"""The engine beside czsc (a Rust core) on the same candles, in one run on one machine.

    ./dev bench engine
    ./dev bench engine --rounds 5 --candles 100000

Candles are the bundled real ones, continued by themselves where more are asked for: each copy goes
on in time and price where the one before ended. Every case runs in a process of its own, the cases
in turn, several rounds of all; each number is the median, with the least and greatest behind it.
Only the rules are timed: both engines get candles in their own form, and ours is compiled before.
A batch is taken three times over by either, and the median counts.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._candles import SECONDS, continued
from factors.engine import kernel, registry, runner
from factors.engine.rules import make_rules
from market.bundled import bundled_candles
from market.candles import Candles

CASES = ("ours batch", "czsc batch", "ours steps", "czsc update")
SIZES = (100_000, 1_000_000)
STEPS = 40_000  # so many single steps are timed, near the first candles and at the end
LOOKBACK = 100


def warmed() -> Any:
    """Return the built-in rules, compiled."""
    registry.load()
    rules = make_rules({})
    first = bundled_candles(2)
    kernel.warm(lambda: runner.step(rules, runner.start(rules, ""), first, SECONDS))
    return rules


def ours_batch(candles: Candles) -> tuple[float, Mapping[str, float]]:
    """Take all candles in one step; events come as columns."""
    rules = warmed()
    return thrice(lambda: runner.step(rules, runner.start(rules, ""), candles, SECONDS)), {}


def thrice(work: Callable[[], object]) -> float:
    """Return the median of the seconds that three runs take."""
    spent = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def ours_steps(candles: Candles) -> tuple[float, Mapping[str, float]]:
    """Take candle by candle, every state as bytes in between: near the first ones, and the last."""
    rules = warmed()
    early, small = single_steps(rules, candles, 1000)
    late, large = single_steps(rules, candles, len(candles) - STEPS)
    again, _ = single_steps(rules, candles, 1000)
    step = statistics.median(late)
    return step * STEPS / 1e6, {
        "count": STEPS,
        "us": step,
        "least_us": min(early + late + again),
        "late_to_early": step / statistics.median(early + again),
        "state_early": small,
        "state_late": large,
    }


def single_steps(rules: Any, candles: Candles, start: int) -> tuple[list[float], int]:
    """Return microseconds a step, thousand by thousand from `start` on, and bytes of state."""
    standing = runner.start(rules, "")
    runner.step(rules, standing, candles.take(slice(0, start)), SECONDS)
    state = b"".join(f.dump(standing.states[f.name]) for f in rules.factors)
    spent = []
    for first in range(start, min(len(candles), start + STEPS), 1000):
        began = time.perf_counter()
        for ordinal in range(first, first + 1000):
            standing, memory = runner.carried(rules, state, ordinal)
            rows = candles.take(slice(max(0, ordinal - LOOKBACK), ordinal + 1))
            runner.step(rules, standing, rows, SECONDS)
            state = bytes(memory)
        spent.append((time.perf_counter() - began) * 1000)
    return spent, len(state)


def raw_bars(candles: Candles) -> list[Any]:
    """Return candles as czsc takes them."""
    from czsc import Freq, RawBar

    names = ("open", "high", "low", "close")
    return [
        RawBar(
            symbol="BTCUSDT",
            id=number,
            dt=datetime.fromtimestamp(candle.candle_time, UTC).replace(tzinfo=None),
            freq=Freq.F1,
            vol=candle.volume,
            amount=0.0,
            **{name: getattr(candle, name) for name in names},
        )
        for number, candle in enumerate(candles.rows())
    ]


def czsc_batch(candles: Candles) -> tuple[float, Mapping[str, float]]:
    """Give all bars at once."""
    from czsc import CZSC

    bars = raw_bars(candles)
    return thrice(lambda: CZSC(bars)), {}


def czsc_update(candles: Candles) -> tuple[float, Mapping[str, float]]:
    """Give bar after bar."""
    from czsc import CZSC

    bars = raw_bars(candles)
    found = CZSC(bars[:-STEPS])
    began = time.perf_counter()
    for bar in bars[-STEPS:]:
        found.update(bar)
    return time.perf_counter() - began, {"count": STEPS}


RUN: dict[str, Callable[[Candles], tuple[float, Mapping[str, float]]]] = {
    "ours batch": ours_batch,
    "czsc batch": czsc_batch,
    "ours steps": ours_steps,
    "czsc update": czsc_update,
}


def one_case(case: str, count: int) -> None:
    """Run one case and print its numbers, memory over that of the candles included."""
    candles = continued(count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spent, facts = RUN[case](candles)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"s": spent, "count": count, "MB": grown} | dict(facts)))


def measured(case: str, count: int) -> dict[str, float]:
    """Run one case in a process of its own."""
    command = [sys.executable, __file__, "--case", case, "--candles", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def spread(values: list[float], form: str = ",.0f") -> str:
    """Return median, least and greatest."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def lines(count: int, runs: Mapping[str, list[dict[str, float]]]) -> Iterator[str]:
    """Yield what one size gave."""
    rate = {case: [r["count"] / r["s"] for r in results] for case, results in runs.items()}
    yield f"\n{count:,} candles"
    for case in CASES:
        memory = spread([r["MB"] for r in runs[case]])
        yield f"  {case:<12} {spread(rate[case])} candles/s; +{memory} MB at the peak"
    for mine, theirs in (("ours batch", "czsc batch"), ("ours steps", "czsc update")):
        ratios = [a / b for a, b in zip(rate[mine], rate[theirs], strict=True)]
        yield f"  {mine} / {theirs}: {spread(ratios, ',.1f')}"
    steps = runs["ours steps"]
    single = spread([r["us"] for r in steps], ".1f")
    least = min(r["least_us"] for r in steps)
    yield f"  a single step of all four: {single} µs; the quickest thousand {least:.1f} µs each"
    growth = spread([r["late_to_early"] for r in steps], ".2f")
    yield f"  its cost at the end / among the first candles: {growth}"
    grown = steps[0]["state_late"] - steps[0]["state_early"]
    yield f"  state: {steps[0]['state_late']:.0f} bytes, grown by {grown:.0f}"


def main() -> None:
    """Run all cases in turn, and print rates, memory and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--candles", type=int, nargs="+", default=SIZES)
    parser.add_argument("--case", choices=CASES, help="only this one, in this process")
    options = parser.parse_args()
    if options.case:
        one_case(options.case, options.candles[0])
        return
    load = os.getloadavg()[0]
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {load:.1f}; {options.rounds} rounds: median (least to greatest)"
    )
    for count in options.candles:
        runs: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
        for number in range(options.rounds):
            for case in CASES:
                print(f"round {number + 1}, {count:,}: {case}", file=sys.stderr)
                runs[case].append(measured(case, count))
        print("\n".join(lines(count, runs)), flush=True)


if __name__ == "__main__":
    main()
