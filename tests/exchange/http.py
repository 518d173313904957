"""The REST door: HTTP/1.1 over asyncio, with the faults of REST, and a back door for tests."""

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from tests.exchange import pages
from tests.exchange.connection import reset
from tests.exchange.faults import RestDown, RestPage, RestSlow, RestStatus, from_record
from tests.exchange.frames import compact
from tests.exchange.rest import Answer, venue_of

if TYPE_CHECKING:
    from tests.exchange.server import Exchange

BACK_DOOR = "/-/"
CODES = {429: -1003, 418: -1003, 403: -2015}


async def serve_http(
    exchange: "Exchange", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer the requests of one client until it goes, or a fault breaks the connection."""
    try:
        while head := await _head(reader):
            target = urlsplit(head.split(" ")[1])
            answer = await _answer(exchange, target.path, dict(parse_qsl(target.query)))
            if answer is None:
                reset(writer)
                return
            writer.write(_bytes(answer))
            await writer.drain()
    finally:
        writer.close()


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return ""


async def _answer(exchange: "Exchange", path: str, query: dict[str, str]) -> Answer | None:
    if path.startswith(BACK_DOOR):
        return Answer(200, await _back_door(exchange, path.removeprefix(BACK_DOOR), query))
    venue, symbol = venue_of(path), query.get("symbol", "")
    if slow := exchange.take(RestSlow, venue, symbol, path=path):
        await asyncio.sleep(slow.delay)
    if exchange.take(RestDown, venue, symbol, path=path):
        answer = None
    elif bad := exchange.take(RestStatus, venue, symbol, path=path):
        answer = _refusal(bad)
    else:
        answer = _page(exchange, path, query)
    facts = {"status": answer and answer.status, "weight": answer.weight if answer else 0}
    exchange.log.add("rest", exchange.clock.now(), venue, path=path, query=query, **facts)
    return answer


def _refusal(fault: RestStatus) -> Answer:
    retry = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if fault.status not in CODES:
        return Answer(fault.status, "<html>Service unavailable</html>", retry)
    return Answer(fault.status, {"code": CODES[fault.status], "msg": "Too many requests."}, retry)


def _page(exchange: "Exchange", path: str, query: dict[str, str]) -> Answer:
    """Return the right answer, or a page with something wrong in it."""
    answer = exchange.rest.answer(path, query)
    if answer.status != 200 or not path.endswith("/klines"):
        return answer
    series = venue_of(path), query["symbol"], query["interval"]
    before = exchange.pages.get(series, [])
    if not (bad := exchange.take(RestPage, series[0], series[1], path=path)):
        exchange.pages[series] = answer.body
        return answer
    body = pages.KINDS[bad.kind](answer.body, before, pages.interval_seconds(query) * 1000)
    return Answer(200, body, answer.headers, answer.weight)


async def _back_door(exchange: "Exchange", name: str, query: dict[str, str]) -> Any:
    """Let a test in another process look, move the clock, and let faults happen."""
    if name == "log":
        return [entry.record() for entry in exchange.log][int(query.get("after", "0")) :]
    if name == "fault":
        exchange.inject(from_record(json.loads(query["record"])))
    elif name == "advance":
        await exchange.advance(float(query["seconds"]))
    elif name == "clear":
        exchange.book.clear()
    return {"now": exchange.clock.now()}


def _bytes(answer: Answer) -> bytes:
    text = isinstance(answer.body, str)
    body = (answer.body if text else compact(answer.body)).encode()
    headers = {
        "Content-Type": "text/html" if text else "application/json;charset=UTF-8",
        "Content-Length": str(len(body)),
        **answer.headers,
    }
    status = f"HTTP/1.1 {answer.status} {_phrase(answer.status)}"
    lines = [status, *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase
