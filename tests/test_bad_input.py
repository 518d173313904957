"""Every malformed body, query, file row and socket frame gets its answer and changes no table."""

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from ingest import pipeline
from tests.ledger.reading import SERIES, START, flat
from tests.tables import tables_state

pytestmark = pytest.mark.django_db

CLOSED = "/api/market/ingest/candle_closed"
BATCH = "/api/dev/market/ingest/candles_closed_batch"
GOOD = {"candle_time": START, "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1}


@pytest.fixture
def staff(settings: Any) -> Client:
    """Return a client that may write, on a ledger with two candles."""
    settings.TRADE_CANVAS_ENABLE_DEV_API = True
    pipeline.run_sync({SERIES: flat(1, 2)})
    client = Client()
    client.force_login(User.objects.create_user("researcher", is_staff=True))
    return client


@pytest.fixture(autouse=True)
def unchanged(request: pytest.FixtureRequest) -> Iterator[None]:
    """Assert that the test left every table as it was."""
    if "staff" in request.fixturenames:
        request.getfixturevalue("staff")
    before = tables_state()
    yield
    assert tables_state() == before


def post(client: Client, path: str, body: Any) -> Any:
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post(path, text, content_type="application/json")


def candle(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}


ODD_CANDLES: list[tuple[dict[str, Any], list[Any]]] = [
    *((candle(**{name: ...}), ["candle", name]) for name in GOOD),
    (candle(candle_time=0), ["candle", "candle_time"]),
    (candle(candle_time=-60), ["candle", "candle_time"]),
    (candle(candle_time=START + 0.5), ["candle", "candle_time"]),
    (candle(candle_time="soon"), ["candle", "candle_time"]),
    (candle(candle_time=2**63), ["candle", "candle_time"]),
    (candle(candle_time=None), ["candle", "candle_time"]),
    (candle(close="NaN"), ["candle", "close"]),
    (candle(close="Infinity"), ["candle", "close"]),
    (candle(high="-inf"), ["candle", "high"]),
    (candle(low="low"), ["candle", "low"]),
    (candle(open=[]), ["candle", "open"]),
    (candle(open=True), ["candle", "open"]),
    (candle(candle_time=True), ["candle", "candle_time"]),
    (candle(volume=None), ["candle", "volume"]),
]


@pytest.mark.parametrize(("odd", "where"), ODD_CANDLES, ids=lambda value: json.dumps(value)[:40])
def test_an_odd_candle_is_422_at_its_place(
    odd: dict[str, Any], where: list[Any], staff: Client
) -> None:
    answer = post(staff, CLOSED, {"series_id": SERIES, "candle": odd})

    assert answer.status_code == 422
    (problem,) = answer.json()["detail"]
    assert problem["loc"] == ["body", *where]
    assert {"type", "msg", "input"} <= set(problem)


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "{",
        "[]",
        "null",
        '"text"',
        "{}",
        "\x00",
        b"\xff\xfe",
        '{"series_id": "a:b:c:1m"}',
        f'{{"series_id": "", "candle": {json.dumps(GOOD)}}}',
        f'{{"series_id": 5, "candle": {json.dumps(GOOD)}}}',
        '{"series_id": "a:b:c:1m", "candle": [1, 2]}',
        '{"series_id": "a:b:c:1m", "candle": {"candle_time": NaN}}',
        json.dumps({"series_id": SERIES, "candle": candle()}).replace('"open": 1', '"open": NaN'),
        json.dumps({"series_id": SERIES, "candle": candle()}).replace('"open": 1', '"open": 1e999'),
        "[" * 100_000,
    ],
    ids=lambda text: repr(text)[:30],
)
def test_a_body_that_does_not_fit_is_422_with_a_list(text: str | bytes, staff: Client) -> None:
    answer = post(staff, CLOSED, text)

    assert answer.status_code in {413, 422} if len(text) > 65536 else answer.status_code == 422
    if answer.status_code == 422:
        assert isinstance(answer.json()["detail"], list)


@pytest.mark.parametrize(
    "series_id",
    [
        "abc",
        "a:b:c",
        "a:b::1m",
        ":b:c:1m",
        "a:b:c:7w",
        "a:b:c:0m",
        "a:b:c:m",
        "a:b:c d:1m",
        "a:b:c\n:1m",
        "a:b:" + "c" * 128 + ":1m",
        "a:b:c\x00:1m",
    ],
)
@pytest.mark.parametrize("path", [CLOSED, BATCH])
def test_a_bad_series_id_is_400_on_a_write(series_id: str, path: str, staff: Client) -> None:
    body = {"series_id": series_id, "candle": GOOD, "candles": [GOOD]}

    answer = post(staff, path, body)

    assert answer.status_code == 400
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize(
    "candles",
    [[], None, {}, "x", [{}], [GOOD, candle(close=None)], [GOOD] * 20_001],
    ids=["none", "null", "object", "text", "empty candle", "one odd", "too many"],
)
def test_an_odd_batch_is_422(candles: Any, staff: Client) -> None:
    answer = post(staff, BATCH, {"series_id": SERIES, "candles": candles})

    assert answer.status_code == 422


def test_a_body_over_its_bound_is_413(staff: Client) -> None:
    body = {"series_id": SERIES, "candle": GOOD, "note": "x" * 70_000}

    answer = post(staff, CLOSED, body)

    assert (answer.status_code, answer.json()) == (413, {"detail": "body_too_large"})


def test_another_media_type_is_415(staff: Client) -> None:
    body = json.dumps({"series_id": SERIES, "candle": GOOD})

    assert staff.post(CLOSED, body, content_type="text/plain").status_code == 415


def test_the_batch_route_is_not_there_while_its_gate_is_closed(
    staff: Client, settings: Any
) -> None:
    settings.TRADE_CANVAS_ENABLE_DEV_API = False

    answer = post(staff, BATCH, {"series_id": SERIES, "candles": [GOOD]})

    assert (answer.status_code, answer.json()) == (404, {"detail": "not_found"})


@pytest.mark.parametrize(
    ("user", "status", "detail"),
    [(None, 401, "not_authenticated"), ({"username": "reader"}, 403, "forbidden")],
)
def test_who_may_not_write_is_told_so(
    user: dict[str, Any] | None, status: int, detail: str, client: Client
) -> None:
    if user:
        client.force_login(User.objects.create_user(**user))

    answer = post(client, CLOSED, {"series_id": SERIES, "candle": GOOD})

    assert (answer.status_code, answer.json()) == (status, {"detail": detail})


def test_a_wrong_method_and_an_unknown_path_say_so(staff: Client) -> None:
    for response in (staff.get(CLOSED), post(staff, "/api/frame/live", {})):
        assert (response.status_code, response.json()) == (405, {"detail": "Method Not Allowed"})
        assert response["Allow"]
    assert staff.get("/api/frame/life").json() == {"detail": "Not Found"}
    assert staff.get("/api/frame/live/").status_code == 404


ODD_QUERIES = [
    ("market/candles", {}, "series_id"),
    ("market/candles", {"series_id": ""}, "series_id"),
    ("market/candles", {"series_id": SERIES, "limit": "0"}, "limit"),
    ("market/candles", {"series_id": SERIES, "limit": "5001"}, "limit"),
    ("market/candles", {"series_id": SERIES, "limit": "1.5"}, "limit"),
    ("market/candles", {"series_id": SERIES, "since": "-1"}, "since"),
    ("factor/slices", {"series_id": SERIES}, "at_time"),
    ("factor/slices", {"series_id": SERIES, "at_time": "-1"}, "at_time"),
    ("factor/slices", {"series_id": SERIES, "at_time": "now"}, "at_time"),
    ("factor/slices", {"series_id": SERIES, "at_time": str(2**63)}, "at_time"),
    (
        "factor/slices",
        {"series_id": SERIES, "at_time": "5", "window_candles": "0"},
        "window_candles",
    ),
    ("factor/health", {}, "series_id"),
    ("draw/delta", {"series_id": SERIES, "cursor_version_id": "-1"}, "cursor_version_id"),
    ("draw/delta", {"series_id": SERIES, "cursor_version_id": "1" * 30}, "cursor_version_id"),
    ("draw/delta", {"series_id": SERIES, "window_candles": "5001"}, "window_candles"),
    ("draw/delta", {"series_id": SERIES, "at_time": "x"}, "at_time"),
    ("frame/live", {}, "series_id"),
    ("frame/live", {"series_id": SERIES, "window_candles": "x"}, "window_candles"),
    ("frame/at_time", {"series_id": SERIES}, "at_time"),
    ("frame/at_time", {"series_id": SERIES, "at_time": ""}, "at_time"),
    ("delta/poll", {"series_id": SERIES, "after_id": "-5"}, "after_id"),
    ("delta/poll", {"series_id": SERIES, "limit": "0"}, "limit"),
    ("ledger/digest", {}, "series_id"),
    ("ledger/digest", {"series_id": SERIES, "at_time": "-1"}, "at_time"),
    ("ledger/digest", {"series_id": SERIES, "at_time": ""}, "at_time"),
    ("ledger/diff", {"series_id": SERIES, "to_time": "5"}, "from_time"),
    ("ledger/diff", {"series_id": SERIES, "from_time": "5"}, "to_time"),
    ("ledger/diff", {"series_id": SERIES, "from_time": "x", "to_time": "5"}, "from_time"),
    ("ledger/diff", {"series_id": SERIES, "from_time": "6", "to_time": "5"}, "to_time"),
    (
        "ledger/diff",
        {"series_id": SERIES, "from_time": "5", "to_time": "5", "window_candles": "5001"},
        "window_candles",
    ),
]


@pytest.mark.parametrize(("path", "query", "where"), ODD_QUERIES)
def test_an_odd_query_is_422_at_its_name(
    path: str, query: dict[str, str], where: str, staff: Client
) -> None:
    answer = staff.get(f"/api/{path}", query)

    assert answer.status_code == 422
    assert [problem["loc"] for problem in answer.json()["detail"]] == [["query", where]]


@pytest.mark.parametrize(
    "path",
    [
        "factor/slices",
        "draw/delta",
        "frame/live",
        "frame/at_time",
        "ledger/digest",
        "ledger/diff",
    ],
)
@pytest.mark.parametrize("series_id", ["a\x00b", "😀" * 50, "' OR 1=1 --", "a:b:c\ud800:1m"])
def test_a_strange_series_id_never_breaks_a_read(path: str, series_id: str, staff: Client) -> None:
    times = dict.fromkeys(("at_time", "from_time", "to_time"), b"5")
    query = {"series_id": series_id.encode("utf-8", "surrogatepass"), **times}

    assert staff.get(f"/api/{path}", query).status_code in {200, 404}


def test_a_bad_series_id_is_400_on_health(staff: Client) -> None:
    answer = staff.get("/api/factor/health", {"series_id": "a:b:c:7w"})

    assert (answer.status_code, answer.json()) == (
        400,
        {"detail": "unsupported timeframe unit: 'w'"},
    )


HEADER = "candle_time,open,high,low,close,volume\n"
ROW = f"{START},1,1,1,1,1\n"
ODD_FILES = [
    ("", "line 1"),
    ("time,o,h,l,c,v\n" + ROW, "line 1"),
    (HEADER, "no candles"),
    (HEADER + ROW + f"{START + 60},1,1,1,1\n", "line 3: 5 columns"),
    (HEADER + ROW + f"{START + 60},1,1,1,1,1,1\n", "line 3: 7 columns"),
    (HEADER + ROW + "soon,1,1,1,1,1\n", "line 3"),
    (HEADER + ROW + "0,1,1,1,1,1\n", "line 3: candle_time 0"),
    (HEADER + ROW + f"{2**63},1,1,1,1,1\n", "line 3"),
    (HEADER + ROW + f"{START}.5,1,1,1,1,1\n", "line 3"),
    (HEADER + ROW + "1_700_000_060,1,1,1,1,1\n", "line 3: a number holds"),
    (HEADER + ROW + f"{START + 60},1,1,1,nan,1\n", "line 3: close is nan"),
    (HEADER + ROW + f"{START + 60},inf,1,1,1,1\n", "line 3: open is inf"),
    (HEADER + ROW + f"{START + 60},1,,1,1,1\n", "line 3"),
    (HEADER + ROW * 3 + "\n\n" + f"{START},x,1,1,1,1\n", "line 7"),
]


@pytest.mark.parametrize(("text", "said"), ODD_FILES)
def test_a_bad_file_names_its_line_and_keeps_nothing(
    text: str, said: str, tmp_path: Path, staff: Client
) -> None:
    path = tmp_path / "candles.csv"
    path.write_text(text)

    with pytest.raises(CommandError, match=said):
        call_command("import_candles", "a:b:NEW/USDT:1m", str(path))


@pytest.mark.parametrize(
    "content",
    [gzip.compress((HEADER + ROW).encode())[:-9], b"\x1f\x8bnot gzip", b"\xff\xfe\x00\x01"],
    ids=["cut off", "no gzip", "no text"],
)
def test_a_broken_file_is_an_error_and_keeps_nothing(
    content: bytes, tmp_path: Path, staff: Client
) -> None:
    path = tmp_path / "candles.csv.gz"
    path.write_bytes(content)

    with pytest.raises(CommandError):
        call_command("import_candles", "a:b:NEW/USDT:1m", str(path))


def test_a_missing_file_and_a_bad_series_id_are_errors(tmp_path: Path, staff: Client) -> None:
    with pytest.raises(CommandError, match=r"none\.csv"):
        call_command("import_candles", SERIES, str(tmp_path / "none.csv"))
    with pytest.raises(CommandError, match="series_id must be"):
        call_command("import_candles", "abc", str(tmp_path / "none.csv"))
    with pytest.raises(CommandError, match="series_id must be"):
        call_command("export_events", "abc", stdout=io.StringIO())
