"""When an exchange is to be asked for its time: now and then, and when ours has jumped.

Pure: it is told `now` by our clock, and `tick` by one that never jumps.
"""

EVERY_SECONDS, JUMP_SECONDS, UNSURE_SECONDS = 300.0, 1.0, 60.0


class ClockSync:
    """How well the exchange's time is known; `speed` is how much faster than real time it passes.

    >>> sync = ClockSync(speed=1.0)
    >>> sync.is_due(1000.0, 0.0), sync.is_unsure
    (True, False)
    >>> sync.done(0.5)
    >>> sync.is_due(1001.0, 1.0), sync.is_due(1062.0, 2.0), sync.is_unsure
    (False, True, True)
    """

    def __init__(self, speed: float) -> None:
        self.is_unsure = False
        self._speed = speed
        self._seen: tuple[float, float] | None = None
        self._synced: float | None = None
        self._jumped = 0.0

    def forget(self) -> None:
        """Have the exchange asked anew."""
        self._synced = None

    def is_due(self, now: float, tick: float) -> bool:
        """Look at the clock; say whether the exchange is to be asked for the time.

        `is_unsure` is True from a jump ahead until it was asked, for a minute at most: then what
        still forms may look closed.
        """
        then, since = self._seen or (now, tick)
        self._seen = (now, tick)
        if now - then - (tick - since) * self._speed > JUMP_SECONDS:
            self.is_unsure, self._jumped = True, tick
        elif tick - self._jumped > UNSURE_SECONDS:
            self.is_unsure = False
        if self.is_unsure or now < then:
            self.forget()
        return self._synced is None or tick - self._synced >= EVERY_SECONDS

    def done(self, tick: float) -> None:
        """Note that the exchange was asked."""
        self._synced, self.is_unsure = tick, False
