"""Bounds how many requests are worked on at once; the others wait, without thread or connection.

Under ASGI Django gives each request a thread of its own, and each thread has its own connections:
a burst of requests would run out of either. A turn begins when the body is read and ends before
the answer is sent, so a slow client holds none. Those who write take turns of their own: where they
wait for each other, nobody who reads waits with them.
"""

import asyncio
from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.db import close_old_connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

READS = frozenset({"GET", "HEAD", "OPTIONS"})
Next = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def take_turns(get_response: Next) -> Next:
    """Let at most `TRADE_CANVAS_BLOCKING_WORKERS` reads, and as many writes, have their turn."""
    if not iscoroutinefunction(get_response):
        return get_response
    reads = asyncio.Semaphore(settings.TRADE_CANVAS_BLOCKING_WORKERS)
    writes = asyncio.Semaphore(settings.TRADE_CANVAS_BLOCKING_WORKERS)

    async def in_turn(request: HttpRequest) -> HttpResponseBase:
        async with reads if request.method in READS else writes:
            try:
                return await get_response(request)
            finally:
                await sync_to_async(close_old_connections)()

    return in_turn
