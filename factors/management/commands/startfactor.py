"""Write the skeleton of a new factor, and its test."""

import keyword
import re
import shlex
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from factors.engine import registry

SKELETON = Path(__file__).resolve().parent.parent / "skeleton"
EXAMPLE = """
example:
  manage.py startfactor gap --needs pivot,pen
  manage.py startfactor gap --package ../my_factors

The first writes factors/engine/plugins/gap.py and tests/factors/test_gap.py, the second a package
of its own, found by its entry point once it is installed with pip. What is written runs as it is;
put your rule into `step`. docs/factors.md teaches how.
"""


class Command(BaseCommand):
    """Writes files, and never over one that is there."""

    help = "Write the skeleton of a new factor and its test."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLE
        parser.add_argument("name", help="small letters, digits and _")
        parser.add_argument("--needs", default="", help="factors it builds on, as in pivot,pen")
        parser.add_argument("--package", type=Path, help="write a package into this folder")

    def handle(self, *_: Any, **options: Any) -> None:
        """Check the names, then write."""
        name, package = options["name"], options["package"]
        needs = [need.strip() for need in options["needs"].split(",") if need.strip()]
        self._require_names(name, needs)
        facts = {
            "name": name,
            "label": name.replace("_", " ").capitalize(),
            "class_name": class_name(name),
            "needs": _tuple_text(needs),
            "project": f"trade-canvas-{name.replace('_', '-')}",
        }
        files = _package_files(package, name) if package else _own_files(name)
        for path in files:
            if path.exists():
                raise CommandError(f"{path} is there already; nothing was written")
        texts = {path: _filled(template, facts) for path, template in files.items()}
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            self.stdout.write(f"wrote {path}")
        self._say_next(name, package)

    def _require_names(self, name: str, needs: list[str]) -> None:
        known = {factor.name for factor in registry.known()}
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or keyword.iskeyword(name):
            raise CommandError(f"{name!r} is no name for a factor: small letters, digits and _")
        if keyword.iskeyword(class_name(name)) or name.endswith("_") or find_spec(name):
            raise CommandError(f"{name!r} is taken: Python has a module or word of that name")
        if name in known:
            raise CommandError(f"there is a factor {name!r} already")
        unknown = [need for need in needs if need not in known]
        if unknown:
            raise CommandError(f"no factor {unknown[0]!r}; there are {', '.join(sorted(known))}")

    def _say_next(self, name: str, package: Path | None) -> None:
        if package:
            folder, python = shlex.quote(str(package)), shlex.quote(sys.executable)
            self.stdout.write(f"next, from here: {python} -m pip install -e {folder}")
            self.stdout.write(f"                 ./dev test {folder}")
        else:
            self.stdout.write(f"next: ./dev test tests/factors/test_{name}.py")
            self.stdout.write(f"      and a section ## `{name}` in docs/factors.md")
        self.stdout.write(f"then: ./dev manage check_factor {name}")


def class_name(name: str) -> str:
    """Return what the class of a factor is called.

    >>> class_name("wide_gap")
    'WideGap'
    """
    return name.title().replace("_", "")


def _filled(template: str, facts: dict[str, str]) -> str:
    return Template((SKELETON / template).read_text()).substitute(facts)


def _tuple_text(names: list[str]) -> str:
    """Return names as source code.

    >>> _tuple_text([]), _tuple_text(["pen"]), _tuple_text(["pen", "pivot"])
    ('()', '("pen",)', '("pen", "pivot")')
    """
    listed = ", ".join(f'"{name}"' for name in names)
    return f"({listed},)" if len(names) == 1 else f"({listed})"


def _own_files(name: str) -> dict[Path, str]:
    return {
        settings.BASE_DIR / "factors/engine/plugins" / f"{name}.py": "factor.py-tpl",
        settings.BASE_DIR / "tests/factors" / f"test_{name}.py": "test_factor.py-tpl",
    }


def _package_files(folder: Path, name: str) -> dict[Path, str]:
    return {
        folder / "pyproject.toml": "pyproject.toml-tpl",
        folder / f"{name}.py": "factor.py-tpl",
        folder / f"test_{name}.py": "test_factor.py-tpl",
    }
