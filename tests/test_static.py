"""Whoever serves files under hashed names can: every import of a module finds its file."""

import re
from pathlib import Path

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.management import call_command
from pytest_django import Settings

# Imports of types stand in comments and are none.
IMPORT = re.compile(r"""(?m)^(?!.*@import).*(?:\bfrom\s*|\bimport\(\s*)["'](\.[^"']+)["']""")
HASHED = re.compile(r"\.[0-9a-f]{12}\.js$")


class HashedModules(ManifestStaticFilesStorage):
    """Django's storage of hashed names, with imports of modules rewritten."""

    support_js_module_import_aggregation = True


def test_modules_import_each_other_by_their_hashed_names(
    settings: Settings, tmp_path: Path
) -> None:
    storage = f"{__name__}.{HashedModules.__qualname__}"
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {"staticfiles": {"BACKEND": storage}}

    call_command("collectstatic", interactive=False, verbosity=0)

    modules = [path for path in (tmp_path / "tc").rglob("*.js") if HASHED.search(path.name)]
    imports = [(path, name) for path in modules for name in IMPORT.findall(path.read_text())]
    assert any(name.startswith("./keys.") for _, name in imports)
    lost = [(path.name, name) for path, name in imports if not (path.parent / name).is_file()]
    plain = [(path.name, name) for path, name in imports if not HASHED.search(name)]
    assert (lost, plain) == ([], [])
