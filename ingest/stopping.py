"""How a process that follows feeds is told to stop."""

import asyncio
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_when_told() -> asyncio.Event:
    """Return what SIGINT or SIGTERM sets; a second signal ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def told() -> None:
        stop.set()
        for name in SIGNALS:
            loop.remove_signal_handler(name)

    for name in SIGNALS:
        loop.add_signal_handler(name, told)
    return stop
