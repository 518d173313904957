"""Which factors exist, and in which order they run. Imports no framework."""

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules

from factors.engine.types import Factor

_factors: dict[str, Factor] = {}


class FactorGraphError(Exception):
    """Factors whose names or needs do not fit together."""


def register(factor: type[Factor]) -> type[Factor]:
    """Make a factor known under its name; use it as a class decorator."""
    name = factor.name.strip()
    if not name:
        raise FactorGraphError("empty_factor_name")
    known = _factors.get(name)
    if known and type(known).__qualname__ != factor.__qualname__:
        raise FactorGraphError(f"duplicate_factor:{name}")
    _factors[name] = factor()
    return factor


def load() -> None:
    """Import every module of `factors.engine.plugins`; each registers itself."""
    package = import_module("factors.engine.plugins")
    for module in iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")


def ordered() -> list[Factor]:
    """Return the known factors, each after those it needs; equals go by name."""
    return sort(_factors.values())


def sort(factors: Iterable[Factor]) -> list[Factor]:
    """Return factors in the order of their needs, or raise `FactorGraphError`.

    Depth first over sorted names with sorted needs (`factors.md` A1).
    """
    by_name = {factor.name: factor for factor in factors}
    missing = sorted(
        f"{factor.name}->{need}"
        for factor in by_name.values()
        for need in factor.needs
        if need not in by_name
    )
    if missing:
        raise FactorGraphError(f"missing_deps:{missing}")
    done: dict[str, Factor] = {}
    for name in sorted(by_name):
        _visit(name, by_name, done, [])
    return list(done.values())


def _visit(name: str, by_name: dict[str, Factor], done: dict[str, Factor], path: list[str]) -> None:
    if name in path:
        raise FactorGraphError("cycle:" + "->".join([*path[path.index(name) :], name]))
    if name in done:
        return
    for need in sorted(by_name[name].needs):
        _visit(need, by_name, done, [*path, name])
    done[name] = by_name[name]
