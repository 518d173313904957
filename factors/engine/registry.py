"""Which factors exist, and in which order they run. Imports no framework."""

from collections.abc import Collection, Iterable
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules

from factors.engine.types import Factor

ENTRY_POINTS = "trade_canvas.factors"
_factors: dict[str, Factor] = {}


class FactorGraphError(Exception):
    """Factors whose names or needs do not fit together."""


def register(factor: type[Factor]) -> type[Factor]:
    """Make a factor known under its name; use it as a class decorator."""
    name = factor.name.strip()
    if not name:
        raise FactorGraphError("empty_factor_name")
    known = _factors.get(name)
    if known and (type(known).__module__, type(known).__qualname__) != (
        factor.__module__,
        factor.__qualname__,
    ):
        raise FactorGraphError(f"duplicate_factor:{name}")
    _factors[name] = factor()
    return factor


def load() -> None:
    """Import the modules of `factors.engine.plugins` and of installed packages.

    Each registers itself. A package names its module by an entry point of the group
    `trade_canvas.factors`.
    """
    package = import_module("factors.engine.plugins")
    for module in iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
    for entry_point in sorted(entry_points(group=ENTRY_POINTS)):
        try:
            entry_point.load()
        except Exception as error:
            source = entry_point.dist.name if entry_point.dist else "an installed package"
            named = f"{entry_point.name} = {entry_point.value}"
            raise FactorGraphError(f"{source}: {named}: {error!r}") from error


def known() -> list[Factor]:
    """Return every registered factor, on by default or not, each after those it needs."""
    return sort(_factors.values())


def ordered(extra: Collection[str] = ()) -> list[Factor]:
    """Return the factors that are on by default and the `extra` ones, in the order of their needs.

    Equals go by name. Raises `FactorGraphError` for an extra one that is not known.
    """
    unknown = sorted(set(extra) - set(_factors))
    if unknown:
        raise FactorGraphError(f"missing_factor:{unknown[0]}")
    return sort(f for f in _factors.values() if f.default_on or f.name in extra)


def sort(factors: Iterable[Factor]) -> list[Factor]:
    """Return factors in the order of their needs, or raise `FactorGraphError`.

    Depth first over sorted names with sorted needs.
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
