"""/ws/market with on-demand ingest: sockets are counted, refused and let go."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from pytest_django import Settings

from market import demand, hub, watching
from market.models import SeriesDemand
from tests.market.factories import OTHER, SERIES, minute
from tests.market.sockets import connected, kinds, play, store, times

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED = {
    "type": "error",
    "code": "capacity",
    "message": "ondemand_ingest_capacity",
    "series_id": OTHER,
}
FIVE = SERIES.replace(":1m", ":5m")


@pytest.fixture(autouse=True)
def on_demand(settings: Settings) -> None:
    """Follow series because somebody watches them; one at a time."""
    settings.TRADE_CANVAS_ENABLE_ONDEMAND_INGEST = True
    settings.TRADE_CANVAS_ONDEMAND_MAX_JOBS = 1


@sync_to_async
def counts() -> dict[str, int]:
    return demand.demand_counts()


async def settled() -> dict[str, int]:
    """Return the counts in the rows, once all changes are written."""
    here = hub.current().watching
    while here._changed or here._wake.is_set():
        await asyncio.sleep(0.01)
    await here._in_thread(lambda: None)  # after what is being written
    return await counts()


def test_a_socket_is_counted_while_it_is_subscribed() -> None:
    """Shows 9.subscribe.2."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe()
            assert await counts() == {SERIES: 1}
            await socket.say(type="unsubscribe", series_id=SERIES)
            await socket.heard()
            assert await settled() == {}

    play(scenario)


def test_a_socket_that_subscribes_again_counts_once() -> None:
    """Shows 9.again.once."""

    async def scenario() -> None:
        async with connected() as socket:
            for since in range(3):
                await socket.subscribe(since=since)
            assert await settled() == {SERIES: 1}

    play(scenario)


def test_each_socket_counts_and_one_that_is_gone_does_not() -> None:
    """Shows 9.subscribe.2 and 9.leave.demand."""

    async def scenario() -> None:
        async with connected() as one:
            await one.subscribe()
            async with connected() as other:
                await other.subscribe()
                assert await settled() == {SERIES: 2}
            assert await settled() == {SERIES: 1}

    play(scenario)


def test_refused_is_said_and_other_subscriptions_stay() -> None:
    """Row 34 of the feeds' faults. Shows 9.subscribe.2.refused and 9.error.series_id."""

    async def scenario() -> None:
        await store(range(2), series_id=OTHER)
        async with connected() as socket:
            await socket.subscribe(since=minute(0))
            await socket.say(type="subscribe", series_id=OTHER)
            assert await socket.hear() == REFUSED
            assert await socket.heard() == []
            assert set(hub.current()._subscriptions) == {SERIES}
            await store([1])
            assert times([await socket.hear()]) == [minute(1)]
        assert await settled() == {}

    play(scenario)


def test_the_place_of_a_series_that_nobody_wants_is_free() -> None:
    """Shows 9.subscribe.2.evicted."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe()
            await socket.say(type="unsubscribe", series_id=SERIES)
            assert await socket.subscribe(OTHER) == []
            assert await settled() == {OTHER: 1}

    play(scenario)


def test_a_refused_socket_may_ask_again() -> None:
    async def scenario() -> None:
        async with connected() as one, connected() as other:
            await one.subscribe()
            await other.say(type="subscribe", series_id=OTHER)
            assert await other.hear() == REFUSED
            await one.say(type="unsubscribe", series_id=SERIES)
            await one.heard()
            assert await other.subscribe(OTHER) == []

    play(scenario)


def test_five_sockets_that_come_and_go_a_hundred_times_are_counted_right() -> None:
    """Row 32 of the feeds' faults."""

    async def scenario() -> None:
        async with connected() as a, connected() as b, connected() as c, connected() as d:
            async with connected() as e:
                sockets = [a, b, c, d, e]
                for turn in range(100):
                    await sockets[turn % 5].say(type="subscribe", series_id=SERIES)
                    await sockets[(turn * 3 + 1) % 5].say(type="unsubscribe", series_id=SERIES)
                for socket in (a, c, e):
                    await socket.subscribe()
                for socket in (b, d):
                    await socket.say(type="unsubscribe", series_id=SERIES)
                    await socket.heard()
                assert await settled() == {SERIES: 3}
            assert await settled() == {SERIES: 2}

    play(scenario)


def test_many_sockets_that_come_at_once_are_written_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[dict[str, int]] = []
    write = demand.demand_write

    def noting(holder: str, counts: dict[str, int]) -> frozenset[str]:
        written.append(counts)
        return write(holder, counts)

    async def scenario() -> None:
        monkeypatch.setattr(demand, "demand_write", noting)
        here = hub.current().watching
        assert await asyncio.gather(*(here.take(SERIES) for _ in range(50))) == [True] * 50
        assert await settled() == {SERIES: 50}
        assert len(written) <= 2

    play(scenario)


def test_a_derived_series_counts_for_its_base(settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_DERIVED_TIMEFRAMES = True

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(FIVE)
            await socket.subscribe(SERIES)
            assert await settled() == {SERIES: 2}
            await socket.say(type="unsubscribe", series_id=FIVE)
            await socket.heard()
            assert await settled() == {SERIES: 1}

    play(scenario)


def test_a_process_for_readers_refuses_nobody(settings: Settings) -> None:
    """Row 44 of the feeds' faults, as far as sockets are concerned."""
    settings.TRADE_CANVAS_ENABLE_INGEST_ROLE_GUARD = True
    settings.TRADE_CANVAS_INGEST_ROLE = "read"

    async def scenario() -> None:
        await store(range(2), series_id=OTHER)
        async with connected() as socket:
            await socket.subscribe()
            assert kinds(await socket.subscribe(OTHER, supports_batch=True)) == ["candles_batch"]
            assert await settled() == {SERIES: 1}  # the places are as many as they were
            await socket.say(type="unsubscribe", series_id=SERIES)
            await socket.heard()
            assert await settled() == {}

    play(scenario)


def test_nothing_is_counted_while_on_demand_ingest_is_off(settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_ONDEMAND_INGEST = False

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe()
            await socket.subscribe(OTHER)
            assert await settled() == {}

    play(scenario)


def test_who_subscribes_while_the_database_fails_is_served_and_counted_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "RETRY_SECONDS", 0.01)
    write, failures = demand.demand_write, iter([OperationalError("away")])

    def failing(*args: Any) -> frozenset[str]:
        for failure in failures:
            raise failure
        return write(*args)

    async def scenario() -> None:
        monkeypatch.setattr(demand, "demand_write", failing)
        async with connected() as socket:
            assert await socket.subscribe() == []
            while await counts() != {SERIES: 1}:
                await asyncio.sleep(0.01)

    play(scenario)


def test_a_whitelist_that_cannot_be_read_for_a_moment_stops_nobody(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.TRADE_CANVAS_ENABLE_WHITELIST_INGEST = True
    path = settings.TRADE_CANVAS_WHITELIST_PATH = tmp_path / "whitelist.json"
    path.write_text(f'{{"series_ids": ["{SERIES}"]}}')

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe()
            path.write_text("{")
            await socket.subscribe(OTHER)
            assert await settled() == {SERIES: 1, OTHER: 1}
            path.write_text('{"series_ids": []}')
            await socket.say(type="unsubscribe", series_id=SERIES)
            await socket.heard()
            assert await settled() == {OTHER: 1}

    play(scenario)
    assert "whitelist.unreadable" in caplog.text


def test_demand_is_renewed_before_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "RENEW_SECONDS", 0.05)

    @sync_to_async
    def expiry() -> Any:
        return SeriesDemand.objects.get().expires_at

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe()
            first = await expiry()
            while await expiry() == first:
                await asyncio.sleep(0.01)

    play(scenario)
    assert demand.TTL.total_seconds() > 2 * watching.RENEW_SECONDS


def test_a_process_that_stops_takes_its_demand_along() -> None:
    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe()
            await hub.close()
            assert await counts() == {}

    play(scenario)


def test_a_socket_that_leaves_while_it_waits_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        here = hub.current().watching
        waiting = asyncio.ensure_future(here.take(SERIES))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert here.counts == {}
        assert await settled() == {}

    play(scenario)
