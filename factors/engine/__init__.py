"""The engine: rules on columns of candles. `run` is its door for notebooks."""

from factors.engine.study import run

__all__ = ["run"]
