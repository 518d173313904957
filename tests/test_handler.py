"""How requests are served: one thread each from first middleware to view, and streams that end."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from pytest_django import Settings

from tradecanvas.handler import OneThreadHandler

THREADS: list[str] = []
CLOSED: list[str] = []


def note(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Any:
    """Note in which thread a request is, before and after the view."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        THREADS.append(threading.current_thread().name)
        response = get_response(request)
        THREADS.append(threading.current_thread().name)
        return response

    return middleware


def plain(request: HttpRequest) -> HttpResponse:
    THREADS.append(threading.current_thread().name)
    return HttpResponse("plain")


async def parts() -> AsyncIterator[str]:
    try:
        for number in range(1000):
            yield f"{number};"
            await asyncio.sleep(0.01)
    finally:
        CLOSED.append("parts")


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts())


async def broken_parts() -> AsyncIterator[str]:
    yield "one"
    raise ArithmeticError


async def broken(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(broken_parts())


urlpatterns = [path("plain", plain), path("stream", stream), path("broken", broken)]


@pytest.fixture
def handler(settings: Settings) -> OneThreadHandler:
    """Return a handler of the views above."""
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [f"{__name__}.note"]
    THREADS.clear()
    CLOSED.clear()
    return OneThreadHandler()


def served(
    handler: OneThreadHandler, where: str, method: str = "GET", leave_after: int = 9
) -> list[Any]:
    """Serve a request to a client that leaves after so many messages; return the messages."""
    sent: list[Any] = []

    async def serve() -> None:
        left = asyncio.Event()
        body = iter([{"type": "http.request"}])

        async def receive() -> Any:
            if message := next(body, None):
                return message
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if len(sent) == leave_after:
                left.set()

        scope = {"type": "http", "method": method, "path": where, "query_string": b""}
        await asyncio.wait_for(handler(scope | {"headers": []}, receive, send), 10)

    async_to_sync(serve)()
    return sent


@pytest.mark.parametrize(("method", "pool"), [("GET", "read"), ("HEAD", "read"), ("PUT", "write")])
def test_middleware_and_view_share_one_thread_of_their_pool(
    method: str, pool: str, handler: OneThreadHandler
) -> None:
    start, _ = served(handler, "/plain", method)

    assert start["status"] == 200
    assert (len(THREADS), set(THREADS)) == (3, {f"{pool}_0"})


def test_an_answer_that_streams_ends_when_its_client_leaves(handler: OneThreadHandler) -> None:
    sent = served(handler, "/stream", leave_after=5)

    assert 5 <= len(sent) < 20
    assert CLOSED == ["parts"]


def test_an_answer_that_breaks_while_it_streams_is_an_error(handler: OneThreadHandler) -> None:
    with pytest.raises(ArithmeticError):
        served(handler, "/broken")


def test_threads_that_last_keep_their_connections(handler: OneThreadHandler) -> None:
    served(handler, "/plain")
    served(handler, "/plain")

    assert set(THREADS) == {"read_0"}
