"""The runner refuses what it could only answer wrongly, and its digest is the documented one."""

import hashlib
import json
import struct

import pytest

from factors.engine import runner
from factors.engine.rules import make_rules
from factors.engine.runner import Checkpoint, CheckpointError, MissingCandlesError
from factors.slices import standing_at
from ingest import pipeline
from market.series import SeriesId
from tests.goldens import candles_of, golden
from tests.ledger.reading import use_golden_windows

CASE = golden("box_2_1")
RULES = make_rules({"pivot": {"window_major": 2, "window_minor": 1}})


def test_fewer_candles_than_the_factors_read_are_refused() -> None:
    candles = candles_of(CASE)
    standing = runner.start(RULES, CASE["series_id"])
    runner.advance(RULES, standing, candles.take(slice(0, 50)), 60)

    with pytest.raises(MissingCandlesError):
        runner.advance(RULES, standing, candles.take(slice(47, 60)), 60)
    runner.advance(RULES, standing, candles.take(slice(46, 60)), 60)


def test_states_carried_as_one_row_of_bytes_give_the_golden_events() -> None:
    candles = candles_of(CASE)
    start = runner.start(RULES, "")
    state = b"".join(f.dump(start.states[f.name]) for f in RULES.factors)
    keys = []
    for ordinal in range(len(candles)):
        standing, memory = runner.carried(RULES, state, ordinal)
        rows = candles.take(slice(runner.reads_from(RULES, standing), ordinal + 1))
        records = runner.step(RULES, standing, rows, 60)
        found = runner.in_order(RULES.factors, records, rows, len(rows) - 1)
        keys += [event.event_key for event in found]
        state = bytes(memory)

    assert keys == [event["event_key"] for event in CASE["events"]]


def test_a_checkpoint_without_a_factor_is_refused() -> None:
    with pytest.raises(CheckpointError, match="pivot"):
        runner.resume(RULES, Checkpoint(0, 60, {}, {}, {}, b""))


def test_digest_is_the_hash_of_candles_and_canonical_events() -> None:
    candles, events = candles_of(CASE), CASE["events"]
    expected = hashlib.sha256(CASE["series_id"].encode()).digest()
    for row in candles.rows():
        expected = hashlib.sha256(
            expected
            + struct.pack("<q5d", *row)
            + b"".join(
                json.dumps(e, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
                + b"\n"
                for e in events
                if e["candle_time"] == row.candle_time
            )
        ).digest()

    standing = runner.start(RULES, CASE["series_id"])
    runner.advance(RULES, standing, candles, 60)

    assert standing.digest == expected


def test_other_parameters_have_another_fingerprint() -> None:
    same = make_rules({"pivot": {"window_major": 2, "window_minor": 1}})
    other = make_rules({"pivot": {"window_major": 3, "window_minor": 1}})

    assert RULES.fingerprint == same.fingerprint != other.fingerprint


@pytest.mark.django_db
def test_state_at_any_candle_is_the_state_of_a_run_from_the_first() -> None:
    case = golden("walklong_1_1")
    candles = candles_of(case)
    series = SeriesId.parse(case["series_id"])
    with use_golden_windows(case):
        pipeline.run_sync({case["series_id"]: candles})
        rules = make_rules({"pivot": {"window_major": 1, "window_minor": 1}})
        whole = runner.start(rules, case["series_id"])
        for ordinal in range(0, len(candles), 37):
            first = runner.reads_from(rules, whole)
            runner.advance(rules, whole, candles.take(slice(first, ordinal + 1)), series.seconds)

            found = standing_at(rules, series, int(candles.time[ordinal]))

            assert found.count == ordinal + 1
            assert found.digest == whole.digest
            assert {n: s.tobytes() for n, s in found.states.items()} == {
                n: s.tobytes() for n, s in whole.states.items()
            }
