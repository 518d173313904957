"""What just goes on is sent where it is heard; what cannot be, waits its turn."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from market import hub
from market.groups import Forming, Hint
from market.messages import Subscribe
from market.series import SeriesId
from market.sessions import Session
from tests.market.factories import SERIES, flat, minute
from tests.market.sockets import connected, play, store, times

pytestmark = pytest.mark.django_db(transaction=True)


class Client:
    """A client whose socket takes frames while `takes` is set, and is gone with `gone`."""

    def __init__(self) -> None:
        self.takes = asyncio.Event()
        self.takes.set()
        self.gone = False
        self.frames: list[str] = []

    async def send(self, text: str) -> None:
        await self.takes.wait()
        if self.gone:
            raise ConnectionResetError("gone")
        self.frames.append(text)

    async def close(self, code: int, reason: str) -> None:
        raise AssertionError((code, reason))

    async def heard(self, count: int) -> list[int]:
        """Wait for so many frames; return the minutes of their candles."""
        while len(self.frames) < count:
            await asyncio.sleep(0.01)
        numbers = range(1, 100)
        return [
            next(n for n in numbers if f'"candle_time":{minute(n)},' in text)
            for text in self.frames
        ]


@asynccontextmanager
async def watching(client: Client) -> AsyncIterator[Session]:
    """Subscribe a client that has minute 0."""
    session = Session(hub.current(), client.send, client.close)
    await session.subscribe(Subscribe(SeriesId.parse(SERIES), minute(0), supports_batch=False))
    running = asyncio.create_task(session.run())
    try:
        yield session
    finally:
        running.cancel()
        await session.leave()


def hint(*numbers: int) -> Hint:
    candles = tuple(flat(minute(number)) for number in numbers)
    return Hint(SERIES, 0, minute(numbers[-1]), candles)


def test_what_just_goes_on_is_sent_before_deliver_returns() -> None:
    async def scenario() -> None:
        client = Client()
        async with watching(client):
            hub.current().deliver(hint(1, 2))
            assert len(client.frames) == 2
            hub.current().show(Forming(SERIES, flat(minute(3))))
            assert len(client.frames) == 3
            assert "candle_forming" in client.frames[2]

    play(scenario)


def test_a_socket_that_stops_taking_gets_the_rest_in_order() -> None:
    async def scenario() -> None:
        client = Client()
        await store(range(1, 6))
        async with watching(client):
            await client.heard(5)
            client.takes.clear()
            for numbers in ((6, 7, 8), (9,), (10,)):
                await store(numbers)
                hub.current().deliver(hint(*numbers))
            assert len(client.frames) == 5
            client.takes.set()
            assert await client.heard(10) == list(range(1, 11))

    play(scenario)


def test_a_subscribe_waits_for_what_the_socket_did_not_take() -> None:
    async def scenario() -> None:
        client = Client()
        async with watching(client) as session:
            await store(range(1, 4))
            await client.heard(3)
            client.takes.clear()
            hub.current().deliver(hint(4, 5))
            wish = Subscribe(SeriesId.parse(SERIES), minute(1), supports_batch=False)
            again = asyncio.create_task(session.subscribe(wish))
            await asyncio.sleep(0.05)
            client.takes.set()
            await again
            assert await client.heard(7) == [1, 2, 3, 4, 5, 2, 3]

    play(scenario)


def test_a_socket_that_is_gone_takes_nobody_with_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        client = Client()
        async with watching(client), connected() as other:
            await other.subscribe(since=minute(0))
            client.gone = True
            for number in (1, 2):
                await store([number])
                hub.current().deliver(hint(number))
                assert times([await other.hear()]) == [minute(number)]
        assert client.frames == []

    play(scenario)

    assert [r.levelname for r in caplog.records if "gone" in r.getMessage()] == ["INFO"]
