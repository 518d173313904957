"""The exchange: two stream doors and one for REST on loopback, a clock, a market, and faults."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from market.candles import Candle
from tests.exchange import pages
from tests.exchange.clock import START, Clock, Schedule
from tests.exchange.connection import Connection, reset
from tests.exchange.faults import (
    CloseAtOnce,
    Drip,
    Fault,
    FaultBook,
    HalfOpen,
    HandshakeStatus,
    NoHandshake,
    NoPongs,
    OfConnection,
    OldFrames,
    Poison,
    Refuse,
    Silence,
    Strike,
)
from tests.exchange.frames import Event, compact
from tests.exchange.http import serve_http
from tests.exchange.log import Log
from tests.exchange.market import Listing, Market
from tests.exchange.player import Player
from tests.exchange.poison import poisoned
from tests.exchange.rest import Rest
from tests.exchange.rules import RULES, Rules, count_attempts, count_messages, ping_later
from tests.exchange.strikes import strike
from tests.exchange.subscriptions import Route, answer
from tests.exchange.wire import Recorded

VENUES = ("futures", "spot")
STICKING: tuple[type[OfConnection], ...] = (HalfOpen, Silence, NoPongs, Drip)
AnyFault = TypeVar("AnyFault", bound=Fault)


@dataclass(eq=False)
class Exchange:
    """A Binance-shaped exchange, from `async with` to its end.

    `doors` names the ports, 0 is any free one. `settings` is what points the project at it:

        async with Exchange.walking("BTCUSDT", seed=3) as exchange:
            ...connect to exchange.url("futures") + "/market/ws/btcusdt@kline_1m"
            exchange.inject(LostClose(venue="futures"))
            await exchange.advance(65)
            assert exchange.log.count("rest", path="/fapi/v1/klines") == 1
    """

    market: Market = field(default_factory=lambda: Market.walking(Clock().start))
    clock: Clock = field(default_factory=Clock)
    faults: Iterable[Fault] = ()
    rules: dict[str, Rules] = field(default_factory=lambda: dict(RULES))
    doors: dict[str, int] = field(default_factory=lambda: {"futures": 0, "spot": 0, "rest": 0})

    def __post_init__(self) -> None:
        self.log = Log()
        self.book = FaultBook()
        self.schedule = Schedule(self.clock)
        self.rest = Rest(self.market, self.clock)
        self.player = Player(
            self.market, self.schedule, self.book, self.log, self.wanted, self.tell
        )
        self.connections: dict[int, Connection] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self._servers: dict[str, asyncio.Server] = {}
        self.pages: dict[tuple[str, str, str], list[pages.Row]] = {}
        self._attempts = 0

    @classmethod
    def walking(
        cls,
        *symbols: str,
        seed: int = 0,
        speed: float | None = None,
        start: float = START,
        history: int = 3000,
    ) -> Self:
        """Return an exchange of random walks of these symbols in both markets.

        Its clock stands still until `advance`, or runs with this speed.
        """
        market = Market.walking(start, *symbols, seed=seed, history=history)
        return cls(market, Clock(start, speed))

    async def __aenter__(self) -> Self:
        for door in self.doors:
            await self.open_door(door)
        self.player.start()
        for fault in self.faults:
            self.inject(fault)
        if not self.clock.by_hand:
            self.spawn(self.schedule.play())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for door in list(self._servers):
            self.close_door(door)
        for connection in list(self.connections.values()):
            connection.drop()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    # For tests.

    @property
    def settings(self) -> dict[str, str]:
        """The settings that point the project at this exchange."""
        rest = f"http://127.0.0.1:{self.doors['rest']}"
        return {
            "TRADE_CANVAS_BINANCE_FUTURES_WS_BASE": f"{self.url('futures')}/market",
            "TRADE_CANVAS_BINANCE_SPOT_WS_BASE": self.url("spot"),
            "TRADE_CANVAS_BINANCE_FUTURES_REST_BASE": rest,
            "TRADE_CANVAS_BINANCE_SPOT_REST_BASE": rest,
        }

    def url(self, door: str) -> str:
        """Return the address of a door, without a path."""
        scheme = "http" if door == "rest" else "ws"
        return f"{scheme}://127.0.0.1:{self.doors[door]}"

    def inject(self, fault: Fault) -> None:
        """Let a fault happen: at its time, or from now on if that has passed."""
        start = max(self.clock.start + fault.at, self.clock.now())
        if isinstance(fault, Strike):
            self.schedule.at(start, lambda now: strike(self, fault, now))
        else:
            self.book.add(fault, start)

    async def advance(self, seconds: float) -> None:
        """Move the clock by hand; what is due on the way happens."""
        await self.schedule.advance(seconds)

    async def until(self, what: str, count: int = 1, *, within: float = 10.0, **facts: Any) -> None:
        """Wait in real time until the log holds that many such entries."""
        async with asyncio.timeout(within):
            while self.log.count(what, **facts) < count:
                await asyncio.sleep(0.002)

    def candles(
        self, venue: str, symbol: str, interval: str = "1m", *, since: int = 0
    ) -> list[Candle]:
        """Return the true candles that are closed by now, with the values that a client reads."""
        wanted = pages.Asked(interval, sys.maxsize, since * 1000)
        now = self.clock.now()
        rows = pages.page(self.market.listings[venue, symbol], wanted, now)
        return [
            Candle(int(row[0]) // 1000, *map(float, row[1:6]))
            for row in rows
            if int(row[6]) < now * 1000
        ]

    # The doors.

    async def open_door(self, door: str) -> None:
        """Listen at a door: at its port, or at a free one that becomes its port."""
        if door in self._servers:
            return
        serve = self._rest if door == "rest" else self._stream(door)
        server = await asyncio.start_server(serve, "127.0.0.1", self.doors[door])
        self._servers[door] = server
        self.doors[door] = server.sockets[0].getsockname()[1]

    def close_door(self, door: str) -> None:
        """Listen no more at a door; connections stay."""
        if server := self._servers.pop(door, None):
            server.close()

    def spawn(self, work: Any) -> None:
        """Let something go on beside, until the exchange ends."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def take(self, kind: type[AnyFault], venue: str, symbol: str = "", **facts: Any) -> Any:
        """Return the fault of this kind that strikes now, if one does, and note it."""
        now = self.clock.now()
        fault = self.book.take(kind, now, venue, symbol, **facts)
        if fault is not None:
            self.log.strikes(fault, now, venue, **facts)
        return fault

    async def _rest(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._watched():
            await serve_http(self, reader, writer)

    def _stream(self, venue: str) -> Any:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with self._watched():
                await self._visit(venue, reader, writer)

        return serve

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """End the task of this visitor with the exchange; a broken connection is no error."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                yield
        finally:
            self.tasks.discard(task)

    async def _visit(
        self, venue: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._attempts += 1
        self.log.add("attempt", self.clock.now(), venue, number=self._attempts)
        count_attempts(self, venue)
        if self.take(Refuse, venue):
            self.log.add("refused", self.clock.now(), venue, number=self._attempts)
            reset(writer)
            return
        connection = Connection(self._attempts, venue, reader, writer)
        self.connections[connection.number] = connection
        mute = self.take(NoHandshake, venue) is not None
        try:
            await self._listen(connection, mute=mute)
        finally:
            self.connections.pop(connection.number, None)
            self._note_end(connection)
            connection.drop()

    async def _listen(self, connection: Connection, *, mute: bool) -> None:
        while data := await connection.reader.read(65536):
            now = self.clock.now()
            if mute or connection.suffers(HalfOpen, now):
                continue
            if connection.path:
                self.afflict(connection, now)
            for event in connection.receive(data, now):
                self._hear(connection, event, now)
            if connection.protocol.eof_sent:
                return

    def _hear(self, connection: Connection, event: Request | Frame, now: float) -> None:
        if isinstance(event, Request):
            self._welcome(connection, event, now)
            return
        if connection.heard(event):
            self.log.add("pong", now, connection.venue, number=connection.number)
        count_messages(self, connection, now)
        if event.opcode is Opcode.TEXT:
            self._obey(connection, bytes(event.data).decode(errors="replace"), now)

    def _welcome(self, connection: Connection, request: Request, now: float) -> None:
        venue, route = connection.venue, Route(connection.venue, request.path)
        protocol = connection.protocol
        if status := self.take(HandshakeStatus, venue):
            response = protocol.reject(status.status, "no\n")
            if status.retry_after is not None:
                response.headers["Retry-After"] = str(status.retry_after)
        elif not route.known:
            response = protocol.reject(404, "no such stream\n")
        else:
            response = protocol.accept(request)
        protocol.send_response(response)
        connection.flush(now)
        if response.status_code == 101:
            self._opened(connection, route, request.path, now)

    def _opened(self, connection: Connection, route: Route, path: str, now: float) -> None:
        venue, number = connection.venue, connection.number
        connection.path, connection.combined, connection.live = path, route.combined, route.live
        self.log.add("opened", now, venue, number=number, path=path)
        if close := self.take(CloseAtOnce, venue):
            connection.close(now, close.code)
            return
        self.afflict(connection, now)
        self._subscribed(connection, route.streams, now)
        ping_later(self, connection, now)
        rules = self.rules[venue]
        self.schedule.at(now + rules.lifetime, lambda due: connection.close(due, 1001, "24 hours"))

    def _obey(self, connection: Connection, text: str, now: float) -> None:
        silence = connection.suffers(Silence, now)
        if silence is not None and not silence.acknowledge:
            return
        before = list(connection.streams)
        reply, method = answer(connection.streams, text)
        connection.send(compact(reply), now)
        if method == "SUBSCRIBE":
            added = [stream for stream in connection.streams if stream not in before]
            self._subscribed(connection, added, now)
        elif method:
            facts = {"number": connection.number, "streams": list(connection.streams)}
            self.log.add(method.partition("_")[0].lower(), now, connection.venue, **facts)

    def _subscribed(self, connection: Connection, streams: list[str], now: float) -> None:
        connection.streams.update(dict.fromkeys(streams))
        if not streams:
            return
        venue = connection.venue
        self.log.add("subscribe", now, venue, number=connection.number, streams=streams)
        if len(connection.streams) > self.rules[venue].streams:
            self.log.add("breach", now, venue, number=connection.number, rule="streams")
            connection.close(now, 1008, "too many streams")
        elif old := self.take(OldFrames, venue):
            self._tell_again(connection, streams, now - old.age, now)

    def _tell_again(
        self, connection: Connection, streams: list[str], since: float, now: float
    ) -> None:
        """Tell one connection what was told since then."""
        for listing in self.market.of(connection.venue):
            for opened, step in self.player.recent(listing, since, now):
                for interval, event in self.player.events(listing, opened, step):
                    stream = stream_name(listing.symbol, interval)
                    if stream in streams:
                        connection.tell(stream, compact(event), now)

    def _note_end(self, connection: Connection) -> None:
        ours, theirs = connection.protocol.close_sent, connection.protocol.close_rcvd
        codes = {"sent": ours and ours.code, "received": theirs and theirs.code}
        facts = {"number": connection.number, "path": connection.path}
        self.log.add("ended", self.clock.now(), connection.venue, **facts, **codes)

    # The streams.

    def afflict(self, connection: Connection, now: float) -> None:
        """Let a connection catch what is about."""
        for kind in STICKING:
            if kind not in connection.afflictions:
                fault = self.take(kind, connection.venue, frames=connection.frames)
                if fault is not None:
                    until = None if fault.seconds is None else now + fault.seconds
                    connection.afflictions[kind] = (fault, until)

    def wanted(self, venue: str, symbol: str) -> list[str]:
        """Return the intervals of a symbol that any client listens to."""
        head = symbol.lower() + "@kline_"
        streams = (c.streams for c in self.connections.values() if c.venue == venue)
        names = {name for each in streams for name in each if name.startswith(head)}
        return sorted(name.removeprefix(head) for name in names)

    def tell(self, listing: Listing, interval: str, event: Event) -> None:
        """Hand an event to all who listen; poison may come before it."""
        stream, now = stream_name(listing.symbol, interval), self.clock.now()
        hearing = [
            c
            for c in self.connections.values()
            if c.venue == listing.venue and stream in c.streams and c.open
        ]
        if not hearing:
            return
        texts: list[str | bytes] = [compact(event)]
        while bad := self.take(Poison, listing.venue, listing.symbol):
            texts.insert(-1, poisoned(bad.kind, event))
        for connection in hearing:
            self.afflict(connection, now)
            for text in texts:
                connection.tell(stream, text, now)

    def replay(
        self, frames: list[Recorded], *, faster: float = 1.0, everything: bool = False
    ) -> None:
        """Let recorded frames come from now on in their own timing, or so many times faster.

        Each goes to the clients that asked for its stream, or `everything` to all.
        """
        now, first = self.clock.now(), frames[0].received
        for frame in frames:
            due = now + (frame.received - first) / faster
            self.schedule.at(due, partial(self._relay, frame, everything))

    def _relay(self, recorded: Recorded, everything: bool, now: float) -> None:
        venue = recorded.market
        for connection in list(self.connections.values()):
            asked = everything or recorded.stream in connection.streams
            if asked and connection.venue == venue and connection.path:
                self.afflict(connection, now)
                connection.tell_recorded(recorded, now)

    def describe(self) -> str:
        """Return as JSON where the exchange is and what time it has."""
        clock = {"start": self.clock.start, "began": self.clock.began, "speed": self.clock.speed}
        return json.dumps({"doors": self.doors, "settings": self.settings, "clock": clock})


def stream_name(symbol: str, interval: str) -> str:
    """Return the name of a stream of candles.

    >>> stream_name("BTCUSDT", "1m")
    'btcusdt@kline_1m'
    """
    return f"{symbol.lower()}@kline_{interval}"
