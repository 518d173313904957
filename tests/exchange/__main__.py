"""Run the exchange simulator in a process of its own, until it is told to end.

It prints one line of JSON: its doors, the settings that point the project at it, and its clock.
"""

import argparse
import asyncio
import json
import signal
import time
from pathlib import Path

from market.candle_file import read_candles
from tests.exchange.clock import START, Clock
from tests.exchange.faults import Fault, from_record
from tests.exchange.market import Listing, Market
from tests.exchange.script import script
from tests.exchange.server import Exchange

EXAMPLE = """\
example, sixty minutes of market in six seconds with twenty random faults:
  python -m tests.exchange --port 0 --seed 3 --speed 600 --faults 20
  python -m tests.exchange --fault '{"fault": "Refuse", "times": 4, "venue": "futures"}'

back door, on the REST port:
  /-/log?after=0   /-/fault?record={...}   /-/clear   /-/advance?seconds=60
"""


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.exchange",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=int, default=0, help="futures; spot and REST take the next two; 0: any")
    add("--seed", type=int, default=0, help="of the market, and of the faults")
    add("--speed", type=float, default=1.0, help="of the clock; 0: it is moved by hand")
    add("--start", default=str(START), help="what the clock begins with in Unix seconds, or: now")
    add("--ahead", type=float, default=0.0, help="how far the clock is ahead of the start")
    add("--symbols", default="BTCUSDT,ETHUSDT", help="in both markets")
    add("--history", type=int, default=3000, help="bars before the start")
    add("--candles", type=Path, help="candle file that the first futures symbol plays")
    add("--faults", type=int, default=0, help="how many random faults in --within seconds")
    add("--within", type=float, default=3600.0, help="seconds of the exchange's clock")
    add("--fault", action="append", default=[], help="a fault as JSON; may be given often")
    return parser.parse_args()


def made(options: argparse.Namespace) -> Exchange:
    """Return the exchange that was asked for."""
    start = time.time() if options.start == "now" else float(options.start)
    start += options.ahead
    symbols = options.symbols.split(",")
    market = Market.walking(start, *symbols, seed=options.seed, history=options.history)
    if options.candles:
        rows = read_candles(options.candles).candles.rows()
        market.listings["futures", symbols[0]] = Listing("futures", symbols[0], rows)
    faults: list[Fault] = [from_record(json.loads(text)) for text in options.fault]
    faults += script(options.seed, seconds=options.within, many=options.faults)
    first = options.port
    doors = {"futures": first, "spot": first and first + 1, "rest": first and first + 2}
    return Exchange(market, Clock(start, options.speed or None), faults, doors=doors)


async def serve(exchange: Exchange) -> None:
    """Serve until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with exchange:
        print(exchange.describe(), flush=True)  # noqa: T201 (whoever started it reads this)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(serve(made(arguments())))
