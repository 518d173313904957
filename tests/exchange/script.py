"""A random script of faults: the same seed, the same script."""

import random
from collections.abc import Callable

from tests.exchange import pages, poison
from tests.exchange.faults import (
    Burst,
    CloseAfterNext,
    CloseAll,
    CloseAtOnce,
    Corrected,
    Drip,
    DropAll,
    Fault,
    HalfOpen,
    HandshakeStatus,
    LateClose,
    LostClose,
    NeverClosing,
    NoHandshake,
    NoPongs,
    OldFrames,
    Poison,
    Quiet,
    Refuse,
    RestDown,
    RestPage,
    RestSlow,
    RestStatus,
    Shutdown,
    Silence,
    SkippedBar,
    TwiceClose,
    Unreachable,
)

Dice = random.Random
CLOSE_CODES = (1000, 1001, 1011, 1012)
# Each makes one fault that strikes at this second and ends; truth stays what REST says.
MAKERS: tuple[Callable[[Dice, float], Fault], ...] = (
    lambda dice, at: Refuse(at=at, times=dice.randint(1, 6)),
    lambda dice, at: Unreachable(
        at=at, seconds=dice.uniform(5, 120), door=dice.choice(("futures", "spot"))
    ),
    lambda dice, at: NoHandshake(at=at, times=dice.randint(1, 2)),
    lambda dice, at: HandshakeStatus(at=at, status=dice.choice((503, 429, 403))),
    lambda dice, at: CloseAtOnce(at=at, times=dice.randint(1, 6), code=dice.choice(CLOSE_CODES)),
    lambda dice, at: Silence(at=at, acknowledge=dice.random() < 0.5),
    lambda dice, at: HalfOpen(at=at, after=dice.randint(0, 20)),
    lambda dice, at: NoPongs(at=at),
    lambda dice, at: Drip(at=at, seconds=dice.uniform(10, 120), size=dice.randint(8, 64)),
    lambda dice, at: OldFrames(at=at, age=dice.uniform(1, 90)),
    lambda dice, at: CloseAll(at=at, code=dice.choice(CLOSE_CODES)),
    lambda dice, at: DropAll(at=at),
    lambda dice, at: Shutdown(at=at, venue="spot", grace=dice.uniform(1, 20)),
    lambda dice, at: Burst(at=at, bars=dice.choice((3, 60, 1440))),
    lambda dice, at: Quiet(at=at, seconds=dice.uniform(120, 600)),
    lambda dice, at: LateClose(at=at, delay=dice.uniform(0.5, 8)),
    lambda dice, at: LostClose(at=at, times=dice.randint(1, 3)),
    lambda dice, at: TwiceClose(at=at, times=dice.randint(1, 3)),
    lambda dice, at: CloseAfterNext(at=at),
    lambda dice, at: Corrected(at=at, delay=dice.uniform(0.2, 5)),
    lambda dice, at: SkippedBar(at=at, times=dice.randint(1, 3)),
    lambda dice, at: NeverClosing(at=at, seconds=dice.uniform(120, 600)),
    lambda dice, at: Poison(
        at=at, times=dice.randint(1, 5), kind=dice.choice(sorted(poison.KINDS))
    ),
    lambda dice, at: RestStatus(at=at, status=429, retry_after=dice.randint(1, 30)),
    lambda dice, at: RestStatus(at=at, status=418, retry_after=dice.randint(30, 120)),
    lambda dice, at: RestStatus(at=at, status=dice.choice((403, 500, 502, 503))),
    lambda dice, at: RestDown(at=at, times=None, seconds=dice.uniform(10, 180)),
    lambda dice, at: RestSlow(at=at, delay=dice.uniform(0.05, 2)),
    lambda dice, at: RestPage(
        at=at, times=dice.randint(1, 3), kind=dice.choice(sorted(pages.KINDS))
    ),
)


def script(seed: int, *, seconds: float = 3600.0, many: int = 20) -> list[Fault]:
    """Return that many faults within so many seconds of the exchange's clock, in order.

    All of them end, so that a client that is right has the true candles some time after.
    """
    dice = random.Random(seed)  # noqa: S311 (a script that can be repeated)
    times = sorted(round(dice.uniform(0, seconds), 3) for _ in range(many))
    return [dice.choice(MAKERS)(dice, at) for at in times]
