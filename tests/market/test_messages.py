"""The frames of /ws/market."""

import json

import pytest

from market import messages
from market.messages import BadRequestError, Subscribe, Unsubscribe, parse
from market.series import SeriesId
from tests.market.factories import SERIES, flat, minute


def wish(**changes: object) -> str:
    return json.dumps({"type": "subscribe", "series_id": SERIES} | changes)


def complaint(text: str | None) -> str:
    with pytest.raises(BadRequestError) as caught:
        parse(text)
    return caught.value.message


def test_subscribe_has_defaults() -> None:
    assert parse(wish()) == Subscribe(SeriesId.parse(SERIES), None, supports_batch=False)


def test_subscribe_takes_null_as_absent() -> None:
    """Shows 9.fields.defaults."""
    assert parse(wish(since=None, supports_batch=None)) == parse(wish())


@pytest.mark.parametrize(("since", "time"), [(5, 5), (0, 0), (-5, -5), (True, 1), (2**63 - 1,) * 2])
def test_since_may_be_any_integer(since: object, time: int) -> None:
    """Shows 9.since.true and 9.since.negative."""
    message = parse(wish(since=since, supports_batch=True))
    assert message == Subscribe(SeriesId.parse(SERIES), time, supports_batch=True)


def test_unsubscribe_needs_no_valid_series() -> None:
    """Shows 9.unsubscribe.unknown."""
    assert parse('{"type":"unsubscribe","series_id":"x"}') == Unsubscribe("x")


@pytest.mark.parametrize("text", [None, "", "{", "[]", "1", "null", '"x"', "{} {}", "[" * 5000])
def test_frame_that_is_no_object_is_a_bad_envelope(text: str | None) -> None:
    """Shows 9.error.envelope."""
    assert complaint(text) == "invalid message envelope"


@pytest.mark.parametrize("kind", [None, "", 1, [], True])
def test_type_must_be_a_text(kind: object) -> None:
    """Shows 9.error.type."""
    assert complaint(wish(type=kind)) == "missing message type"
    assert complaint("{}") == "missing message type"


def test_unknown_type_is_named() -> None:
    """Shows 9.error.unknown_type."""
    assert complaint('{"type":"ping"}') == "unknown message type: ping"


@pytest.mark.parametrize("series_id", [None, "", 1, []])
def test_series_id_must_be_a_text(series_id: object) -> None:
    """Shows 9.error.missing_series_id."""
    assert complaint(wish(series_id=series_id)) == "missing series_id"


@pytest.mark.parametrize("series_id", [None, "", 1, []])
def test_unsubscribe_without_a_series_is_no_error(series_id: object) -> None:
    """Shows 9.unsubscribe.unknown."""
    assert parse(wish(type="unsubscribe", series_id=series_id)) == Unsubscribe("")


@pytest.mark.parametrize("series_id", ["x", "a:b:c:1w", "a:b:c\x00:1m"])
def test_series_id_must_be_one(series_id: str) -> None:
    """Shows 9.error.invalid_series_id."""
    assert complaint(wish(series_id=series_id)) == "invalid series_id"


@pytest.mark.parametrize("since", ["5", 1.5, [], {}, 2**63, 10**30])
def test_since_must_be_an_integer(since: object) -> None:
    """Shows 9.error.invalid_since."""
    assert complaint(wish(since=since)) == "invalid since"


@pytest.mark.parametrize("supports_batch", ["true", 1, []])
def test_supports_batch_must_be_a_boolean(supports_batch: object) -> None:
    """Shows 9.error.invalid_supports_batch."""
    assert complaint(wish(supports_batch=supports_batch)) == "invalid supports_batch"


def test_candle_closed_is_the_documented_text() -> None:
    """Shows 9.frame.compact, 9.frame.keys and 9.frame.prices."""
    assert messages.candle_closed(SERIES, flat(1700000180, 44.0)) == (
        '{"type":"candle_closed","series_id":"binance:futures:AAA/USDT:1m","candle":'
        '{"candle_time":1700000180,"open":44.0,"high":44.0,"low":44.0,"close":44.0,"volume":10.0}}'
    )


def test_batch_keeps_the_order_of_keys() -> None:
    """Shows 9.frame.keys."""
    frame = messages.candles_batch(SERIES, [flat(minute(0)), flat(minute(1))])
    assert frame.startswith('{"type":"candles_batch","series_id":"binance:futures:AAA/USDT:1m",')
    assert [c["candle_time"] for c in json.loads(frame)["candles"]] == [minute(0), minute(1)]


def test_gap_is_the_documented_text() -> None:
    """Shows 9.frame.compact and 9.frame.keys."""
    assert messages.gap(SERIES, 1700000240, 1700000360) == (
        '{"type":"gap","series_id":"binance:futures:AAA/USDT:1m",'
        '"expected_next_time":1700000240,"actual_time":1700000360}'
    )


def test_forming_candle_is_the_documented_text() -> None:
    """Shows 9.frame.compact, 9.frame.keys and 9.frame.prices."""
    assert messages.candle_forming(SERIES, flat(1700000180, 44.0)) == (
        '{"type":"candle_forming","series_id":"binance:futures:AAA/USDT:1m","candle":'
        '{"candle_time":1700000180,"open":44.0,"high":44.0,"low":44.0,"close":44.0,"volume":10.0}}'
    )


def test_rebuild_is_the_documented_text() -> None:
    """Shows 9.frame.compact and 9.frame.keys."""
    assert messages.factors_rebuilt(SERIES) == (
        '{"type":"system","series_id":"binance:futures:AAA/USDT:1m","event":"factor.rebuild",'
        '"message":"factors recomputed","data":{"series_id":"binance:futures:AAA/USDT:1m"}}'
    )


def test_capacity_is_the_documented_text() -> None:
    """Shows 9.frame.compact, 9.subscribe.2.refused and 9.error.series_id."""
    assert messages.capacity(SERIES) == (
        '{"type":"error","code":"capacity","message":"ondemand_ingest_capacity",'
        '"series_id":"binance:futures:AAA/USDT:1m"}'
    )


def test_error_has_no_series() -> None:
    """Shows 9.error.series_id."""
    assert messages.error("bad_request", "missing series_id") == (
        '{"type":"error","code":"bad_request","message":"missing series_id"}'
    )
