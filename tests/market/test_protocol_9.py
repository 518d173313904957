"""/ws/market: what the protocol states, where no other test shows it."""

import asyncio
import threading
from collections.abc import Iterable
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as configured
from pytest_django import Settings

from market import after_read, hub, messages
from market.consumers import LONGEST_MESSAGE
from market.groups import Forming, Hint
from market.messages import Subscribe
from market.models import BackfillProgress
from market.series import SeriesId
from market.sessions import MOST_SUBSCRIPTIONS, Session
from market.subscriptions import AnnouncedHead
from tests.market.factories import OTHER, SERIES, flat, minute
from tests.market.sockets import (
    PATIENCE,
    Socket,
    communicate,
    connected,
    kinds,
    play,
    store,
    times,
)

pytestmark = pytest.mark.django_db(transaction=True)
NOWHERE = "nowhere:spot:X/Y:1m"


def tell(*numbers: int, series_id: str = SERIES) -> None:
    """Let the hub hear of these candles; they need not be stored."""
    candles = tuple(flat(minute(number)) for number in numbers)
    hub.current().deliver(Hint(series_id, 0, minute(numbers[-1]), candles))


def form(number: int, series_id: str = SERIES) -> None:
    """Let the hub hear of a candle that forms."""
    hub.current().show(Forming(series_id, flat(minute(number))))


async def hear(socket: Socket, count: int) -> list[tuple[str, int]]:
    """Return type and time of the next frames; that of a batch or a gap is its first candle's."""
    heard = [await socket.hear() for _ in range(count)]
    return [(each["type"], each.get("actual_time") or times([each])[0]) for each in heard]


def test_no_subprotocol_is_spoken_and_nobody_has_to_sign_in() -> None:
    """Shows 9.open.subprotocol."""

    async def scenario() -> None:
        communicator = communicate()
        communicator.scope["subprotocols"] = ["chart"]
        assert await communicator.connect(timeout=PATIENCE) == (True, None)
        await communicator.disconnect(timeout=PATIENCE)

    play(scenario)


def test_one_socket_hears_many_series() -> None:
    """Shows 9.open.many."""
    names = [SERIES, OTHER, NOWHERE]

    async def scenario() -> None:
        async with connected() as socket:
            for name in names:
                await socket.subscribe(name, since=minute(0))
            for name in names:
                tell(1, series_id=name)
            heard = [(await socket.hear())["series_id"] for _ in names]
            assert sorted(heard) == sorted(names)

    play(scenario)


def test_fields_may_be_null() -> None:
    """Shows 9.fields.defaults."""

    async def scenario() -> None:
        await store(range(2))
        async with connected() as socket:
            without = await socket.subscribe()
            assert kinds(without) == ["candle_closed"] * 2
            assert await socket.subscribe(since=None, supports_batch=None) == without

    play(scenario)


def test_since_true_is_the_time_1() -> None:
    """Shows 9.since.true."""

    async def scenario() -> None:
        await store([0])
        async with connected() as socket:
            gap, _ = await socket.subscribe(since=True)
            assert (gap["expected_next_time"], gap["actual_time"]) == (61, minute(0))

    play(scenario)


def test_since_in_the_far_future_is_kept_until_candles_pass_it() -> None:
    """Shows 9.since.future and 9.subscribe.6.last_sent."""

    async def scenario() -> None:
        await store(range(2))
        hub.current().clock = lambda: minute(2) + 30.0
        async with connected() as socket:
            assert await socket.subscribe(since=minute(20)) == []
            tell(2)
            tell(20)
            tell(21)
            assert await hear(socket, 1) == [("candle_closed", minute(21))]

    play(scenario)


@pytest.mark.parametrize("kind", ["text", "data"])
def test_longest_message_is_answered(kind: str) -> None:
    """Shows 9.limit.message, as far as it has 64 KiB; a binary one is not understood."""
    frame = '{"type":"' + "中" * ((LONGEST_MESSAGE - 11) // 3) + '"}'
    text = frame + " " * (LONGEST_MESSAGE - len(frame.encode()))

    async def scenario() -> None:
        async with connected() as socket:
            if kind == "text":
                await socket.say_raw(text)
                wanted = "unknown message type: 中中"
            else:
                await socket.say_raw(data=b"x" * LONGEST_MESSAGE)
                wanted = messages.ENVELOPE
            assert (await socket.hear())["message"].startswith(wanted)
            await socket.say_raw(text + " ")
            assert await socket.closed() == (1009, "")

    assert len(text.encode()) == 64 * 1024
    play(scenario)


def test_socket_may_have_200_subscriptions() -> None:
    """Shows 9.limit.subscriptions: those that it has stay, and may be renewed."""

    async def scenario() -> None:
        async with connected() as socket:
            for number in range(200):
                assert await socket.subscribe(f"a:b:c{number}:1m", since=minute(0)) == []
            await socket.say(type="subscribe", series_id=SERIES)
            assert await socket.hear_raw() == messages.error(
                "bad_request", "too many subscriptions"
            )
            tell(1, series_id="a:b:c199:1m")
            assert await hear(socket, 1) == [("candle_closed", minute(1))]
            assert await socket.subscribe("a:b:c0:1m", since=minute(0)) == []

    assert MOST_SUBSCRIPTIONS == 200
    play(scenario)


class Someone:
    """A socket, as far as the hub needs to know it."""

    async def close(self, code: int, reason: str) -> None:
        """Close it."""


def test_process_may_have_10_000_sockets() -> None:
    """Shows 9.limit.sockets."""

    async def scenario() -> None:
        here = hub.current()
        here.sockets.update(Someone() for _ in range(9_999))
        async with connected() as last:
            refused = communicate()
            refused.scope["extensions"] = {"websocket.http.response": {}}
            await refused.send_input({"type": "websocket.connect"})
            assert (await refused.receive_output(timeout=PATIENCE))["status"] == 503
            assert await last.heard() == []
        async with connected():
            pass

    play(scenario)


def test_subscribing_again_replaces_the_batches_and_the_cursor() -> None:
    """Shows 9.again.replaces and 9.again.catch_up."""

    async def scenario() -> None:
        await store(range(3))
        async with connected() as socket:
            await socket.subscribe(since=minute(2), supports_batch=True)
            frames = await socket.subscribe(since=minute(0))
            assert (kinds(frames), times(frames)) == (
                ["candle_closed"] * 2,
                [minute(1), minute(2)],
            )
            tell(3, 4)
            assert await hear(socket, 2) == [
                ("candle_closed", minute(3)),
                ("candle_closed", minute(4)),
            ]
            assert await socket.subscribe(since=minute(8), supports_batch=True) == []
            tell(8, 9)
            assert await hear(socket, 1) == [("candles_batch", minute(9))]
            assert len(hub.current()._subscriptions[SERIES]) == 1

    play(scenario)


def test_series_that_nobody_can_follow_is_served_from_what_is_stored(settings: Settings) -> None:
    """Shows 9.subscribe.2.accepted."""
    settings.TRADE_CANVAS_ENABLE_ONDEMAND_INGEST = True

    async def scenario() -> None:
        await store(range(2), series_id=NOWHERE)
        async with connected() as socket:
            assert times(await socket.subscribe(NOWHERE)) == [minute(0), minute(1)]

    play(scenario)


def test_the_newest_5000_come_without_since() -> None:
    """Shows 9.subscribe.4.newest."""

    async def scenario() -> None:
        await store(range(5002))
        async with connected() as socket:
            (frame,) = await socket.subscribe(supports_batch=True)
            assert times([frame]) == [minute(number) for number in range(2, 5002)]

    assert configured.TRADE_CANVAS_MARKET_WS_CATCHUP_LIMIT == 5000
    play(scenario)


@pytest.mark.parametrize("supports_batch", [True, False])
@pytest.mark.parametrize("since", [None, minute(0)])
def test_candle_during_the_catch_up_comes_once(
    since: int | None, supports_batch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shows 9.order.no_since and 9.subscribe.4.live: the hint waits while the head is read."""

    async def scenario() -> None:
        await store(range(2))
        here = hub.current()
        read_head = here.head

        async def commit_first(series_id: str) -> AnnouncedHead:
            await store([2])
            tell(2)
            head = await read_head(series_id)
            tell(2)
            return head

        monkeypatch.setattr(here, "head", commit_first)
        async with connected() as socket:
            frames = await socket.subscribe(since=since, supports_batch=supports_batch)
            assert times(frames) == [minute(n) for n in range(since is not None, 3)]
            tell(3)
            assert await hear(socket, 1) == [("candle_closed", minute(3))]

    play(scenario)


async def after_reads() -> None:
    """Wait until what was to be done after reads is done."""
    done = threading.Event()
    after_read.later(done.set)
    assert await asyncio.to_thread(done.wait, PATIENCE)


@sync_to_async
def wanted() -> Iterable[tuple[str, int, int, str]]:
    """Return what is to be filled."""
    fields = ("series_id", "wanted_start", "wanted_end", "wanted_reason")
    return list(BackfillProgress.objects.values_list(*fields))


@pytest.mark.parametrize("is_on", [True, False])
def test_gap_of_the_catch_up_is_wanted_filled(settings: Settings, is_on: bool) -> None:
    """Shows 9.subscribe.5.filled."""
    settings.TRADE_CANVAS_ENABLE_CCXT_BACKFILL = True
    settings.TRADE_CANVAS_ENABLE_MARKET_GAP_BACKFILL = is_on

    async def scenario() -> None:
        await store([5, 6])
        async with connected() as socket:
            frames = await socket.subscribe(since=minute(2), supports_batch=True)
            assert kinds(frames) == ["gap", "candles_batch"]
            await after_reads()
            assert await wanted() == [(SERIES, minute(3), minute(4), "gap")] * is_on

    play(scenario)


@pytest.mark.parametrize("is_on", [True, False])
def test_gap_of_live_candles_is_wanted_filled(settings: Settings, is_on: bool) -> None:
    """Shows 9.live.gap_filled."""
    settings.TRADE_CANVAS_ENABLE_CCXT_BACKFILL = True
    settings.TRADE_CANVAS_ENABLE_MARKET_GAP_BACKFILL = is_on

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(since=minute(2))
            await store([5])
            tell(5)
            assert await hear(socket, 2) == [("gap", minute(5)), ("candle_closed", minute(5))]
            await socket.say(type="unsubscribe", series_id=SERIES)  # waits for what is being sent
            await socket.heard()
            await after_reads()
            assert await wanted() == [(SERIES, minute(3), minute(4), "gap")] * is_on

    play(scenario)


def test_batch_may_be_left_with_one_candle() -> None:
    """Shows 9.live.batch and 9.live.drop."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(since=minute(1), supports_batch=True)
            tell(0, 1, 2)
            frame = await socket.hear()
            assert (frame["type"], times([frame])) == ("candles_batch", [minute(2)])
            tell(3)
            assert await hear(socket, 1) == [("candle_closed", minute(3))]

    play(scenario)


def test_singles_tell_each_gap_and_a_batch_its_first() -> None:
    """Shows 9.live.gap, 9.live.gap_of_batch and 9.order.gap."""

    async def scenario() -> None:
        async with connected() as one, connected() as other:
            await one.subscribe(since=minute(0))
            await other.subscribe(since=minute(0), supports_batch=True)
            await store([2, 4, 5])
            tell(5)
            assert await hear(one, 5) == [
                ("gap", minute(2)),
                ("candle_closed", minute(2)),
                ("gap", minute(4)),
                ("candle_closed", minute(4)),
                ("candle_closed", minute(5)),
            ]
            gap, batch = await other.hear(), await other.hear()
            assert (gap["expected_next_time"], gap["actual_time"]) == (minute(1), minute(2))
            assert times([batch]) == [minute(2), minute(4), minute(5)]
            for socket in (one, other):
                tell(6)
                assert await hear(socket, 1) == [("candle_closed", minute(6))]

    play(scenario)


def test_forming_candle_is_shown_with_or_without_a_cursor() -> None:
    """Shows 9.forming.sent: also to those who take batches."""

    async def scenario() -> None:
        async with connected() as one, connected() as other:
            await one.subscribe(since=minute(1))
            await other.subscribe(supports_batch=True)
            form(2)
            for socket in (one, other):
                assert await hear(socket, 1) == [("candle_forming", minute(2))]

    play(scenario)


def test_forming_candle_does_not_move_the_cursor() -> None:
    """Shows 9.forming.last_sent: neither is its close left out, nor does it hide a gap."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(since=minute(1))
            form(2)
            assert await hear(socket, 1) == [("candle_forming", minute(2))]
            tell(2)
            assert await hear(socket, 1) == [("candle_closed", minute(2))]
            form(4)
            assert await hear(socket, 1) == [("candle_forming", minute(4))]
            await store([5])
            tell(5)
            assert await hear(socket, 2) == [("gap", minute(5)), ("candle_closed", minute(5))]

    play(scenario)


@pytest.mark.parametrize("number", [1, 2])
def test_no_candle_forms_after_its_close(number: int) -> None:
    """Shows 9.forming.after_close: what the other series shows waited behind it."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(SERIES, since=minute(1))
            await socket.subscribe(OTHER, since=minute(1))
            tell(2)
            assert await hear(socket, 1) == [("candle_closed", minute(2))]
            form(number)
            form(2, OTHER)
            assert (await socket.hear())["series_id"] == OTHER

    play(scenario)


def test_candle_that_formed_before_its_close_is_not_shown_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Shows 9.forming.after_close: both wait for the socket."""
    monkeypatch.setattr(Session, "pass_on", lambda *_: False)

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(since=minute(1))
            form(2)
            tell(2)
            form(3)
            assert await hear(socket, 2) == [
                ("candle_closed", minute(2)),
                ("candle_forming", minute(3)),
            ]
            form(4)
            tell(3, 4)
            tell(5)
            assert await hear(socket, 3) == [("candle_closed", minute(n)) for n in (3, 4, 5)]

    play(scenario)


class Broken:
    """A connection that is lost once it has taken so many frames."""

    def __init__(self, error: Exception, frames: int) -> None:
        self.error, self.left = error, frames
        self.codes: list[int] = []

    async def send(self, _: str) -> None:
        """Take a frame, or fail."""
        if not self.left:
            raise self.error
        self.left -= 1

    async def close(self, code: int, _: str) -> None:
        """Remember the code."""
        self.codes.append(code)


@pytest.mark.parametrize(
    ("error", "codes"), [(ConnectionError("lost"), []), (RuntimeError("odd"), [1011])]
)
def test_send_that_fails_drops_that_socket_alone(error: Exception, codes: list[int]) -> None:
    """Shows 9.leave.failed_send: what is lost already needs no close."""

    async def scenario() -> None:
        broken = Broken(error, frames=1)
        session = Session(hub.current(), broken.send, broken.close)
        await session.subscribe(Subscribe(SeriesId.parse(SERIES), minute(0), supports_batch=False))
        sending = asyncio.create_task(session.run())
        async with connected() as socket:
            await socket.subscribe(since=minute(0))
            for number in (1, 2, 3):
                tell(number)
                assert await hear(socket, 1) == [("candle_closed", minute(number))]
            await asyncio.wait_for(sending, PATIENCE)
            assert (broken.left, broken.codes) == (0, codes)
            await session.leave()
            tell(4)
            assert await hear(socket, 1) == [("candle_closed", minute(4))]

    play(scenario)


@pytest.mark.parametrize("again", [True, False])
def test_news_that_waited_for_a_subscription_that_ended_are_not_sent(
    again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shows 9.unsubscribe.silent and 9.again.replaces."""
    monkeypatch.setattr(Session, "pass_on", lambda *_: False)
    wish = Subscribe(SeriesId.parse(SERIES), minute(0), supports_batch=False)
    last = Subscribe(SeriesId.parse(OTHER), minute(0), supports_batch=False)

    async def scenario() -> None:
        frames: list[str] = []
        came = asyncio.Event()

        async def send(text: str) -> None:
            frames.append(text)
            if OTHER in text:
                came.set()

        session = Session(hub.current(), send, Someone().close)
        await session.subscribe(wish)
        await session.subscribe(last)
        tell(1)
        if again:
            await session.subscribe(replace(wish, since=minute(5)))
        else:
            await session.unsubscribe(SERIES)
        tell(1, series_id=OTHER)
        sending = asyncio.create_task(session.run())
        await asyncio.wait_for(came.wait(), PATIENCE)
        assert frames == [messages.candle_closed(OTHER, flat(minute(1)))]
        sending.cancel()
        await session.leave()

    play(scenario)
