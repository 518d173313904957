"""Series ids and timeframes."""

import pytest

from market.series import MAX_LENGTH, SHAPE_TEXT, BadSeriesIdError, SeriesId, timeframe_seconds


def test_symbol_may_hold_colons() -> None:
    series = SeriesId.parse("binance:futures:BTC/USDT:USDT:1m")
    assert (series.symbol, series.timeframe) == ("BTC/USDT:USDT", "1m")


@pytest.mark.parametrize("text", ["a:b:C/D:1m", "a:b:C:D:E:4h", "binance:spot:币安人生/USDT:1d"])
def test_text_of_a_series_is_the_text_it_came_from(text: str) -> None:
    assert str(SeriesId.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("1m", 60), ("15m", 900), ("4h", 14400), ("1d", 86400)]
)
def test_timeframe_has_its_seconds(text: str, seconds: int) -> None:
    assert timeframe_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "a", "a:b:1m", ":b:c:1m", "a::c:1m", "a:b::1m", "a:b:c:"])
def test_text_of_another_shape_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(BadSeriesIdError) as caught:
        SeriesId.parse(text)
    assert str(caught.value) == SHAPE_TEXT


def test_unknown_unit_is_named() -> None:
    with pytest.raises(BadSeriesIdError) as caught:
        SeriesId.parse("a:b:c:1w")
    assert str(caught.value) == "unsupported timeframe unit: 'w'"


@pytest.mark.parametrize("timeframe", ["m", "0m", "01m", "-1m", "1.5m", "1M", "1000000000m", "１m"])
def test_timeframe_that_is_no_positive_number_is_refused(timeframe: str) -> None:
    with pytest.raises(BadSeriesIdError):
        SeriesId.parse(f"a:b:c:{timeframe}")


@pytest.mark.parametrize("symbol", ["A B", "A\x00B", "A\nB", "A\u2028B", "A\u200bB", "\ud800"])
def test_blank_and_control_characters_are_refused(symbol: str) -> None:
    with pytest.raises(BadSeriesIdError):
        SeriesId.parse(f"a:b:{symbol}:1m")


def test_longest_id_is_128_characters() -> None:
    longest = "a:b:" + "c" * (MAX_LENGTH - 7) + ":1m"
    assert len(str(SeriesId.parse(longest))) == MAX_LENGTH
    with pytest.raises(BadSeriesIdError):
        SeriesId.parse("a" + longest)
