"""What is begun at once ends as if it had been awaited."""

import asyncio

import pytest

from market import eager


def test_what_never_waits_has_ended() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    assert eager.begin(work()) is None
    assert done == [1]


def test_what_waits_goes_on_when_the_rest_is_awaited() -> None:
    async def story() -> list[str]:
        first, second = asyncio.Event(), asyncio.Event()
        told: list[str] = []

        async def work() -> None:
            told.append("begun")
            await first.wait()
            told.append("between")
            await second.wait()
            told.append("ended")

        rest = eager.begin(work())
        assert rest is not None
        assert told == ["begun"]

        async def finish() -> None:
            await rest

        finishing = asyncio.create_task(finish())
        first.set()
        while "between" not in told:
            await asyncio.sleep(0)
        second.set()
        await finishing
        return told

    assert asyncio.run(story()) == ["begun", "between", "ended"]


@pytest.mark.parametrize("waits", [False, True])
def test_an_error_is_raised_where_it_happens(waits: bool) -> None:
    async def work() -> None:
        if waits:
            await asyncio.sleep(0)
        raise OSError("gone")

    async def story() -> None:
        rest = eager.begin(work())
        assert rest is not None
        await rest

    with pytest.raises(OSError, match="gone"):
        asyncio.run(story())


def test_a_cancel_reaches_what_was_begun() -> None:
    cleaned: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    async def story() -> None:
        rest = eager.begin(work())
        assert rest is not None

        async def finish() -> None:
            await rest

        finishing = asyncio.create_task(finish())
        await asyncio.sleep(0)
        finishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await finishing

    asyncio.run(story())
    assert cleaned == [True]
