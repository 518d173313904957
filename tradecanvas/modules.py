"""The JavaScript modules that a page needs at once: the browser asks for them together."""

import re
from functools import cache
from pathlib import Path
from posixpath import dirname, join, normpath

from django.conf import settings

IMPORT = re.compile(r'^(?:import|export|\}) ?(?:.* )?from "(\.[^"]+)";$', re.MULTILINE)


@cache
def modules_of(name: str) -> tuple[str, ...]:
    """Return a module of ours and all that it imports, by their static names, its own first.

    What it imports later, by `import()`, is left out. Each process reads the files once.
    """
    found: dict[str, None] = {}
    left = [name]
    while left:
        module = left.pop(0)
        if module not in found:
            found[module] = None
            text = (Path(settings.BASE_DIR) / "static" / module).read_text()
            left += [normpath(join(dirname(module), other)) for other in IMPORT.findall(text)]
    return tuple(found)
