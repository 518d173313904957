"""Any frame at all gets the answer that the protocol gives it, and the socket goes on."""

import gc
import json
import logging
import random
import sys
from typing import Any

import pytest

from market.series import BadSeriesIdError, SeriesId
from tests.market.sockets import DONE, Socket, connected, play

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = 20_000
SERIES = [
    "binance:futures:AAA/USDT:1m",
    "a:b:c:1h",
    "binance:spot:X/Y:7m",
    "no series",
    "",
    ":::1m",
]
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**62,
    2**63,
    2**64,
    -(2**63),
    1.5,
    "",
    "x",
    [],
    {},
    "1",
]


def expected(text: str | None) -> str | None:
    """Return the error that the protocol gives a frame, None for no answer."""
    frame = parsed(text)
    if not isinstance(frame, dict):
        return "invalid message envelope"
    kind, series_id = frame.get("type"), frame.get("series_id")
    if not isinstance(kind, str) or not kind:
        return "missing message type"
    if kind == "unsubscribe":
        return None
    if kind != "subscribe":
        return f"unknown message type: {kind}"
    if not isinstance(series_id, str) or not series_id:
        return "missing series_id"
    return wrong_field(frame) or wrong_series(series_id)


def parsed(text: str | None) -> Any:
    """Return what a frame holds; None if it is no JSON."""
    try:
        return json.loads(text or "", parse_constant=lambda name: 1 / 0)
    except (ValueError, ZeroDivisionError, RecursionError):
        return None


def wrong_field(frame: dict[str, Any]) -> str | None:
    """Return what is wrong with the fields of a subscribe."""
    since, batch = frame.get("since"), frame.get("supports_batch")
    if since is not None and not (isinstance(since, int) and -(2**63) <= since < 2**63):
        return "invalid since"
    if batch is not None and not isinstance(batch, bool):
        return "invalid supports_batch"
    return None


def wrong_series(series_id: str) -> str | None:
    """Return what is wrong with a series."""
    try:
        SeriesId.parse(series_id)
    except BadSeriesIdError:
        return "invalid series_id"
    return None


def any_frame(dice: random.Random) -> str | None:
    """Return a frame: right, nearly right, or nothing of the kind; None is a binary one."""
    fields: dict[str, Any] = {"type": dice.choice(["subscribe", "unsubscribe", *map(str, ODD)])}
    if dice.random() < 0.7:
        fields["type"] = dice.choice(["subscribe", "subscribe", "unsubscribe"])
    for name, usual in (
        ("series_id", SERIES),
        ("since", [0, 60, None]),
        ("supports_batch", [True]),
    ):
        if dice.random() < 0.8:
            fields[name] = dice.choice([*usual, *usual, *ODD])
    if dice.random() < 0.1:
        fields["type"] = dice.choice(ODD)
    text = json.dumps(fields)
    shape = dice.random()
    if shape < 0.1:
        place = dice.randrange(len(text))
        text = text[:place] + dice.choice(["", "\x00", '"', "{", "é", "]"]) + text[place + 1 :]
    elif shape < 0.15:
        text = dice.choice(["", " ", "null", "[]", "1", '"subscribe"', "NaN", "{" * 50, text * 2])
    return None if dice.random() < 0.02 else text


async def answer(socket: Socket, text: str | None) -> list[dict[str, Any]]:
    """Send one frame; return all that comes before the answer to a sentinel."""
    if text is None:
        await socket.say_raw(data=b"\x01\x02")
    else:
        await socket.say_raw(text=text)
    await socket.say(type=DONE)
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1].get("message") != f"unknown message type: {DONE}":
        frames.append(await socket.hear())
    return frames[:-1]


def test_any_frame_gets_its_answer(caplog: pytest.LogCaptureFixture) -> None:
    """Always the documented answer, nothing logged, nothing kept.

    Shows 9.error.envelope, 9.error.type, 9.error.unknown_type, 9.error.missing_series_id,
    9.error.invalid_since, 9.error.invalid_supports_batch and 9.error.invalid_series_id.
    """
    dice = random.Random(1)  # noqa: S311 (a sequence that can be repeated)
    blocks: list[int] = []

    async def scenario() -> None:
        async with connected() as socket:
            for number in range(COUNT):
                text = any_frame(dice)
                frames, wanted = await answer(socket, text), expected(text)
                said = [f["message"] for f in frames if f["type"] == "error"]
                assert said == ([] if wanted is None else [wanted]), repr(text)
                assert len(frames) == len(said), frames
                if number in {COUNT // 4, COUNT - 1}:
                    gc.collect()
                    blocks.append(sys.getallocatedblocks())

    caplog.set_level(logging.WARNING)
    play(scenario)

    assert caplog.records == []
    assert blocks[1] <= 1.02 * blocks[0]
