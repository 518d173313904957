"""/ws/market: subscribe, catch-up, unsubscribe, and frames that are not understood."""

from typing import Any

import pytest
from pytest_django import Settings

from market import hub, sessions
from market.groups import Hint
from tests.market.factories import OTHER, SERIES, flat, minute
from tests.market.sockets import PATIENCE, communicate, connected, kinds, play, store, times

pytestmark = pytest.mark.django_db(transaction=True)


def test_server_is_silent_before_a_subscribe() -> None:
    """Shows 9.open.silent and 9.sequence."""

    async def scenario() -> None:
        await store(range(3))
        async with connected() as socket:
            assert await socket.heard() == []

    play(scenario)


def test_catch_up_after_since_comes_as_a_batch() -> None:
    """Shows 9.subscribe.4.after and 9.subscribe.6.batch."""

    async def scenario() -> None:
        await store(range(5))
        async with connected() as socket:
            frames = await socket.subscribe(since=minute(1), supports_batch=True)
        assert kinds(frames) == ["candles_batch"]
        assert times(frames) == [minute(2), minute(3), minute(4)]

    play(scenario)


def test_catch_up_of_one_candle_is_a_batch_too() -> None:
    """Shows 9.subscribe.6.batch."""

    async def scenario() -> None:
        await store(range(2))
        async with connected() as socket:
            frames = await socket.subscribe(since=minute(0), supports_batch=True)
        assert (kinds(frames), times(frames)) == (["candles_batch"], [minute(1)])

    play(scenario)


def test_catch_up_comes_one_by_one_without_batches() -> None:
    """Shows 9.frame.compact, 9.frame.keys, 9.frame.prices and 9.subscribe.6.singles."""

    async def scenario() -> None:
        await store(range(3))
        async with connected() as socket:
            await socket.say(type="subscribe", series_id=SERIES, since=minute(1))
            assert await socket.hear_raw() == (
                '{"type":"candle_closed","series_id":"binance:futures:AAA/USDT:1m","candle":'
                '{"candle_time":1700000120,"open":1.0,"high":1.0,"low":1.0,"close":1.0,'
                '"volume":10.0}}'
            )
            assert await socket.heard() == []

    play(scenario)


def test_without_since_the_newest_come(settings: Settings) -> None:
    """Shows 9.subscribe.4.newest."""
    settings.TRADE_CANVAS_MARKET_WS_CATCHUP_LIMIT = 3

    async def scenario() -> None:
        await store(range(5))
        async with connected() as socket:
            frames = await socket.subscribe(supports_batch=True)
        assert times(frames) == [minute(2), minute(3), minute(4)]

    play(scenario)


def test_more_than_one_page_comes_whole(settings: Settings) -> None:
    """Shows 9.subscribe.4.after and 9.live.database."""
    settings.TRADE_CANVAS_MARKET_WS_CATCHUP_LIMIT = 3

    async def scenario() -> None:
        await store(range(9))
        async with connected() as socket:
            frames = await socket.subscribe(since=minute(0), supports_batch=True)
        assert times(frames) == [minute(number) for number in range(1, 9)]
        assert len(frames) == 3

    play(scenario)


@pytest.mark.parametrize("since", [minute(2), minute(9), 2**63 - 1])
def test_subscribe_that_is_up_to_date_is_silent(since: int) -> None:
    """Shows 9.subscribe.5.empty and 9.sequence."""

    async def scenario() -> None:
        await store(range(3))
        async with connected() as socket:
            assert await socket.subscribe(since=since) == []

    play(scenario)


def test_jump_right_after_since_is_a_gap() -> None:
    """Shows 9.subscribe.5.gap."""

    async def scenario() -> None:
        await store([5, 6])
        async with connected() as socket:
            frames = await socket.subscribe(since=minute(2), supports_batch=True)
        assert kinds(frames) == ["gap", "candles_batch"]
        expected = {"expected_next_time": minute(3), "actual_time": minute(5)}
        assert frames[0] == {"type": "gap", "series_id": SERIES} | expected

    play(scenario)


@pytest.mark.parametrize("since", [0, -60, None])
def test_cursor_that_claims_nothing_has_no_gap(since: int | None) -> None:
    """Shows 9.since.negative and 9.subscribe.5.gap."""

    async def scenario() -> None:
        await store([5, 6])
        async with connected() as socket:
            assert kinds(await socket.subscribe(since=since)) == ["candle_closed"] * 2

    play(scenario)


@pytest.mark.parametrize("supports_batch", [True, False])
def test_holes_inside_the_catch_up_are_not_reported(supports_batch: bool) -> None:
    """Shows 9.subscribe.5.inside."""

    async def scenario() -> None:
        await store([1, 5, 6])
        async with connected() as socket:
            frames = await socket.subscribe(since=minute(0), supports_batch=supports_batch)
        assert "gap" not in kinds(frames)
        assert times(frames) == [minute(1), minute(5), minute(6)]

    play(scenario)


def test_candle_that_is_not_over_waits_for_its_close() -> None:
    """Shows 9.subscribe.4.closed and 9.live.closed."""

    async def scenario() -> None:
        await store(range(3))
        hub.current().clock = lambda: minute(2) + 30.0
        async with connected() as socket:
            assert times(await socket.subscribe()) == [minute(0)]
            await hub.current().sweep()
            assert await socket.heard() == []
            hub.current().clock = lambda: minute(3) + 40.0
            await hub.current().sweep()
            assert times([await socket.hear(), await socket.hear()]) == [minute(1), minute(2)]

    play(scenario)


def test_since_that_is_not_over_yet_is_lowered() -> None:
    """Shows 9.since.clamped and 9.subscribe.6.last_sent."""

    async def scenario() -> None:
        await store(range(3))
        hub.current().clock = lambda: minute(2) + 30.0
        async with connected() as socket:
            assert await socket.subscribe(since=minute(2)) == []
            hub.current().clock = lambda: minute(9) * 1.0
            await hub.current().sweep()
            assert times([await socket.hear()]) == [minute(1)]

    play(scenario)


def test_subscribing_again_repeats_the_catch_up() -> None:
    """Shows 9.again.catch_up and 9.order.once."""

    async def scenario() -> None:
        await store(range(3))
        async with connected() as socket:
            assert times(await socket.subscribe(since=minute(1))) == [minute(2)]
            assert times(await socket.subscribe(since=minute(0))) == [minute(1), minute(2)]
            hub.current().deliver(Hint(SERIES, 0, minute(3), (flat(minute(3)),)))
            assert times([await socket.hear()]) == [minute(3)]
            assert await socket.heard() == []

    play(scenario)


def test_unsubscribe_ends_one_series_and_says_nothing() -> None:
    """Shows 9.unsubscribe.silent."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(SERIES, since=minute(0))
            await socket.subscribe(OTHER, since=minute(0))
            await socket.say(type="unsubscribe", series_id=SERIES)
            assert await socket.heard() == []
            assert set(hub.current()._subscriptions) == {OTHER}
            hub.current().deliver(Hint(SERIES, 0, minute(1), (flat(minute(1)),)))
            hub.current().deliver(Hint(OTHER, 0, minute(1), (flat(minute(1)),)))
            assert (await socket.hear())["series_id"] == OTHER

    play(scenario)


@pytest.mark.parametrize("series_id", [SERIES, "x"])
def test_unsubscribe_of_something_unknown_is_ignored(series_id: str) -> None:
    """Shows 9.unsubscribe.unknown."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.say(type="unsubscribe", series_id=series_id)
            assert await socket.heard() == []

    play(scenario)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"text": "{"}, "invalid message envelope"),
        ({"text": ""}, "invalid message envelope"),
        ({"data": b"\x00\xff"}, "invalid message envelope"),
        ({"text": '{"type":"ping"}'}, "unknown message type: ping"),
        ({"text": '{"type":"subscribe","series_id":"a:b:c:1w"}'}, "invalid series_id"),
    ],
)
def test_socket_survives_a_frame_that_is_not_understood(
    frame: dict[str, Any], message: str
) -> None:
    """Shows 9.error.json, 9.error.binary and 9.error.invalid_series_id."""

    async def scenario() -> None:
        await store(range(2))
        async with connected() as socket:
            await socket.say_raw(**frame)
            expected = {"type": "error", "code": "bad_request", "message": message}
            assert await socket.hear() == expected
            assert times(await socket.subscribe(since=minute(0))) == [minute(1)]

    play(scenario)


def test_message_over_64_kib_closes_with_1009() -> None:
    """Shows 9.limit.message."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.say_raw('{"type":"' + "中" * 22_000 + '"}')
            assert await socket.closed() == (1009, "")

    play(scenario)


def test_socket_has_a_bounded_number_of_subscriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shows 9.limit.subscriptions."""
    monkeypatch.setattr(sessions, "MOST_SUBSCRIPTIONS", 2)

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe("a:b:c:1m")
            await socket.subscribe("a:b:d:1m")
            await socket.say(type="subscribe", series_id="a:b:e:1m")
            assert (await socket.hear())["message"] == "too many subscriptions"
            assert await socket.subscribe("a:b:d:1m") == []
            await socket.say(type="unsubscribe", series_id="a:b:c:1m")
            assert await socket.subscribe("a:b:e:1m") == []

    play(scenario)


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({}, True),
        ({"origin": "http://testserver"}, True),
        ({"origin": "https://testserver"}, True),
        ({"origin": "http://chart.example"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://evil.example", "host": "evil.example"}, False),
    ],
)
def test_only_our_own_pages_may_open_a_socket(
    settings: Settings, headers: dict[str, str], accepted: bool
) -> None:
    """Shows 9.origin.foreign, 9.origin.own and 9.origin.none."""
    settings.TRADE_CANVAS_CORS_ORIGINS = ["http://chart.example"]

    async def scenario() -> None:
        communicator = communicate(**headers)
        assert (await communicator.connect(timeout=PATIENCE))[0] is accepted
        if accepted:
            await communicator.disconnect(timeout=PATIENCE)

    play(scenario)


def test_full_process_refuses_with_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shows 9.limit.sockets."""
    monkeypatch.setattr(hub, "MOST_SOCKETS", 0)

    async def scenario() -> None:
        communicator = communicate()
        communicator.scope["extensions"] = {"websocket.http.response": {}}
        await communicator.send_input({"type": "websocket.connect"})
        start = await communicator.receive_output(timeout=PATIENCE)
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)

    play(scenario)


def test_unknown_path_is_refused() -> None:
    async def scenario() -> None:
        communicator = communicate()
        communicator.scope["path"] = "/ws/nothing"
        assert not (await communicator.connect(timeout=PATIENCE))[0]

    play(scenario)


def test_nothing_of_a_socket_stays_behind() -> None:
    """Shows 9.leave.subscriptions."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe()
            assert len(hub.current().sockets) == 1
        assert not hub.current().sockets
        assert not hub.current()._subscriptions
        assert not hub.current()._joined

    play(scenario)
