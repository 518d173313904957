"""The series that are followed for ever; a file names them. It restricts nothing else."""

import logging
from pathlib import Path

import orjson

logger = logging.getLogger(__name__)

_last: dict[Path, list[str]] = {}
_told: dict[Path, str] = {}


class BadWhitelistError(ValueError):
    """The file is there but holds no list of series ids."""


def whitelist_read(path: Path) -> list[str]:
    """Return the ids in the order of the file, trimmed, each once; without a file, none."""
    try:
        listed = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return []
    except orjson.JSONDecodeError as error:
        raise BadWhitelistError(f"{path} is not JSON: {error}") from None
    names = (name.strip() for name in _names(path, listed))
    return [name for name in dict.fromkeys(names) if name]


def whitelist_current(path: Path) -> list[str]:
    """Return what `whitelist_read` does; while that fails, what it returned last."""
    try:
        _last[path] = whitelist_read(path)
    except (BadWhitelistError, OSError) as error:
        if _told.get(path) != str(error):
            _told[path] = str(error)
            logger.warning("whitelist.unreadable %s", error)
    else:
        _told.pop(path, None)
    return _last.get(path, [])


def _names(path: Path, listed: object) -> list[str]:
    names = listed.get("series_ids") if isinstance(listed, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadWhitelistError(f'{path} must hold {{"series_ids": [text, ...]}}')
    return names
