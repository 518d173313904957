"""The HTTP clients of a run: each asks in its own thread, and goes on from what it was told."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from django.conf import settings
from django.core.handlers.base import BaseHandler
from django.db import connections
from django.http import HttpResponse
from django.test import RequestFactory, override_settings

from tests.ledger.history.records import Answer, Question, Reply

WINDOWS = (12, 30)
STEP = 60
Json = dict[str, Any]


class Tally:
    """How many answers there are, for those who wait for a number of them."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()

    def add(self) -> None:
        """Count one more."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait_for(self, count: float) -> None:
        """Return when there are so many."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._count >= count, timeout=120)


class Server:
    """The routes and their middleware, in this process; each thread keeps its connections.

    That of static files is left out: it is asynchronous, and would make a thread for each request.
    """

    def __init__(self) -> None:
        self._handler = BaseHandler()
        sync = [name for name in settings.MIDDLEWARE if not name.startswith("servestatic.")]
        with override_settings(MIDDLEWARE=sync):
            self._handler.load_middleware()
        self._requests = RequestFactory(headers={"host": "testserver"})

    def get(self, route: str, query: dict[str, Any]) -> Reply:
        """Return what a read is answered."""
        response = self._handler.get_response(self._requests.get(f"/api/{route}", query))
        assert isinstance(response, HttpResponse)
        return Reply(response.status_code, response.content)


class Reader:
    """One client: asks at random, with the cursors that it was given before."""

    def __init__(self, client: int, series_id: str, times: Sequence[int], seed: int) -> None:
        self.client = client
        self.answers: list[Answer] = []
        self._series_id = series_id
        self._first, self._minutes = times[0], (times[-1] - times[0]) // STEP
        self._random = random.Random(f"{seed} {client}")  # noqa: S311 (a test's own sequence)
        self._cursor = self._after = self._since = 0

    def run(self, server: Server, tally: Tally, is_over: Callable[[], bool]) -> None:
        """Ask until it is over."""
        try:
            while not is_over():
                self.ask(server, self._question())
                tally.add()
        finally:
            connections.close_all()

    def ask(self, server: Server, question: Question) -> None:
        """Ask, keep the answer and move the cursors."""
        query = {"series_id": self._series_id, **dict(question.query)}
        sent = time.monotonic_ns()
        reply = server.get(question.route, query)
        came = time.monotonic_ns()
        self.answers.append(Answer(self.client, question, sent, came, reply))
        if reply.status == 200:
            self._learn(question, orjson.loads(reply.body))

    def _question(self) -> Question:
        """Choose what to ask next."""
        asks: list[tuple[int, str, dict[str, int]]] = [
            (4, "market/candles", {"since": self._since, "limit": 30}),
            (2, "market/candles", {"limit": 20}),
            (2, "ledger/digest", {}),
            (1, "ledger/digest", self._at_time()),
            (3, "factor/slices", self._at_time() | self._window()),
            (2, "draw/delta", {"cursor_version_id": self._cursor} | self._window()),
            (1, "draw/delta", self._at_time() | self._window()),
            (3, "frame/live", self._window()),
            (1, "frame/at_time", self._at_time() | self._window()),
            (3, "delta/poll", {"after_id": self._after} | self._window()),
        ]
        ((_, route, query),) = self._random.choices(asks, [weight for weight, *_ in asks])
        return Question(route, tuple(query.items()))

    def _window(self) -> dict[str, int]:
        return {"window_candles": self._random.choice(WINDOWS)}

    def _at_time(self) -> dict[str, int]:
        """Return one of few times, between two candles, so that many ask the same."""
        part = self._random.randrange(-1, 12)
        return {"at_time": self._first + part * self._minutes // 10 * STEP + 7}

    def _learn(self, question: Question, content: Json) -> None:
        """Move the cursors, as a client does."""
        if question.route == "market/candles" and content["candles"]:
            self._since = content["candles"][-1]["candle_time"]
        if question.route == "draw/delta" and question.get("at_time") is None:
            self._cursor = content["next_cursor"]["version_id"]
        if question.route == "delta/poll":
            self._after = content["next_cursor"]["id"]
