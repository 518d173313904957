"""What one series of a socket has heard, and what it says that it needs."""

import pytest

from ingest.binance import KlineFrame
from ingest.feed import EMPTY, HOLE_RETRY, HOLE_RETRY_LATER, HOLE_TRIES, MOST_BUFFERED, SeriesFeed
from market.candles import Candle, Candles
from market.series import SeriesId

SERIES = SeriesId.parse("binance:futures:BTC/USDT:1m")
START = 1_700_000_040


def candle(minute: int, close: float = 1.0) -> Candle:
    return Candle(START + 60 * minute, close, close, close, close, 1.0)


def frame(minute: int, close: float = 1.0, *, closed: bool = False) -> KlineFrame:
    return KlineFrame(str(SERIES), candle(minute, close), closed)


@pytest.fixture
def feed() -> SeriesFeed:
    """Return a feed whose candle 0 is stored and which was filled."""
    return SeriesFeed(SERIES, START, is_filled=True)


def test_a_closed_candle_waits_until_it_is_committed(feed: SeriesFeed) -> None:
    feed.hear(frame(1, closed=True), 1.0)
    assert feed.is_ready(1.0)

    feed.committed(feed.pending())

    assert (feed.head, feed.buffer, feed.is_ready(1.0)) == (START + 60, {}, False)


def test_nothing_is_committed_before_the_first_fill(feed: SeriesFeed) -> None:
    feed.connected(0.0)
    feed.hear(frame(1, closed=True), 1.0)

    assert not feed.is_ready(1.0)


def test_a_candle_that_changes_while_it_is_committed_waits_again(feed: SeriesFeed) -> None:
    feed.hear(frame(1, 1.0, closed=True), 1.0)
    batch = feed.pending()
    feed.hear(frame(1, 2.0, closed=True), 1.1)

    feed.committed(batch)

    assert feed.pending().close.tolist() == [2.0]


def test_a_closed_candle_at_or_before_the_head_is_not_dropped(feed: SeriesFeed) -> None:
    """Row 12 of the feeds' faults: it may be a correction."""
    feed.hear(frame(0, 9.0, closed=True), 1.0)

    assert feed.pending().close.tolist() == [9.0]
    assert feed.is_ready(1.0)


def test_the_newest_forming_value_is_shown_and_only_so_often(feed: SeriesFeed) -> None:
    """Shows 9.forming.throttled."""
    shown = []
    for tenth in range(10):
        feed.hear(frame(1, float(tenth)), tenth / 10)
        shown.append(feed.to_publish(tenth / 10, 0.25))

    assert [one.close for one in shown if one] == [0.0, 3.0, 6.0, 9.0]


def test_another_candle_is_shown_at_once(feed: SeriesFeed) -> None:
    feed.hear(frame(1), 0.0)
    assert feed.to_publish(0.0, 0.25)
    feed.hear(frame(2), 0.1)

    assert feed.to_publish(0.1, 0.25) == candle(2)


def test_no_forming_candle_is_shown_after_its_close(feed: SeriesFeed) -> None:
    """Shows 9.forming.after_close."""
    feed.hear(frame(1), 0.0)
    feed.hear(frame(1, closed=True), 0.1)
    feed.hear(frame(1), 0.2)

    assert feed.to_publish(1.0, 0.25) is None


def test_a_candle_after_a_hole_waits_for_three_questions(feed: SeriesFeed) -> None:
    feed.hear(frame(4, closed=True), 1.0)
    hole = (START + 60, START + 180)
    for tries in range(HOLE_TRIES):
        assert feed.hole_before() == hole
        assert not feed.is_ready(1.0), tries
        feed.hole_tried(hole, 1.0)

    assert feed.is_ready(1.0)
    assert [(one.start, one.end, one.state) for one in feed.holes] == [(*hole, "unknown")]


def test_a_hole_that_is_filled_lets_the_candle_go_on(feed: SeriesFeed) -> None:
    feed.hear(frame(3, closed=True), 1.0)
    feed.keep([candle(1), candle(2)])

    assert feed.hole_before() is None
    assert feed.pending().time.tolist() == [START + 60, START + 120, START + 180]


def test_a_recorded_hole_is_asked_for_each_minute_and_after_an_hour_each_hour(
    feed: SeriesFeed,
) -> None:
    feed.record(START + 60, START + 60, 100.0)
    (hole,) = feed.holes
    hole.failed(160.0)
    soon = hole.next_try
    hole.failed(100.0 + 3600.0)

    assert (soon, hole.next_try) == (160.0 + HOLE_RETRY, 3700.0 + HOLE_RETRY_LATER)


def test_holes_that_meet_are_one(feed: SeriesFeed) -> None:
    feed.record(START + 60, START + 60 * 3, 0.0)
    feed.record(START + 60 * 8, START + 60 * 9, 0.0)
    feed.record(START + 60, START + 60 * 5, 10.0)
    feed.record(START + 60 * 2, START + 60 * 4, 20.0)

    spans = [((h.start - START) // 60, (h.end - START) // 60) for h in feed.holes]
    assert spans == [(8, 9), (1, 5)]


def test_a_hole_is_asked_for_in_parts_and_what_is_still_not_stored_stays(
    feed: SeriesFeed,
) -> None:
    feed.record(START + 60, START + 60 * 100, 0.0)
    (hole,) = feed.holes
    stored = Candles.from_rows([candle(n) for n in (*range(1, 20), *range(22, 41))])

    feed.asked_again(hole, START + 60 * 40, stored, 70.0)

    assert [((h.start - START) // 60, (h.end - START) // 60, h.state) for h in feed.holes] == [
        (20, 21, EMPTY),
        (41, 100, "unknown"),
    ]
    assert feed.holes[1].next_try == 70.0

    feed.asked_again(feed.holes[1], START + 60 * 100, Candles.from_rows([]), 70.0)
    assert [((h.start - START) // 60, h.state) for h in feed.holes] == [(20, EMPTY), (41, EMPTY)]


def test_a_close_that_does_not_come_is_asked_for_after_5_and_then_5_10_20_seconds(
    feed: SeriesFeed,
) -> None:
    """Row 10 of the feeds' faults."""
    end = START + 120  # candle 1 ends here
    asked = [t for t in range(60) if feed.overdue(end + t, float(t)) == START + 60]

    assert asked == [5, 10, 20, 40]


def test_a_close_that_waits_or_is_stored_is_not_asked_for(feed: SeriesFeed) -> None:
    feed.hear(frame(1, closed=True), 1.0)

    assert feed.overdue(START + 130, 1.0) is None


def test_too_many_bad_frames_in_a_minute_are_told(feed: SeriesFeed) -> None:
    assert not any(feed.reject(float(n)) for n in range(20))
    assert feed.reject(20.0)
    assert not feed.reject(100.0)


def test_what_waits_is_bounded(feed: SeriesFeed) -> None:
    feed.keep([candle(n) for n in range(1, MOST_BUFFERED + 11)])

    assert len(feed.buffer) == MOST_BUFFERED
    assert min(feed.buffer) == START + 60 * 11


@pytest.mark.parametrize(("timeframe", "seconds"), [("1m", 90.0), ("3m", 270.0), ("1h", 300.0)])
def test_patience_grows_with_the_timeframe_and_ends(timeframe: str, seconds: float) -> None:
    series = SeriesId.parse(f"binance:futures:BTC/USDT:{timeframe}")

    assert SeriesFeed(series).patience == seconds
