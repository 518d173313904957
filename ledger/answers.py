"""Answers of reads as bytes, kept in this process as long as they stay right.

What is known at a closed candle changes only with the generation, the rules, or when somebody
alters rows by hand; a key that names all of these finds the right answer or none.
"""

import hashlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Condition
from typing import Any

import orjson
from cachetools import LRUCache, cached
from django.conf import settings

from factors.engine.types import Json
from market import database


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON body and its entity tag, quoted as HTTP wants it: equal bytes, equal tags."""

    body: bytes
    etag: str
    about: dict[str, Any] = field(default_factory=dict, compare=False)
    """What a debug event says of it."""


def answer(content: Json) -> Answer:
    """Return the answer with this content."""
    body = orjson.dumps(content)
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    return Answer(body, etag, _about(content))


def _about(content: Json) -> dict[str, Any]:
    """Return the times and counts of a frame, a poll or a delta."""
    if "time" in content:
        return dict(content["time"])
    if "records" in content:
        last = content["records"][-1] if content["records"] else None
        return {
            "next_id": content["next_cursor"]["id"],
            "to_candle_time": last and last["to_candle_time"],
            "has_record": last is not None,
        }
    if "instruction_catalog_patch" in content:
        return {
            "next_version_id": content["next_cursor"]["version_id"],
            "to_time": content["to_candle_time"],
            "patch_len": len(content["instruction_catalog_patch"]),
            "active_len": len(content["active_ids"]),
        }
    return {}


def _size(kept: Answer) -> int:
    return len(kept.body) + 1000  # the rest of the entry


@dataclass(frozen=True, slots=True)
class Pending:
    """An answer that can be made, and the key of all that it depends on."""

    key: Hashable
    make: Callable[[], Json]


KEPT: LRUCache[Hashable, Answer] = LRUCache(
    settings.TRADE_CANVAS_READ_CACHE_MB * 1_000_000, getsizeof=_size
)
_kept = Condition()


@cached(KEPT, key=lambda key, make: key, condition=_kept)
def kept(key: Hashable, make: Callable[[], Json]) -> Answer:
    """Return the answer kept under a key, or make it; who asks meanwhile waits for the same one."""
    return answer(make())


def answered(read: Callable[[], Answer | Pending]) -> Answer:
    """Return what a read gives; an answer that is not kept is made from one state of the database.

    `read` says by one query what the answer is about, or raises why there is none.
    """
    found = read()
    if isinstance(found, Answer):
        return found
    with _kept:
        ready = KEPT.get(found.key)
    if ready is not None:
        return ready
    with database.reading():
        found = read()
        return found if isinstance(found, Answer) else kept(found.key, found.make)
