"""Factors stand in the order of their needs; what does not fit is named."""

from typing import Any

import pytest

from factors.apps import check_factor_order
from factors.engine import registry
from factors.engine.registry import FactorGraphError, sort
from factors.engine.types import Factor


def factor(called: str, *needed: str) -> Factor:
    """Return a factor that has a name and needs, and nothing else."""
    made: Factor = type(called.title(), (Factor,), {"name": called, "needs": needed})()
    return made


def test_built_in_factors_stand_in_order() -> None:
    assert [one.name for one in registry.ordered()] == ["pivot", "pen", "zhongshu", "anchor"]


def test_equals_go_by_name_after_what_they_need() -> None:
    given = [factor("b", "z"), factor("a"), factor("z"), factor("c", "a", "b")]

    assert [one.name for one in sort(given)] == ["a", "z", "b", "c"]


def test_a_missing_need_is_named() -> None:
    with pytest.raises(FactorGraphError, match=r"missing_deps:\['a->x', 'b->y'\]"):
        sort([factor("b", "y"), factor("a", "x")])


def test_a_cycle_is_named_from_the_node_met_again() -> None:
    with pytest.raises(FactorGraphError, match=r"^cycle:a->b->a$"):
        sort([factor("a", "b"), factor("b", "a")])


def test_a_name_used_twice_is_refused() -> None:
    with pytest.raises(FactorGraphError, match="duplicate_factor:pivot"):
        registry.register(type("Other", (Factor,), {"name": "pivot"}))


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(FactorGraphError, match="empty_factor_name"):
        registry.register(type("Nameless", (Factor,), {"name": " "}))


def test_the_system_check_reports_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_factor_order(None) == []

    broken: dict[str, Any] = {"a": factor("a", "x")}
    monkeypatch.setattr(registry, "_factors", broken)

    (error,) = check_factor_order(None)
    assert error.id == "factors.E001"
    assert "missing_deps" in error.msg
