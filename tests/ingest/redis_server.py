"""A Redis of a test's own, that can be frozen."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import redis

PATIENCE = 60.0
PROGRAM = shutil.which("redis-server")


class RedisServer:
    """A `redis-server` on a free port, in memory."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        assert PROGRAM is not None
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self.process = subprocess.Popen(
            [PROGRAM, *where, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
        )
        self.client = redis.Redis(port=self.port)
        self.wait_until(self._answers)

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"redis://127.0.0.1:{self.port}/0"

    def freeze(self) -> None:
        """Let it answer nothing, its connections open."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self.process.kill()
        self.process.wait(timeout=PATIENCE)

    def wait_for_listeners(self, count: int) -> None:
        """Wait until so many clients wait for messages."""
        self.wait_until(lambda: self.client.info("clients")["blocked_clients"] >= count)

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Look until it is so."""
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < deadline
            assert self.process.poll() is None
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False
