"""/ws/debug: who may listen, what was kept, and what comes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from market import debug, debug_events, hub
from market.debug import RING
from market.debug_events import emit
from tests.market.factories import SERIES
from tests.market.sockets import PATIENCE, Socket, play
from tradecanvas.asgi import application

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def gate(settings: Settings) -> Iterator[None]:
    """Open the gate, with nothing kept."""
    settings.TRADE_CANVAS_ENABLE_DEBUG_API = True
    RING.clear()
    yield
    RING.clear()


def cookie(*, is_staff: bool) -> str:
    """Return the session cookie of a new user."""
    client = Client()
    client.force_login(User.objects.create_user("researcher", is_staff=is_staff))
    name = django_settings.SESSION_COOKIE_NAME
    return f"{name}={client.cookies[name].value}"


def communicator(**headers: str) -> WebsocketCommunicator:
    pairs = [
        (name.encode(), text.encode()) for name, text in ({"host": "testserver"} | headers).items()
    ]
    return WebsocketCommunicator(application, "/ws/debug", headers=pairs)


@asynccontextmanager
async def listening() -> AsyncIterator[Socket]:
    """Open a socket of staff."""
    opened = communicator(cookie=await sync_to_async(cookie)(is_staff=True))
    accepted, _ = await opened.connect(timeout=PATIENCE)
    assert accepted
    try:
        yield Socket(opened)
    finally:
        await opened.disconnect(timeout=PATIENCE)


def names(frame: dict[str, Any]) -> list[str]:
    return [event["event"] for event in frame["events"]]


def test_what_was_kept_comes_first_and_then_each_event() -> None:
    async def scenario() -> None:
        emit("one", "read", SERIES, data={"count": 1})
        emit("two", "write", None, "warn", "look out")
        async with listening() as socket:
            snapshot = await socket.hear()
            assert snapshot["type"] == "debug_snapshot"
            assert names(snapshot) == ["one", "two"]
            emit("three", "write", SERIES)
            frame = await socket.hear()
        assert (frame["type"], frame["event"]["event"]) == ("debug_event", "three")
        first, second = snapshot["events"]
        assert {name: value for name, value in first.items() if name != "ts_ms"} == {
            "source": "backend",
            "pipe": "read",
            "event": "one",
            "series_id": SERIES,
            "level": "info",
            "message": "one",
            "data": {"count": 1},
        }
        assert (second["level"], second["message"], second["series_id"]) == (
            "warn",
            "look out",
            None,
        )
        assert "data" not in second

    play(scenario)


def test_a_subscribe_brings_the_snapshot_again_and_other_frames_nothing() -> None:
    async def scenario() -> None:
        async with listening() as socket:
            assert names(await socket.hear()) == []
            emit("one", "read")
            assert (await socket.hear())["event"]["event"] == "one"
            for text in ("{", "[]", '{"type":"ping"}', ""):
                await socket.say_raw(text)
            await socket.say_raw(data=b"\x00")
            await socket.say(type="subscribe")
            assert names(await socket.hear()) == ["one"]
            emit("two", "read")
            assert (await socket.hear())["event"]["event"] == "two"

    play(scenario)


def test_events_of_other_threads_arrive_in_order() -> None:
    async def scenario() -> None:
        async with listening() as socket:
            await socket.hear()
            for number in range(50):
                await asyncio.to_thread(emit, str(number), "write")
            heard = [(await socket.hear())["event"]["event"] for _ in range(50)]
        assert heard == [str(number) for number in range(50)]

    play(scenario)


def test_the_newest_two_thousand_are_kept() -> None:
    for number in range(2005):
        emit(str(number), "write")

    newest, events = RING.after(0)

    assert len(events) == 2000
    assert (events[0]["event"], events[-1]["event"]) == ("5", "2004")
    assert RING.after(newest - 1)[1] == events[-1:]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"cookie": "sessionid=made-up"},
        {"origin": "http://evil.example"},
        {"host": "localhost"},  # a server that others can reach gives this machine no right
    ],
)
def test_who_may_not_write_may_not_listen(headers: dict[str, str]) -> None:
    async def scenario() -> None:
        accepted, _ = await communicator(**headers).connect(timeout=PATIENCE)
        assert not accepted

    play(scenario)


def test_a_user_who_is_not_staff_may_not_listen() -> None:
    async def scenario() -> None:
        headers = {"cookie": await sync_to_async(cookie)(is_staff=False)}
        accepted, _ = await communicator(**headers).connect(timeout=PATIENCE)
        assert not accepted

    play(scenario)


def test_a_closed_gate_refuses_staff_too(settings: Settings) -> None:
    settings.TRADE_CANVAS_ENABLE_DEBUG_API = False

    async def scenario() -> None:
        headers = {"cookie": await sync_to_async(cookie)(is_staff=True)}
        accepted, _ = await communicator(**headers).connect(timeout=PATIENCE)
        assert not accepted

    play(scenario)


def test_shutdown_closes_the_socket_and_nothing_stays_behind() -> None:
    async def scenario() -> None:
        async with listening() as socket:
            await socket.hear()
            assert RING._listeners
            await hub.close()
            assert await socket.closed() == (1001, "server_shutdown")
        await asyncio.sleep(0)
        assert hub.current().sockets == set()
        assert RING._listeners == set()

    play(scenario)


def test_routine_is_told_only_while_the_gate_is_open(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings.TRADE_CANVAS_ENABLE_DEBUG_API = False
    emit("read.http.world_frame_live", "read", SERIES)
    emit("write.factor.ingest_done", "write", SERIES)
    assert caplog.messages == []

    emit("write.startup.kline_sync.done", "write", data={"series_total": 1})
    emit("read.http.market_candles_ledger_warmup", "read", SERIES, "warn", data={"error": "odd"})

    assert caplog.messages == [
        "write.startup.kline_sync.done None  {'series_total': 1}",
        f"read.http.market_candles_ledger_warmup {SERIES}  {{'error': 'odd'}}",
    ]
    assert RING.after(0)[1] == []


def test_a_failure_to_tell_is_not_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("odd")

    monkeypatch.setattr(debug_events.logger, "log", fail)
    emit("one", "write")

    emit("two", "write", None, "loud")  # type: ignore[arg-type]


def test_data_that_json_cannot_hold_are_shown_as_text() -> None:
    huge, plain = {"data": {"n": 2**70}, "event": "one"}, {"data": {"at": {1}}, "event": "two"}

    frame = debug.snapshot_frame([huge, plain])

    assert '"event":"one"' in frame
    assert str(2**70) in frame
    assert '{"at":"{1}"}' in frame


def test_a_listener_whose_loop_is_gone_is_forgotten() -> None:
    async def listen() -> None:
        RING.join(debug.Listener())

    asyncio.run(listen())
    emit("one", "write")

    assert RING._listeners == set()
