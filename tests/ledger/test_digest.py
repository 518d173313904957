"""A digest is one string for the history up to a candle: equal histories, equal strings."""

import hashlib
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client, override_settings

from factors.services import current_fingerprint
from ingest import pipeline
from ledger.models import LedgerHead
from ledger.rebuild import series_rebuild
from tests.goldens import candles_of, canonical, golden
from tests.ledger.reading import SERIES, START, flat, get, use_golden_windows

pytestmark = pytest.mark.django_db


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Return a golden case, with its windows; the test takes the candles in."""
    found = golden(getattr(request, "param", "plateau_2_1"))
    with use_golden_windows(found):
        yield found


def digests_of(case: dict[str, Any], series_id: str) -> list[str]:
    """Return the digest after each candle, as it is documented."""
    digest, found = hashlib.sha256(series_id.encode()).digest(), []
    texts: dict[int, bytes] = {}
    for event in case["events"]:
        time = event["candle_time"]
        texts[time] = texts.get(time, b"") + canonical(event).encode() + b"\n"
    for row in candles_of(case).rows():
        candle = struct.pack("<q5d", *row)
        digest = hashlib.sha256(digest + candle + texts.get(row.candle_time, b"")).digest()
        found.append(digest.hex())
    return found


def digest_at(client: Client, series_id: str, **query: object) -> dict[str, Any]:
    answer = get(client, "ledger/digest", series_id=series_id, **query)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("case", ["plateau_2_1", "walk_2_1", "flat_2_1"], indirect=True)
def test_digest_is_the_documented_hash_at_any_candle(case: dict[str, Any], client: Client) -> None:
    candles, series_id = candles_of(case), case["series_id"]
    pipeline.run_sync({series_id: candles})

    for count, expected in list(enumerate(digests_of(case, series_id), 1))[::-19]:
        time = int(candles.time[count - 1])
        assert digest_at(client, series_id, at_time=time) == {
            "series_id": series_id,
            "candle_id": f"{series_id}:{time}",
            "candle_time": time,
            "candles": count,
            "digest": expected,
            "generation": 0,
            "rules_fingerprint": current_fingerprint(),
        }


@pytest.mark.parametrize("case", ["doji61_2_2"], indirect=True)
def test_digest_at_every_candle_is_that_of_a_ledger_which_ends_there(
    case: dict[str, Any], client: Client
) -> None:
    candles, series_id = candles_of(case), case["series_id"]
    ends = []
    for n in range(len(candles)):
        pipeline.run_sync({series_id: candles.take(slice(n, n + 1))})
        ends.append(digest_at(client, series_id))

    assert ends == [digest_at(client, series_id, at_time=time) for time in candles.time]
    assert len({end["digest"] for end in ends}) == len(candles)


@pytest.mark.parametrize("size", [7, 512, 600])
@pytest.mark.parametrize("case", ["walk_2_1"], indirect=True)
def test_digest_does_not_tell_how_candles_came(
    size: int, case: dict[str, Any], client: Client
) -> None:
    candles = candles_of(case)
    for first in range(0, len(candles), size):
        pipeline.run_sync({SERIES: candles.take(slice(first, first + size))})

    assert digest_at(client, SERIES)["digest"] == digests_of(case, SERIES)[-1]


def test_a_rebuild_changes_no_digest(case: dict[str, Any], client: Client) -> None:
    candles = candles_of(case)
    for first in range(0, len(candles), 30):
        pipeline.run_sync({SERIES: candles.take(slice(first, first + 30))})
    asked = [{}, {"at_time": int(candles.time[77])}]
    before = [digest_at(client, SERIES, **query) for query in asked]

    series_rebuild(SERIES)

    assert [digest_at(client, SERIES, **query) for query in asked] == before


def test_a_corrected_candle_changes_the_digests_from_it_on(client: Client) -> None:
    times = [START, START + 60, START + 120]
    pipeline.run_sync({SERIES: flat(1, 2, 3)})
    before = [digest_at(client, SERIES, at_time=time) for time in times]

    pipeline.run_sync({SERIES: flat(2.5, start=START + 60)})

    after = [digest_at(client, SERIES, at_time=time) for time in times]
    assert [b["digest"] == a["digest"] for b, a in zip(before, after, strict=True)] == [
        True,
        False,
        False,
    ]
    assert [answer["generation"] for answer in after] == [1, 1, 1]


def test_series_of_the_same_candles_have_different_digests(client: Client) -> None:
    other = "test:spot:OTHER/USDT:1m"
    pipeline.run_sync({SERIES: flat(1, 2), other: flat(1, 2)})

    assert digest_at(client, SERIES)["digest"] != digest_at(client, other)["digest"]


def test_a_time_between_candles_or_after_them_means_the_one_before(client: Client) -> None:
    pipeline.run_sync({SERIES: flat(1, 2, step=60)})

    between = digest_at(client, SERIES, at_time=START + 59)
    late = digest_at(client, SERIES, at_time=START + 10_000)

    assert (between["candle_time"], between["candles"]) == (START, 1)
    assert late == digest_at(client, SERIES)
    assert (late["candle_time"], late["candles"]) == (START + 60, 2)


def test_without_a_time_a_ledger_behind_gives_the_digest_of_its_head(client: Client) -> None:
    pipeline.run_sync({SERIES: flat(1, 2, 3)})
    then = digest_at(client, SERIES, at_time=START + 60)
    LedgerHead.objects.filter(series_id=SERIES).update(factor_head=START + 60)

    assert digest_at(client, SERIES) == then


@pytest.mark.parametrize("heads", [{"factor_head": None}, {"dirty_from": START + 60}])
def test_without_a_sound_head_there_is_no_digest(heads: dict[str, Any], client: Client) -> None:
    pipeline.run_sync({SERIES: flat(1, 2, 3)})
    LedgerHead.objects.filter(series_id=SERIES).update(**heads)

    answer = get(client, "ledger/digest", series_id=SERIES)

    assert (answer.status_code, answer.json()) == (409, {"detail": "ledger_out_of_sync:factor"})


def test_a_digest_of_other_rules_is_refused(client: Client) -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})

    with override_settings(TRADE_CANVAS_PIVOT_WINDOW_MAJOR=7):
        answer = get(client, "ledger/digest", series_id=SERIES)

    assert (answer.status_code, answer.json()) == (409, {"detail": "ledger_out_of_sync:factor"})


def test_before_the_first_candle_there_is_no_digest(client: Client) -> None:
    pipeline.run_sync({SERIES: flat(1, 2)})

    answer = get(client, "ledger/digest", series_id=SERIES, at_time=START - 1)

    assert (answer.status_code, answer.json()) == (404, {"detail": "no_data"})
