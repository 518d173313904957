"""The write path and the sockets: what is taken in arrives, and bad frames change nothing."""

import json
import time
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from asgiref.sync import sync_to_async

from factors.engine.plugins.pivot import Pivot
from factors.models import FactorEvent
from ingest import pipeline
from ledger.advance import IngestPipelineError
from ledger.models import LedgerHead
from ledger.recovery import recover
from market import hub
from market.candles import Candles
from tests.goldens import candles_of, golden
from tests.ledger.reading import SERIES, START, flat, use_golden_windows
from tests.ledger.stored import Killed, failing, generation, ledger, reset, straight
from tests.market.sockets import connected, play
from tests.tables import tables_state

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reader"])
take = sync_to_async(pipeline.run_sync)
BAD_FRAMES = [
    ("", "invalid message envelope"),
    ("{", "invalid message envelope"),
    ("[]", "invalid message envelope"),
    ("NaN", "invalid message envelope"),
    ("{}", "missing message type"),
    ('{"type":5}', "missing message type"),
    ('{"type":""}', "missing message type"),
    ('{"type":"ping"}', "unknown message type: ping"),
    ('{"type":"candle_closed"}', "unknown message type: candle_closed"),
    ('{"type":"subscribe"}', "missing series_id"),
    ('{"type":"subscribe","series_id":""}', "missing series_id"),
    ('{"type":"subscribe","series_id":7}', "missing series_id"),
    ('{"type":"subscribe","series_id":"nope"}', "invalid series_id"),
    ('{"type":"subscribe","series_id":"a:b:c:7w"}', "invalid series_id"),
    ('{"type":"subscribe","series_id":"a:b:c\\u0000:1m"}', "invalid series_id"),
    ('{"type":"subscribe","series_id":"a:b:c:1m","since":"5"}', "invalid since"),
    ('{"type":"subscribe","series_id":"a:b:c:1m","since":1.5}', "invalid since"),
    (
        '{"type":"subscribe","series_id":"a:b:c:1m","supports_batch":"yes"}',
        "invalid supports_batch",
    ),
]


def test_bad_frames_get_their_answers_and_change_no_table() -> None:
    """Each is named, and the socket goes on.

    Shows 9.error.envelope, 9.error.type, 9.error.unknown_type, 9.error.missing_series_id,
    9.error.invalid_since, 9.error.invalid_supports_batch, 9.error.invalid_series_id, 9.error.json
    and 9.error.binary.
    """
    pipeline.run_sync({SERIES: flat(1, 2)})
    before = tables_state()

    async def scenario() -> None:
        async with connected() as socket:
            for frame, said in BAD_FRAMES:
                await socket.say_raw(frame)
                answer = {"type": "error", "code": "bad_request", "message": said}
                assert await socket.hear() == answer
            await socket.say_raw(data=b"\x00\x01")
            assert (await socket.hear())["message"] == "invalid message envelope"
            assert len(await socket.subscribe(SERIES)) == 2

    play(scenario)

    assert tables_state() == before


def test_a_candle_is_readable_with_its_structures_when_it_arrives() -> None:
    """Shows 9.order.ledger."""
    case = golden("doji2_1_2")
    candles, series_id = candles_of(case), case["series_id"]

    async def scenario() -> None:
        await take({series_id: candles.take(slice(0, 30))})
        async with connected() as socket:
            since = int(candles.time[29])
            await socket.subscribe(series_id, since=since, supports_batch=True)
            for n in range(30, len(candles)):
                await take({series_id: candles.take(slice(n, n + 1))})
                frame = await socket.hear()
                assert frame["candle"]["candle_time"] == int(candles.time[n])
                head = await sync_to_async(LedgerHead.objects.get)()
                assert head.overlay_head is not None
                assert head.overlay_head >= frame["candle"]["candle_time"]

    with use_golden_windows(case):
        play(scenario)


def test_a_late_candle_is_told_as_a_rebuild_and_not_sent() -> None:
    """Shows 9.live.drop and 9.system.rebuild."""
    whole = flat(1, 2, 3, 4)

    async def scenario() -> None:
        await take({SERIES: whole.take(np.array([0, 1, 3]))})
        async with connected() as socket:
            await socket.subscribe(SERIES, since=START + 180)
            await take({SERIES: whole.take(slice(2, 3))})

            assert await socket.hear() == {
                "type": "system",
                "series_id": SERIES,
                "event": "factor.rebuild",
                "message": "factors recomputed",
                "data": {"series_id": SERIES},
            }
            assert await socket.heard() == []

    play(scenario)


@pytest.mark.parametrize("rows", [[530, 531, 532, 533, 534], [589]], ids=["gap", "correction"])
def test_a_change_behind_the_head_is_recomputed_from_there_and_told_once(rows: list[int]) -> None:
    """Rows 13 and 14 of the ledger's faults: five missing candles, and one corrected 10 back.

    Shows 9.live.drop and 9.system.rebuild.
    """
    case = golden("walk_2_1")
    candles = candles_of(case)
    missing = np.isin(np.arange(len(candles)), rows)
    first = candles.take(~missing)
    if len(rows) == 1:
        wrong = candles.take(missing).rows()[0]._replace(close=1.0, low=0.5)
        first = Candles.from_rows([*first.rows(), wrong])
    with use_golden_windows(case):
        expected = straight(candles)
        reset()
        pipeline.run_sync({SERIES: first})
        kept = list(FactorEvent.objects.filter(ordinal__lte=512).order_by("pk").values())

        async def scenario() -> None:
            async with connected() as socket:
                await socket.subscribe(SERIES, since=int(candles.time[-1]))
                await take({SERIES: candles.take(missing)})
                told = await socket.hear()
                assert (told["type"], told["event"]) == ("system", "factor.rebuild")
                await hub.current().sweep()
                assert await socket.heard() == []

        play(scenario)

        assert ledger() == expected
        assert generation() == 1
        assert list(FactorEvent.objects.filter(ordinal__lte=512).order_by("pk").values()) == kept


def test_a_new_series_is_told_by_its_candles_alone() -> None:
    """Row 23 of the ledger's faults. Shows 9.system.first."""

    async def scenario() -> None:
        async with connected() as socket:
            await socket.subscribe(SERIES, supports_batch=True)
            await take({SERIES: flat(1, 2, 3)})
            assert (await socket.hear())["type"] == "candles_batch"
            await hub.current().sweep()
            assert await socket.heard() == []

    play(scenario)


def test_a_candle_whose_process_is_killed_before_the_hint_arrives_once() -> None:
    """Row 2 of the ledger's faults: within 2 s, by the sweep that runs by itself."""

    async def scenario() -> None:
        await take({SERIES: flat(1)})
        async with connected() as socket:
            await socket.subscribe(SERIES, since=START)
            killed = patch("ledger.advance.works_announce", side_effect=Killed)
            with killed, pytest.raises(Killed):
                await take({SERIES: flat(2, start=START + 60)})
            committed = time.monotonic()
            assert (await socket.hear())["candle"]["candle_time"] == START + 60
            assert time.monotonic() - committed < 2
            await take({SERIES: flat(2, start=START + 60)})
            await hub.current().sweep()
            assert await socket.heard() == []

    play(scenario)


def test_candles_taken_without_a_hint_arrive_by_the_sweep() -> None:
    async def scenario() -> None:
        await take({SERIES: flat(1)})
        async with connected() as socket:
            await socket.subscribe(SERIES, since=START, supports_batch=True)
            await take({SERIES: flat(2, 3, start=START + 60)}, publish=False)

            frame: dict[str, Any] = json.loads(await socket.hear_raw())

            heard = [candle["candle_time"] for candle in frame["candles"]]
            assert heard == [START + 60, START + 120]

    play(scenario)


def test_candles_whose_factors_failed_are_held_back_until_they_are_ready() -> None:
    """Shows 9.order.ledger."""

    async def scenario() -> None:
        await take({SERIES: flat(1)})
        async with connected() as socket:
            await socket.subscribe(SERIES, since=START)
            with patch.object(Pivot, "step", failing), pytest.raises(IngestPipelineError):
                await take({SERIES: flat(2, start=START + 60)})
            assert await socket.heard() == []

            await sync_to_async(recover)()

            assert (await socket.hear())["candle"]["candle_time"] == START + 60

    play(scenario)


def test_a_series_that_is_to_be_computed_again_is_not_shown_until_it_is() -> None:
    whole = flat(1, 2, 3, 4)

    async def scenario() -> None:
        await take({SERIES: whole.take(np.array([0, 1, 3]))})
        with patch.object(Pivot, "step", failing), pytest.raises(IngestPipelineError):
            await take({SERIES: whole.take(slice(2, 3))})
        async with connected() as socket:
            assert await socket.subscribe(SERIES, since=START) == []

            await sync_to_async(recover)()

            heard = [(await socket.hear())["candle"]["candle_time"] for _ in range(3)]
            assert heard == [START + 60, START + 120, START + 180]

    play(scenario)
