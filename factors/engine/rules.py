"""Which factors take part in a run, and with which parameters. Imports no framework."""

import hashlib
import inspect
import json
import numbers
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from factors.engine import kernel, registry
from factors.engine.types import Factor, Number, Param, Params

# What all rules stand on: a change here may change what they find.
SHARED = ("rules.py", "runner.py", "types.py")


class BadParameterError(ValueError):
    """A parameter that no factor has, or a value that it does not take; the message says which."""


@dataclass(frozen=True)
class Rules:
    """The factors that take part, in order, each with its parameters."""

    factors: tuple[Factor, ...]
    params: Mapping[str, Params]
    logic_version: str = ""
    _arguments: dict[int, dict[str, Params]] = field(default_factory=dict, compare=False)

    @property
    def names(self) -> list[str]:
        """The names of the factors, in order."""
        return [factor.name for factor in self.factors]

    def arguments(self, seconds: int) -> Mapping[str, Params]:
        """Return what `step` of each factor gets as `params`, for candles of this length."""
        if seconds not in self._arguments:
            self._arguments[seconds] = {
                factor.name: {
                    **{
                        f"{need}.{name}": value
                        for need in factor.needs
                        for name, value in self.params[need].items()
                    },
                    **self.params[factor.name],
                    "seconds": seconds,
                }
                for factor in self.factors
            }
        return self._arguments[seconds]

    @cached_property
    def layout(self) -> list[tuple[str, np.dtype[np.void], int]]:
        """Where the record of each factor stands in a row of bytes: name, dtype, offset."""
        sizes = [factor.state_dtype.itemsize for factor in self.factors]
        offsets = [sum(sizes[:n]) for n in range(len(sizes))]
        return [(f.name, f.state_dtype, o) for f, o in zip(self.factors, offsets, strict=True)]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the sources and parameters of everything that takes part."""
        modules = [inspect.getmodule(type(factor)) for factor in self.factors]
        files = {inspect.getfile(module) for module in [*modules, kernel] if module}
        files |= {str(Path(__file__).with_name(name)) for name in SHARED}
        facts = [self.names, self.params, self.logic_version]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=dict).encode())
        for path in sorted(files):
            digest.update(Path(path).read_bytes())
        return digest.hexdigest()


def make_rules(
    params: Mapping[str, Params], extra: Collection[str] = (), logic_version: str = ""
) -> Rules:
    """Return the factors that are on by default, and the `extra` ones, with these parameters.

    `params` maps a factor to some of its parameters; the others have their defaults. Raises
    `BadParameterError` for one that there is not or that is out of its bounds.
    """
    factors = registry.ordered(extra)
    unknown = sorted(set(params) - {factor.name for factor in factors})
    if unknown:
        raise BadParameterError(f"no factor {unknown[0]!r} takes part")
    values = {factor.name: _values(factor, params.get(factor.name, {})) for factor in factors}
    return Rules(tuple(factors), values, logic_version)


def by_factor(params: Mapping[str, Number]) -> dict[str, dict[str, Number]]:
    """Return parameters named as in `pivot.window_major` by factor and name."""
    found: dict[str, dict[str, Number]] = {}
    for name, value in params.items():
        factor, dot, param = name.partition(".")
        if not dot:
            raise BadParameterError(
                f"a parameter is named as in 'pivot.window_major', not {name!r}"
            )
        found.setdefault(factor, {})[param] = value
    return found


def _values(factor: Factor, given: Params) -> Params:
    known = {param.name: param for param in factor.params}
    for name, value in given.items():
        if name not in known:
            raise BadParameterError(f"{factor.name} has no parameter {name!r}")
        _require_bounds(factor.name, known[name], value)
    plain = {name: int(x) if is_whole(x) else float(x) for name, x in given.items()}
    return {name: param.default for name, param in known.items()} | plain


def is_whole(value: object) -> bool:
    """Say whether a number is whole by its type, numpy's included."""
    return isinstance(value, numbers.Integral)


def _require_bounds(factor: str, param: Param, value: Number) -> None:
    name = f"{factor}.{param.name}"
    if isinstance(value, bool) or (isinstance(param.default, int) and not is_whole(value)):
        raise BadParameterError(f"{name} must be a whole number, was {value!r}")
    if not value >= param.minimum or (param.maximum is not None and not value <= param.maximum):
        most = "" if param.maximum is None else f" and at most {param.maximum}"
        raise BadParameterError(f"{name} must be at least {param.minimum}{most}, was {value!r}")
