"""An exchange for tests that have no event loop: in a thread, or in a process of its own."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any, Self, TypeVar

import httpx

from tests.exchange.faults import Fault
from tests.exchange.server import Exchange

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 30
Result = TypeVar("Result")


class InThread:
    """An exchange that runs in a thread beside the test, within `with`."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._started: Future[None] = Future()
        self._thread = Thread(target=self._run, name="exchange", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result(WAIT_SECONDS)
        return self

    def __exit__(self, *raised: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do something in the exchange's loop, and return what comes of it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS)

    def advance(self, seconds: float) -> None:
        """Move the clock by hand."""
        self.do(self.exchange.advance(seconds))

    def inject(self, *faults: Fault) -> None:
        """Let faults happen."""

        async def add() -> None:
            for fault in faults:
                self.exchange.inject(fault)

        self.do(add())

    def until(self, what: str, count: int = 1, **facts: Any) -> None:
        """Wait until the log holds that many such entries."""
        self.do(self.exchange.until(what, count, **facts))

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        async with self.exchange:
            self._started.set_result(None)
            await self._ended.wait()


class InProcess:
    """An exchange in a process of its own, asked and moved through the back door of REST."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        described = json.loads(process.stdout.readline())
        self.doors: dict[str, int] = described["doors"]
        self.settings: dict[str, str] = described["settings"]
        self.clock: dict[str, float | None] = described["clock"]

    def log(self, what: str = "") -> list[dict[str, Any]]:
        """Return the entries of the log of this kind; all where none is named."""
        entries: list[dict[str, Any]] = self._ask("log")
        return [entry for entry in entries if what in {"", entry["what"]}]

    def inject(self, fault: Fault) -> None:
        """Let a fault happen."""
        self._ask("fault", record=json.dumps(fault.record()))

    def advance(self, seconds: float) -> None:
        """Move the clock by hand."""
        self._ask("advance", seconds=seconds)

    def kill(self) -> None:
        """End it without a word."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(WAIT_SECONDS)

    def _ask(self, name: str, **query: Any) -> Any:
        url = f"http://127.0.0.1:{self.doors['rest']}/-/{name}"
        answer = httpx.get(url, params=query, timeout=WAIT_SECONDS)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextlib.contextmanager
def exchange_process(*arguments: str) -> Iterator[InProcess]:
    """Start `python -m tests.exchange` with these arguments, and end it after the block."""
    command = [sys.executable, "-m", "tests.exchange", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield InProcess(process)
        finally:
            process.terminate()
            process.wait(WAIT_SECONDS)
