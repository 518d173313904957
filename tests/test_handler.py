"""How requests are served: one thread each, files at once, and streams that end."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from pytest_django import Settings

from tradecanvas.handler import OneThreadHandler

THREADS: list[str] = []
CLOSED: list[str] = []
FILE = "/static/tc/app/series.js"


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
    handler: OneThreadHandler,
    where: str,
    method: str = "GET",
    leave_after: int = 9,
    headers: Sequence[tuple[bytes, bytes]] = (),
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
        await asyncio.wait_for(handler(scope | {"headers": headers}, receive, send), 10)

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


def header(start: Any, name: str) -> str | None:
    return dict(start["headers"]).get(name.encode(), b"").decode() or None


@pytest.mark.parametrize("name", ["tc/style.css", "tc/app/series.js"])
def test_a_file_comes_whole_from_the_event_loop(name: str, handler: OneThreadHandler) -> None:
    file = (Path(str(django_settings.BASE_DIR)) / "static" / name).read_bytes()

    start, *parts = served(handler, f"/static/{name}")

    assert start["status"] == 200
    assert b"".join(part["body"] for part in parts) == file
    assert header(start, "Content-Length") == str(len(file))
    assert (header(start, "Content-Type") or "").split(";")[0] in {"text/css", "text/javascript"}
    assert header(start, "X-Content-Type-Options") == "nosniff"
    assert header(start, "ETag")
    assert THREADS == []


def test_a_file_that_is_known_is_not_sent_again(handler: OneThreadHandler) -> None:
    etag = dict(served(handler, FILE)[0]["headers"])[b"ETag"]

    start, body = served(handler, FILE, headers=[(b"if-none-match", etag)])

    assert (start["status"], body["body"], header(start, "Content-Type")) == (304, b"", None)


def test_only_part_of_a_file_is_sent_when_asked(handler: OneThreadHandler) -> None:
    start, body = served(handler, FILE, headers=[(b"range", b"bytes=3-6")])

    whole = served(handler, FILE)[1]["body"]
    assert (start["status"], body["body"]) == (206, whole[3:7])
    assert header(start, "Content-Length") == "4"
    assert header(start, "Content-Range") == f"bytes 3-6/{len(whole)}"


def test_the_head_of_a_file_has_no_body(handler: OneThreadHandler) -> None:
    start, body = served(handler, FILE, "HEAD")

    assert (start["status"], body["body"]) == (200, b"")
    assert header(start, "Content-Length") == header(served(handler, FILE)[0], "Content-Length")


def test_a_file_is_only_read(handler: OneThreadHandler) -> None:
    start, body = served(handler, FILE, "POST")

    assert (start["status"], body["body"]) == (405, b"")
    assert header(start, "Allow") == "GET, HEAD"


def test_what_is_no_file_is_asked_of_the_views(handler: OneThreadHandler) -> None:
    start, *_ = served(handler, "/static/tc/none.js")

    assert start["status"] == 404
