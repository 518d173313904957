"""The commands that take candles in and give events out."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from django.core.management import call_command

from ledger.models import LedgerHead
from market import selectors
from tests.ledger.reading import SERIES, START
from tests.tables import tables_state

pytestmark = pytest.mark.django_db
BUNDLED = "binance:futures:BTC/USDT:1m"
HEADER = "candle_time,open,high,low,close,volume\n"


def run_import(folder: Path, text: str, *flags: str) -> tuple[str, str]:
    """Import this text; return what was printed to both outputs."""
    path, out, err = folder / "candles.csv", io.StringIO(), io.StringIO()
    path.write_text(text)
    call_command("import_candles", SERIES, str(path), *flags, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_bundled_candles_load_once_and_the_second_import_changes_nothing() -> None:
    out = io.StringIO()
    call_command("load_bundled", "--if-empty", stdout=out)
    first = tables_state()

    call_command("load_bundled", stdout=out)
    call_command("load_bundled", "--if-empty", stdout=io.StringIO())

    assert "73139 candles read, 73139 new or changed" in out.getvalue()
    assert "73139 candles read, 0 new or changed, 73139 already there" in out.getvalue()
    assert re.search(r"[\d.]+ s, [\d,]+ candles/s", out.getvalue())
    assert tables_state() == first
    head = LedgerHead.objects.get(series_id=BUNDLED)
    assert head.overlay_head == head.factor_head == head.candle_head == 1750761060


def test_bad_lines_are_left_out_and_counted_when_asked(tmp_path: Path) -> None:
    text = HEADER + f"{START},1,1,1,1,1\nx,1,1,1,1,1\n{START + 60},2,2,2,2,2\n{START + 120},3\n"

    out, err = run_import(tmp_path, text, "--skip-bad")

    assert "2 candles read, 2 new or changed, 0 already there, 2 bad lines left out" in out
    assert "line 3" in err
    assert "line 5: 2 columns instead of 6" in err
    assert selectors.head_time(SERIES) == START + 60


def test_rows_in_any_order_are_taken(tmp_path: Path) -> None:
    run_import(tmp_path, HEADER + f"{START + 60},2,2,2,2,2\n{START},1,1,1,1,1\n")

    assert [c.close for c in selectors.candles_latest(SERIES, 5).rows()] == [1.0, 2.0]


def test_an_import_before_the_first_candle_says_what_it_does(tmp_path: Path) -> None:
    run_import(tmp_path, HEADER + f"{START},1,1,1,1,1\n")

    _, err = run_import(tmp_path, HEADER + f"{START - 60},1,1,1,1,1\n")

    assert "everything is computed again" in err


def test_events_are_exported_in_order_as_lines_or_table() -> None:
    call_command("load_bundled", stdout=io.StringIO())
    lines, table = io.StringIO(), io.StringIO()

    call_command("export_events", BUNDLED, "--factor", "pen", stdout=lines)
    call_command("export_events", BUNDLED, "--factor", "pen", "--format", "csv", stdout=table)

    events = [json.loads(line) for line in lines.getvalue().splitlines()]
    rows = list(csv.DictReader(io.StringIO(table.getvalue())))
    assert len(events) > 500
    assert [event["candle_time"] for event in events] == sorted(e["candle_time"] for e in events)
    assert [row["event_key"] for row in rows] == [event["event_key"] for event in events]
    assert json.loads(rows[0]["payload"]) == events[0]["payload"]


@pytest.mark.parametrize("command", ["import_candles", "load_bundled", "export_events", "serve"])
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command(command, "--help")

    assert ended.value.code == 0
    assert f"manage.py {command}" in capsys.readouterr().out
