"""What a state, and a frame, at any time costs: the same early and late in history.

    ./dev bench state
    ./dev bench state --times 2000

Imports the bundled candles into a database of its own, then asks for random times, each fifth of
history in turn. Numbers are medians, with the 90th percentile behind them.
"""

import argparse
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
FIFTHS = 5


def measured(ask: Callable[[int], object], times: list[int]) -> str:
    """Return median and 90th percentile of the milliseconds that an answer takes."""
    spent = []
    for at in times:
        began = time.perf_counter()
        ask(at)
        spent.append((time.perf_counter() - began) * 1000)
    return f"{statistics.median(spent):6.2f} ({statistics.quantiles(spent, n=10)[-1]:.2f})"


def main() -> None:
    """Import, then ask."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DATABASE_URL"] = f"sqlite:///{folder}/bench.sqlite3"
        run(options.times)


def run(count: int) -> None:
    """Measure on a fresh database."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "tradecanvas.settings"
    django.setup()
    from django.core.management import call_command

    from factors.services import current_rules, engine_warm
    from factors.slices import standing_at
    from ledger import frames
    from market.bundled import SERIES, bundled_candles

    call_command("migrate", verbosity=0)
    call_command("load_bundled")
    engine_warm()
    rules, times = current_rules(), bundled_candles().time.tolist()
    dice = random.Random(1)  # noqa: S311 (a sequence that can be repeated)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}; {count} times, ms: median (90th percentile)"
    )
    size = len(times) // FIFTHS
    for fifth in range(FIFTHS):
        asked = [times[fifth * size + dice.randrange(size)] for _ in range(count // FIFTHS)]
        state = measured(lambda at: standing_at(rules, SERIES, at), asked)
        frame = measured(
            lambda at: frames.at_time(series_id=str(SERIES), at_time=at, window_candles=2000),
            asked[: max(20, len(asked) // 10)],
        )
        print(f"  fifth {fifth + 1} of history: state {state}, frame of 2,000 candles {frame}")


if __name__ == "__main__":
    main()
