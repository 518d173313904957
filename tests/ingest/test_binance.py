"""What frames of Binance say, recorded ones and odd ones."""

import copy
from itertools import pairwise
from typing import Any

import orjson
import pytest

from ingest.binance import (
    KlineFrame,
    Rejected,
    UnsupportedSeriesError,
    parse_frame,
    stream_of,
    wanted_by,
)
from market.candles import Candle
from market.series import SeriesId
from tests.exchange import wire

BTC = SeriesId.parse("binance:futures:BTC/USDT:1m")
NOW = 1_700_000_100.0
EVENT: dict[str, Any] = {
    "e": "kline",
    "E": 1_700_000_100_000,
    "s": "BTCUSDT",
    "k": {
        "t": 1_700_000_040_000, "T": 1_700_000_099_999, "s": "BTCUSDT", "i": "1m",
        "o": "1.5", "h": "3", "l": "1", "c": "2.25", "v": "10.0", "x": True,
    },
}  # fmt: skip


def parsed(event: Any, now: float = NOW) -> KlineFrame | Rejected | None:
    return parse_frame(orjson.dumps(event), wanted_by([BTC]), now)


def altered(**changes: Any) -> dict[str, Any]:
    """Return the event with other values in its kline."""
    event = copy.deepcopy(EVENT)
    event["k"] |= changes
    return event


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_frame_is_a_candle_with_or_without_the_wrapper_of_combined_streams(
    wrapped: bool,
) -> None:
    event = {"stream": "btcusdt@kline_1m", "data": EVENT} if wrapped else EVENT

    found = parsed(event)

    assert found == KlineFrame(str(BTC), Candle(1_700_000_040, 1.5, 3.0, 1.0, 2.25, 10.0), True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"i": "5m"}, "not_subscribed"),
        ({"s": "ETHUSDT"}, "not_subscribed"),
        ({"t": "1700000040000"}, "bad_time"),
        ({"t": 1_700_000_041_000}, "bad_time"),
        ({"t": True}, "bad_time"),
        ({"t": 0}, "bad_time"),
        ({"o": "NaN"}, "not_a_number"),
        ({"h": "Infinity"}, "not_a_number"),
        ({"c": None}, "not_a_number"),
        ({"c": True}, "not_a_number"),
        ({"l": "9"}, "bad_prices"),
        ({"h": "1.6"}, "bad_prices"),
        ({"v": "-1"}, "bad_prices"),
        ({"x": "true"}, "not_said_whether_closed"),
    ],
)
def test_an_odd_frame_is_rejected_with_its_reason(changes: Any, reason: str) -> None:
    """Row 7 of the feeds' faults."""
    found = parsed(altered(**changes))

    assert isinstance(found, Rejected)
    assert found.reason == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "not_json"),
        (b"\xff\x00", "not_json"),
        (b"[1]", "not_an_object"),
        (b'{"e":"kline"}', "no_kline"),
        (b'{"e":"kline","k":5}', "no_kline"),
        (b'{"stream":"x","data":7}', "not_an_object"),
    ],
)
def test_what_is_no_frame_is_rejected(text: bytes, reason: str) -> None:
    assert parse_frame(text, wanted_by([BTC]), NOW) == Rejected(reason)


@pytest.mark.parametrize("event", [{"result": None, "id": 1}, {"e": "aggTrade"}, {"u": 5}])
def test_what_is_no_kline_is_no_concern_of_ours(event: Any) -> None:
    assert parsed(event) is None


def test_a_candle_far_in_the_future_is_refused_and_its_series_named() -> None:
    """Row 33 of the ledger's faults: what comes from an exchange."""
    assert isinstance(parsed(EVENT, NOW - 60), KlineFrame)
    assert parsed(EVENT, NOW - 121) == Rejected("from_the_future", str(BTC))


RECORDED = [
    SeriesId.parse(f"binance:futures:{base}/USDT:1m") for base in ("SUSHI", "AKRO", "CTK", "KEEP")
]


def test_recorded_frames_are_taken_to_the_digit() -> None:
    """Row 8 of the feeds' faults: what each frame says."""
    frames = wire.frames("futures_kline")
    found = [parse_frame(one.raw, wanted_by(RECORDED), one.received) for one in frames]

    assert all(isinstance(one, KlineFrame) for one in found)
    for one, frame in zip(found, frames, strict=True):
        kline = orjson.loads(frame.raw)["data"]["k"]
        assert isinstance(one, KlineFrame)
        numbers = [float(kline[key]) for key in ("o", "h", "l", "c", "v")]
        assert list(one.candle) == [kline["t"] // 1000, *numbers]
    assert sum(isinstance(one, KlineFrame) and one.is_closed for one in found) == 4


def test_among_all_kinds_of_recorded_frames_only_klines_are_taken() -> None:
    frames = wire.frames("futures_mixed_minute_boundary")
    found = [parse_frame(one.raw, wanted_by(RECORDED), one.received) for one in frames]

    klines = [one for one in found if isinstance(one, KlineFrame)]
    assert 0 < len(klines) < len(frames)
    assert not any(isinstance(one, Rejected) for one in found)
    for name in {one.series_id for one in klines}:
        times = [one.candle.candle_time for one in klines if one.series_id == name]
        assert all(later >= earlier for earlier, later in pairwise(times))


@pytest.mark.parametrize(
    ("series_id", "stream"),
    [
        ("binance:futures:BTC/USDT:1m", "btcusdt@kline_1m"),
        ("binance:spot:ETH/BTC:4h", "ethbtc@kline_4h"),
        ("binance:futures:BTC/USDT:USDT:5m", "btcusdt@kline_5m"),
        ("binance:futures:1000SHIB/USDT:1d", "1000shibusdt@kline_1d"),
    ],
)
def test_a_series_has_the_stream_that_the_exchange_calls_it(series_id: str, stream: str) -> None:
    assert stream_of(SeriesId.parse(series_id)) == stream


@pytest.mark.parametrize(
    "series_id",
    [
        "kraken:spot:BTC/USD:1m",
        "binance:margin:BTC/USDT:1m",
        "binance:spot:BTCUSDT:1m",
        "binance:spot:BTC/USDT:7m",
        "binance:spot:/USDT:1m",
    ],
)
def test_a_series_that_no_stream_has_is_refused_in_words(series_id: str) -> None:
    with pytest.raises(UnsupportedSeriesError, match=r"unsupported|not a symbol"):
        stream_of(SeriesId.parse(series_id))
