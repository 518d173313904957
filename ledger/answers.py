"""Answers of reads as bytes, kept in this process as long as they stay right.

What is known at a closed candle changes only with the generation, the rules, or when somebody
alters rows by hand; a key that names all of these finds the right answer or none.
"""

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Condition

import orjson
from cachetools import LRUCache, cached
from django.conf import settings

from factors.engine.types import Json


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON body and its entity tag, quoted as HTTP wants it: equal bytes, equal tags."""

    body: bytes
    etag: str


def answer(content: Json) -> Answer:
    """Return the answer with this content."""
    body = orjson.dumps(content)
    return Answer(body, f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"')


def _size(kept: Answer) -> int:
    return len(kept.body) + 500  # the rest of the entry


KEPT: LRUCache[Hashable, Answer] = LRUCache(
    settings.TRADE_CANVAS_READ_CACHE_MB * 1_000_000, getsizeof=_size
)


@cached(KEPT, key=lambda key, make: key, condition=Condition())
def kept(key: Hashable, make: Callable[[], Json]) -> Answer:
    """Return the answer kept under a key, or make it; who asks meanwhile waits for the same one."""
    return answer(make())
