"""The commands that take candles in and give events out."""

import csv
import gzip
import io
import json
import os
import random
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from threading import Thread
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import override_settings

from factors.selectors import events_in_order
from ingest import pipeline
from ledger.models import LedgerHead
from market import selectors
from market.bundled import bundled_candles
from market.candle_file import CandleFileError, read_candles
from market.candles import Candles
from tests.ledger.reading import SERIES, START
from tests.tables import tables_state

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parent.parent.parent
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


def test_a_ledger_that_is_not_up_to_date_is_not_exported(tmp_path: Path) -> None:
    run_import(tmp_path, HEADER + f"{START},1,1,1,1,1\n")
    LedgerHead.objects.update(dirty_from=START)

    with pytest.raises(CommandError, match="ledger_out_of_sync:factor"):
        call_command("export_events", SERIES, stdout=io.StringIO())


def test_a_series_without_candles_is_not_exported() -> None:
    with pytest.raises(CommandError, match="no candles are stored"):
        call_command("export_events", SERIES, stdout=io.StringIO())


@pytest.mark.django_db(transaction=True, databases=["default", "reader"])
def test_an_export_shows_one_state_though_history_changes_meanwhile() -> None:
    candles = bundled_candles(400)
    earlier = Candles.from_rows([(int(candles.time[0]) - 60, 1.0, 1.0, 1.0, 1.0, 1.0)])
    small_pages = partial(events_in_order, page=20)

    def meddle() -> None:
        try:
            pipeline.run_sync({SERIES: earlier})
        finally:
            connections.close_all()

    class Meddled(io.StringIO):
        """Takes in a candle before the first one when so many lines are written."""

        def write(self, text: str) -> int:
            if self.getvalue().count("\n") == 20:
                thread = Thread(target=meddle)
                thread.start()
                thread.join()
            return super().write(text)

    with (
        override_settings(TRADE_CANVAS_PIVOT_WINDOW_MAJOR=2, TRADE_CANVAS_PIVOT_WINDOW_MINOR=1),
        patch("ledger.management.commands.export_events.events_in_order", small_pages),
    ):
        pipeline.run_sync({SERIES: candles})
        before, meddled = io.StringIO(), Meddled()
        call_command("export_events", SERIES, stdout=before)
        call_command("export_events", SERIES, stdout=meddled)

    assert LedgerHead.objects.get(series_id=SERIES).generation == 1
    assert meddled.getvalue() == before.getvalue()


def test_whoever_reads_only_the_first_lines_gets_no_complaint(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "export_events", BUNDLED]
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"}
    for prepare in (["migrate", "-v0"], ["load_bundled"]):
        subprocess.run(
            [sys.executable, "manage.py", *prepare],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            check=True,
        )

    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as export:
        assert export.stdout
        assert export.stderr
        export.stdout.readline()
        export.stdout.close()
        complaint = export.stderr.read()

    assert (complaint, export.returncode) == (b"", 0)


def test_a_damaged_gzip_file_is_said_in_words(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress((HEADER + f"{START},1,1,1,1,1\n" * 500).encode()))
    dice, said = random.Random(1), set()  # noqa: S311 (a sequence that can be repeated)
    for number in range(60):
        damaged = packed.copy()
        damaged[dice.randrange(10, len(damaged))] ^= 1 << dice.randrange(8)
        path = tmp_path / f"{number}.csv.gz"
        path.write_bytes(damaged)
        try:
            read_candles(path)
        except CandleFileError as error:
            said.add(type(error.__cause__).__name__)

    assert "error" in said  # zlib's, which is no OSError


@pytest.mark.parametrize(
    "command",
    [
        "import_candles", "load_bundled", "export_events", "serve", "run_ingest", "backfill",
        "check_factor", "startfactor", "sweep", "rebuild", "verify_ledger", "check_ledger",
    ],
)  # fmt: skip
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command(command, "--help")

    assert ended.value.code == 0
    assert f"manage.py {command}" in capsys.readouterr().out
