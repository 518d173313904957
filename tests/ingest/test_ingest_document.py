"""The page about ingest shows the table, the picture and the numbers of the guardrail."""

import re
from dataclasses import asdict
from pathlib import Path

from django.conf import settings

from ingest import circuit_table
from ingest.guardrail import FailureKind, IngestLoopGuardrailConfig

TEXT = (Path(settings.BASE_DIR) / "docs" / "ingest.md").read_text()


def test_the_picture_is_drawn_from_the_table() -> None:
    assert f"```mermaid\n{circuit_table.as_mermaid()}\n```" in TEXT


def test_the_table_is_that_of_the_code() -> None:
    assert f"\n\n{circuit_table.as_markdown()}\n\n" in TEXT


def test_every_number_is_listed_with_its_default() -> None:
    shown = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", TEXT, re.MULTILINE)

    assert {name: float(number) for name, number in shown} == asdict(IngestLoopGuardrailConfig())


def test_every_kind_of_failure_is_listed() -> None:
    shown = re.findall(r"^\| `(\w+)`: ", TEXT, re.MULTILINE)

    assert shown == list(FailureKind)
