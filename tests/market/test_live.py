"""/ws/market: what subscribers hear of candles that come while they listen."""

import asyncio
import random
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.db import OperationalError

from market import groups, hub, subscriptions
from market.candles import Candle
from market.groups import Hint, announce
from market.layer import MemoryChannelLayer
from market.messages import Subscribe
from market.series import SeriesId
from market.sessions import Session
from market.subscriptions import AnnouncedHead
from tests.market.factories import OTHER, SERIES, flat, minute
from tests.market.sockets import PATIENCE, connected, kinds, play, store, times

pytestmark = pytest.mark.django_db(transaction=True)


def hint(*numbers: int, series_id: str = SERIES, generation: int = 0) -> Hint:
    candles = tuple(flat(minute(number)) for number in numbers)
    return Hint(series_id, generation, minute(numbers[-1]), candles)


def heads(**facts: int) -> hub.HeadReader:
    """Return a reader that announces the same head for every series."""

    def read(series_ids: Sequence[str]) -> Mapping[str, AnnouncedHead]:
        return dict.fromkeys(series_ids, AnnouncedHead(facts["time"], facts.get("generation", 0)))

    return read


@pytest.fixture
def lame_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every use of the channel layer fail."""

    async def fail(*_: object) -> None:
        raise ConnectionError("away")

    for name in ("group_add", "group_discard", "group_send", "receive", "new_channel"):
        monkeypatch.setattr(get_channel_layer(), name, fail)


def test_closing_ends_a_listener_whose_layer_swallows_cancels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    swallowed: list[bool] = []

    async def receive(_: str) -> None:
        while len(swallowed) < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(True)
        await asyncio.Event().wait()

    async def scenario() -> None:
        monkeypatch.setattr(get_channel_layer(), "receive", receive)
        hub.current()
        await asyncio.sleep(0)  # the listener begins
        closing = asyncio.ensure_future(hub.close())
        done, _ = await asyncio.wait([closing], timeout=hub.CLOSE_PATIENCE * 2)
        assert done
        assert len(swallowed) == 2

    play(scenario)


def test_next_candle_is_sent_as_the_hint_brings_it() -> None:
    """Shows 9.subscribe.3, 9.live.hint and 9.live.single."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(since=minute(0), supports_batch=True)
            announce([hint(1)])  # not in the database: it can only come from the hint
            frame = await socket.hear()
        assert (frame["type"], times([frame])) == ("candle_closed", [minute(1)])

    play(scenario)


def test_several_candles_come_as_a_batch_to_those_who_take_it() -> None:
    """Shows 9.live.batch."""

    async def scenario() -> None:
        async with connected() as one, connected() as other:
            await one.subscribe(since=minute(0), supports_batch=True)
            await other.subscribe(since=minute(0))
            announce([hint(1, 2)])
            assert kinds([await one.hear()]) == ["candles_batch"]
            assert kinds([await other.hear(), await other.hear()]) == ["candle_closed"] * 2

    play(scenario)


def test_candle_that_was_sent_is_not_sent_again() -> None:
    """Row 3 of the ledger's faults. Shows 9.live.drop and 9.order.once."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(since=minute(1))
            for number in (1, 0, 2, 2, 1, 3):
                announce([hint(number)])
            assert times([await socket.hear(), await socket.hear()]) == [minute(2), minute(3)]
            assert await socket.heard() == []

    play(scenario)


def test_hint_that_jumps_is_completed_from_the_database() -> None:
    """Shows 9.live.database."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(since=minute(0), supports_batch=True)
            await store(range(1, 4))
            announce([hint(3)])
            frame = await socket.hear()
        assert (frame["type"], times([frame])) == (
            "candles_batch",
            [minute(1), minute(2), minute(3)],
        )

    play(scenario)


def test_hint_with_a_hole_is_completed_from_the_database() -> None:
    """Shows 9.live.database."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(since=minute(0), supports_batch=True)
            await store(range(1, 4))
            announce([hint(1, 3)])
            assert times([await socket.hear()]) == [minute(1), minute(2), minute(3)]

    play(scenario)


def test_hole_in_the_database_is_a_gap() -> None:
    """Shows 9.live.gap and 9.order.gap."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(since=minute(0))
            await store([1, 4, 5])
            announce([hint(5)])
            frames = [await socket.hear() for _ in range(4)]
        assert kinds(frames) == ["candle_closed", "gap", "candle_closed", "candle_closed"]
        assert (frames[1]["expected_next_time"], frames[1]["actual_time"]) == (minute(2), minute(4))

    play(scenario)


def test_first_candle_of_a_series_needs_no_cursor() -> None:
    """Shows 9.live.first."""

    async def scenario() -> None:
        async with connected() as socket:
            assert await socket.subscribe() == []
            await store([7])
            announce([hint(7)])
            assert await socket.hear() | {"candle": None} == {
                "type": "candle_closed",
                "series_id": SERIES,
                "candle": None,
            }

    play(scenario)


def test_candle_after_the_announced_head_is_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shows 9.live.database."""
    monkeypatch.setattr(hub._Registered, "heads", staticmethod(heads(time=minute(1))))

    async def scenario() -> None:
        await store(range(4))
        async with connected() as socket:
            assert times(await socket.subscribe(since=minute(0))) == [minute(1)]
            hub.current().deliver(Hint(SERIES, 0, minute(1), (flat(minute(2)),)))
            await hub.current().sweep()
            assert await socket.heard() == []

    play(scenario)


def test_sweep_finds_what_no_hint_told() -> None:
    """Shows 9.live.database."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(since=minute(0))
            await store(range(1, 3))
            await hub.current().sweep()
            assert times([await socket.hear(), await socket.hear()]) == [minute(1), minute(2)]

    play(scenario)


def test_sweep_runs_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "SWEEP_SECONDS", 0.01)

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(since=minute(0))
            await store([1])
            assert times([await socket.hear()]) == [minute(1)]

    play(scenario)


def test_sweep_asks_once_for_all_series(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def read(series_ids: Sequence[str]) -> Mapping[str, AnnouncedHead]:
        asked.append(sorted(series_ids))
        return hub.candle_heads(series_ids)

    async def scenario() -> None:
        async with connected() as socket, connected() as other:
            await socket.subscribe(SERIES)
            await socket.subscribe(OTHER)
            await other.subscribe(SERIES)
            monkeypatch.setattr(hub._Registered, "heads", staticmethod(read))
            await hub.current().sweep()
        assert asked == [[SERIES, OTHER]]

    play(scenario)


def test_changed_generation_is_told_after_the_candles() -> None:
    """Shows 9.order.system and 9.system.rebuild."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(since=minute(0))
            announce([hint(1, generation=1)])
            assert kinds([await socket.hear(), await socket.hear()]) == ["candle_closed", "system"]
            announce([hint(2, generation=1)])
            assert kinds([await socket.hear()]) == ["candle_closed"]
            assert await socket.heard() == []

    play(scenario)


def test_changed_generation_is_found_by_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shows 9.system.rebuild."""

    async def scenario() -> None:
        async with connected() as socket:
            await store(range(2))
            await socket.subscribe(since=minute(1))
            changed = heads(time=minute(1), generation=3)
            monkeypatch.setattr(hub._Registered, "heads", staticmethod(changed))
            await hub.current().sweep()
            await hub.current().sweep()
            frame = await socket.hear()
            assert (frame["event"], frame["data"]) == ("factor.rebuild", {"series_id": SERIES})
            assert await socket.heard() == []

    play(scenario)


def test_generation_of_the_subscribe_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub._Registered, "heads", staticmethod(heads(time=minute(0), generation=7)))

    async def scenario() -> None:
        await store([0])
        async with connected() as socket:
            assert kinds(await socket.subscribe()) == ["candle_closed"]

    play(scenario)


@pytest.mark.parametrize("since", [minute(0), minute(1)])
def test_subscribing_again_brings_a_change_that_was_not_told(
    since: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        await store(range(2))
        async with connected() as socket:
            await socket.subscribe(since=minute(1))
            changed = heads(time=minute(1), generation=1)
            monkeypatch.setattr(hub._Registered, "heads", staticmethod(changed))
            *frames, last = await socket.subscribe(since=since)
            assert (len(frames), last["event"]) == (since == minute(0), "factor.rebuild")
            assert await socket.subscribe(since=minute(1)) == []

    play(scenario)


def test_candles_that_come_during_the_catch_up_are_sent_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row 29 of the ledger's faults: the hint falls between joining and reading.

    Shows 9.subscribe.4.live.
    """

    async def scenario() -> None:
        await store(range(2))
        here = hub.current()
        read_head = here.head

        async def commit_first(series_id: str) -> AnnouncedHead:
            await store([2])
            announce([hint(2)])
            return await read_head(series_id)

        monkeypatch.setattr(here, "head", commit_first)
        async with connected() as socket:
            assert times(await socket.subscribe(since=minute(0))) == [minute(1), minute(2)]
            announce([hint(3)])
            assert times([await socket.hear()]) == [minute(3)]

    play(scenario)


def test_candle_whose_hint_comes_after_the_subscribe_is_sent_once() -> None:
    """Row 29 of the ledger's faults."""

    async def scenario() -> None:
        await store(range(2))
        async with connected() as socket:
            assert times(await socket.subscribe(since=minute(0))) == [minute(1)]
            announce([hint(1)])
            announce([hint(2)])
            assert times([await socket.hear()]) == [minute(2)]
            assert await socket.heard() == []

    play(scenario)


@pytest.mark.parametrize("supports_batch", [True, False])
def test_each_candle_comes_once_and_in_order_when_hints_are_lost(
    monkeypatch: pytest.MonkeyPatch, supports_batch: bool
) -> None:
    """Row 4 of the ledger's faults. Shows 9.order.once."""
    chance = random.Random(7)  # noqa: S311 (a repeatable test)
    count = 500

    async def scenario() -> None:
        here = hub.current()
        deliver = here.deliver
        monkeypatch.setattr(here, "deliver", lambda h: chance.random() < 0.3 or deliver(h))
        async with connected() as one, connected() as two:
            for socket in (one, two):
                await socket.subscribe(since=minute(0), supports_batch=supports_batch)
            for number in range(1, count + 1):
                await store([number])
                announce([hint(number)])
            monkeypatch.setattr(here, "deliver", deliver)
            for socket in (one, two):
                heard: list[int] = []
                while len(heard) < count:
                    frame = await socket.hear()
                    assert frame["type"] != "gap"
                    heard += times([frame])
                assert heard == [minute(number) for number in range(1, count + 1)]

    play(scenario)


def test_candles_come_with_the_layer_away_and_it_is_used_again_when_it_is_back(
    lame_layer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 27 of the ledger's faults, in less time."""
    monkeypatch.setattr(hub, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(hub, "LAST_RETRY", 0.02)
    monkeypatch.setattr(hub, "SWEEP_SECONDS", 0.02)
    count = 20

    async def scenario() -> None:
        async with connected() as one, connected() as two:
            for socket in (one, two):
                await socket.subscribe(since=minute(0))
            for number in range(1, count + 1):
                await store([number])
                announce([hint(number)])
            for socket in (one, two):
                heard = times([await socket.hear() for _ in range(count)])
                assert heard == [minute(number) for number in range(1, count + 1)]
            assert not hub.current()._hears

            monkeypatch.undo()  # the layer is back
            while not hub.current()._hears:
                await asyncio.sleep(0.01)
            announce([hint(count + 1)])  # not in the database: it can only come from the hint
            for socket in (one, two):
                assert times([await socket.hear()]) == [minute(count + 1)]

    play(scenario)


def test_layer_is_used_again_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "FIRST_RETRY", 0.01)

    async def scenario() -> None:
        layer = get_channel_layer()
        receive = layer.receive
        failures = iter([ConnectionError("away")] * 3)

        async def fail_first(channel: str) -> object:
            for failure in failures:
                raise failure
            return await receive(channel)

        monkeypatch.setattr(layer, "receive", fail_first)
        async with connected() as socket:
            await socket.subscribe(since=minute(0))
            while next(failures, None) or not hub.current()._hears:
                await asyncio.sleep(0.01)
            announce([hint(1)])
            assert times([await socket.hear()]) == [minute(1)]

    play(scenario)


def test_message_that_is_no_hint_harms_nobody() -> None:
    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(since=minute(0))
            layer = get_channel_layer()
            await layer.group_send(groups.group_name(SERIES), {"type": "from.the.future"})
            announce([hint(1)])
            assert times([await socket.hear()]) == [minute(1)]

    play(scenario)


def test_writer_may_announce_from_any_thread() -> None:
    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(since=minute(0))
            await asyncio.to_thread(announce, [hint(1)])
            await asyncio.to_thread(announce, [hint(2)])
            assert times([await socket.hear(), await socket.hear()]) == [minute(1), minute(2)]

    play(scenario)


def test_layer_looks_once_a_second_for_what_nobody_took(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, now = MemoryChannelLayer(expiry=-1), [100.0]
    monkeypatch.setattr("market.layer.time.monotonic", lambda: now[0])
    kept = []

    async def scenario() -> None:
        for now[0] in (100.0, 100.9, 101.1):
            await layer.send("somebody", {"type": "news"})
            await layer.group_send("nobody", {"type": "news"})
            kept.append("somebody" in layer.channels)

    asyncio.run(scenario())
    assert kept == [False, True, False]


def test_nobody_hears_of_a_series_without_subscribers() -> None:
    """A layer that other processes share may have listeners that this one does not know."""
    is_shared = not isinstance(get_channel_layer(), MemoryChannelLayer)

    async def scenario() -> None:
        async with connected() as socket:
            assert groups.is_heard(SERIES) is is_shared
            await socket.subscribe(since=minute(0))
            assert groups.is_heard(SERIES)
            assert groups.is_heard(OTHER) is is_shared

    play(scenario)


def test_writer_without_any_subscriber_or_loop_is_not_disturbed() -> None:
    announce([hint(1)])
    announce([])


def test_writer_is_not_disturbed_by_a_loop_that_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    groups.use_loop(loop)
    loop.close()
    announce([hint(1)])
    groups.use_loop(None)
    assert "hints not sent" in caplog.text


def test_hints_that_wait_for_a_hanging_layer_are_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(groups, "MOST_WAITING", 3)

    async def scenario() -> None:
        groups.use_loop(asyncio.get_running_loop())
        hanging = asyncio.Event()
        monkeypatch.setattr(get_channel_layer(), "group_send", lambda *_: hanging.wait())
        for number in range(5):
            announce([hint(number)])
        assert caplog.text.count("hints dropped") == 2
        hanging.set()

    play(scenario)


def test_long_hint_leaves_its_candles_to_the_database() -> None:
    assert hint(*range(500)).message()["candles"]
    assert not hint(*range(501)).message()["candles"]


def test_hint_survives_the_layer() -> None:
    assert Hint.from_message(hint(1, 2, generation=4).message()) == hint(1, 2, generation=4)


def test_database_that_fails_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        await store(range(3))
        answers = iter([OperationalError("database is locked")])

        def read(series_ids: Sequence[str]) -> Mapping[str, AnnouncedHead]:
            for failure in answers:
                raise failure
            return hub.candle_heads(series_ids)

        monkeypatch.setattr(hub._Registered, "heads", staticmethod(read))
        async with connected() as socket:
            assert await socket.subscribe(since=minute(0), supports_batch=True) == []
            await hub.current().sweep()
            frame = await socket.hear()
            assert (frame["type"], times([frame])) == ("candles_batch", [minute(1), minute(2)])

    play(scenario)


def test_news_behind_a_read_that_failed_are_found_by_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        here = hub.current()
        async with connected() as socket:
            await socket.subscribe(since=minute(0), supports_batch=True)
            await store(range(1, 4))
            page = here.page
            asked = asyncio.Event()

            async def fail(*_: object) -> None:
                asked.set()
                raise OperationalError("database is locked")

            monkeypatch.setattr(here, "page", fail)
            here.deliver(hint(2))
            here.deliver(hint(3))
            await asked.wait()
            monkeypatch.setattr(here, "page", page)
            await here.sweep()
            assert times([await socket.hear()]) == [minute(1), minute(2), minute(3)]

    play(scenario)


class SlowReader:
    """A client that reads nothing until it is let go."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.frames: list[str] = []

    async def send(self, text: str) -> None:
        await self.reads.wait()
        self.frames.append(text)

    async def close(self, code: int, reason: str) -> None:
        raise AssertionError((code, reason))


def test_slow_socket_is_bounded_and_loses_nothing() -> None:
    """Row 28 of the ledger's faults. Shows 9.order.once."""
    count = subscriptions.MOST_NEWS * 5

    async def scenario() -> None:
        here, slow = hub.current(), SlowReader()
        session = Session(here, slow.send, slow.close)
        wish = Subscribe(SeriesId.parse(SERIES), minute(0), supports_batch=False)
        await session.subscribe(wish)
        sending = asyncio.create_task(session.run())
        (subscription,) = here._subscriptions[SERIES]
        async with connected() as quick:
            await quick.subscribe(since=minute(0))
            for number in range(1, count + 1):
                await store([number])
                here.deliver(hint(number))
                assert times([await quick.hear()]) == [minute(number)]
                assert len(subscription.news) <= subscriptions.MOST_NEWS
            slow.reads.set()
            while len(slow.frames) < count:
                await asyncio.sleep(0.01)
        assert [
            f'"candle_time":{minute(n + 1)},' in text for n, text in enumerate(slow.frames)
        ] == [True] * count
        sending.cancel()
        await session.leave()

    play(scenario)


def test_sockets_that_lack_the_same_share_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[object] = []
    page = hub._page

    def counted(series: SeriesId, since: int | None, up_to: int, batch: bool) -> object:
        reads.append(since)
        return page(series, since, up_to, batch)

    async def scenario() -> None:
        async with connected() as one, connected() as two:
            for socket in (one, two):
                await socket.subscribe(since=minute(0))
            await store([1])
            monkeypatch.setattr(hub, "_page", counted)
            await hub.current().sweep()
            assert times([await one.hear(), await two.hear()]) == [minute(1)] * 2
        assert reads == [minute(0)]

    play(scenario)


def test_read_from_before_a_change_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[object] = []
    begun, goes_on = threading.Event(), threading.Event()
    page = hub._page

    def slow(*asked: Any) -> object:
        run = page(*asked)
        reads.append(run)
        if len(reads) == 1:
            begun.set()
            assert goes_on.wait(PATIENCE)
        return run

    async def scenario() -> None:
        await store([0])
        async with connected() as before, connected() as after:
            monkeypatch.setattr(hub, "_page", slow)
            await before.say(type="subscribe", series_id=SERIES)
            assert await asyncio.to_thread(begun.wait, PATIENCE)
            await store([0], price=9.0)
            changed = heads(time=minute(0), generation=1)
            monkeypatch.setattr(hub._Registered, "heads", staticmethod(changed))
            await after.say(type="subscribe", series_id=SERIES)
            try:
                assert (await after.hear())["candle"]["close"] == 9.0
            finally:
                goes_on.set()

    play(scenario)


def test_shutdown_closes_with_1001() -> None:
    """Shows 9.shutdown."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe()
            await hub.close()
            assert await socket.closed() == (1001, "server_shutdown")

    play(scenario)


def test_shutdown_takes_no_more_sockets() -> None:
    async def scenario() -> None:
        await hub.close()
        with pytest.raises(AssertionError):
            async with connected():
                pass

    play(scenario)


def test_candle_is_what_the_hint_carries() -> None:
    odd = Candle(minute(1), 0.1, 1e-7, 1e16, 5e-324, 0.0)
    carried = Hint.from_message(Hint(SERIES, 0, minute(1), (odd,)).message())
    assert repr(carried.candles) == repr((odd,))
