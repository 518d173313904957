"""Runs each HTTP request whole, middleware and view, in one thread of a bounded pool.

Django's own handler gives each request a thread of its own and changes between it and the event
loop for every middleware. Here a request changes threads once, and the threads last, so their
database connections do, too. Who waits for a thread holds neither thread nor connection; those who
write have threads of their own, so that nobody who reads waits with them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from io import BytesIO
from typing import Any, cast

from django.conf import settings
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix
from servestatic.middleware import ServeStaticMiddleware

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

READS = frozenset({"GET", "HEAD", "OPTIONS"})


class WholeFiles(ServeStaticMiddleware):  # type: ignore[misc]  # the library has no types
    """Reads each file at once, which blocks from threads of their own would make five times longer.

    All are small, and the chart page waits for two dozen of them.
    """

    @staticmethod
    async def aserve(static_file: Any, request: HttpRequest) -> HttpResponseBase:
        """Make the answer for a file, or for where it went."""
        found = static_file.get_response(request.method, request.META)
        with found.file or BytesIO() as file:
            body = file.read()
        response = HttpResponse(body, status=int(found.status))
        del response["Content-Type"]  # that of Django's; the file brings its own
        for name, text in found.headers:
            if text is not None:
                response[name] = text
        return response


class OneThreadHandler(ASGIHandler):
    """Serves files from the event loop, and everything else from two pools of threads.

    Each has `TRADE_CANVAS_BLOCKING_WORKERS`: one is for those who read, one for those who write. A
    thread is held from when the body is read until the answer is made, so a slow client holds none.
    An answer that streams its body must not read the database while it does.
    """

    def __init__(self) -> None:
        super().__init__()
        size = settings.TRADE_CANVAS_BLOCKING_WORKERS
        self._reads = ThreadPoolExecutor(size, thread_name_prefix="read")
        self._writes = ThreadPoolExecutor(size, thread_name_prefix="write")
        self._files = WholeFiles(self._in_thread)

    def load_middleware(self, is_async: bool = False) -> None:
        """Load every middleware in its synchronous form."""
        super().load_middleware(is_async=False)

    async def handle(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with body:
            request, refusal = self.create_request(scope, body)
            found = refusal if request is None else await self._files(request)
            response = cast("HttpResponseBase", found)  # one of the two there always is
            if response.streaming:
                await self._stream(response, receive, send)
            else:
                await self.send_response(response, send)

    async def _in_thread(self, request: ASGIRequest) -> HttpResponseBase:
        """Wait for a thread, and for the answer that it makes."""
        pool = self._reads if request.method in READS else self._writes
        loop = asyncio.get_running_loop()
        work = partial(copy_context().run, self._respond, request)
        return await loop.run_in_executor(pool, work)

    def _respond(self, request: ASGIRequest) -> HttpResponseBase:
        """Make the answer; connections that broke or grew old are closed before and after."""
        set_script_prefix(request.script_name or "/")
        signals.request_started.send(sender=type(self), scope=request.scope)
        response = self.get_response(request)
        if not response.streaming:
            response.close()
        return response

    async def _stream(self, response: HttpResponseBase, receive: Receive, send: Send) -> None:
        """Send parts until there are no more, or the client leaves."""
        sending = asyncio.ensure_future(self.send_response(response, send))
        leaving = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            ended = await asyncio.gather(sending, leaving, return_exceptions=True)
            response.close()
        if isinstance(ended[0], Exception):
            raise ended[0]
