"""The most traded symbols as server-sent events."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import orjson

from market.top_markets import TopMarkets, UpstreamError, Wish


async def events(
    top: TopMarkets,
    wish: Wish,
    *,
    interval: float,
    most: int,
    pause: Callable[[float], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    """Yield server-sent events: the symbols when they changed, errors, and pings between them.

    `pause` waits so many seconds and says whether to go on.
    """
    sent: object = None
    told = 0
    while True:
        event = b""
        try:
            answer = await top.read(wish)
            if answer["items"] != sent:
                sent, event = answer["items"], changed_event(answer)
        except UpstreamError as error:
            event = error_event(error)
        if event:
            told += 1
            yield event
        if most and told >= most:
            return
        yield f": ping {int(time.time())}\n\n".encode()
        if not await pause(interval):
            return


def changed_event(answer: Mapping[str, Any]) -> bytes:
    """Return the event that brings an answer."""
    data = orjson.dumps(answer, option=orjson.OPT_SORT_KEYS)
    return b"id: %d\nevent: top_markets\ndata: %s\n\n" % (answer["generated_at_ms"], data)


def error_event(error: UpstreamError) -> bytes:
    """Return the event that says what went wrong."""
    about = {"at_ms": time.time_ns() // 1_000_000, "message": error.detail, "type": "error"}
    return b"event: error\ndata: %s\n\n" % orjson.dumps(about)
