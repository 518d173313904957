"""Takes the candles of a request in, and tells those who watch what came of it."""

import time
from typing import Any

from ingest import pipeline
from ingest.pipeline import PipelineResult
from ingest.together import Together
from ledger.advance import IngestPipelineError
from market import metrics
from market.candles import Candles
from market.debug_events import emit, wanted

_together = Together()


def candles_take(
    route: str, metric: str, series_id: str, candles: Candles, *, publish: bool = True, **about: Any
) -> PipelineResult:
    """Run the pipeline for one series; `about` is what an event says of the request.

    Raises `IngestPipelineError` as the pipeline does.
    """
    event, counter = f"write.http.ingest_{route}", f"market_ingest_{metric}_requests_total"
    emit(f"{event}_start", "write", series_id, data=about)
    began = time.perf_counter()
    try:
        with metrics.timed(f"market_ingest_{metric}_duration_ms"):
            if len(candles) == 1 and publish:
                result = _together.run_sync(series_id, candles)
            else:
                result = pipeline.run_sync({series_id: candles}, publish=publish)
    except IngestPipelineError as error:
        metrics.count(counter, result="error", step=error.step)
        emit(f"{event}_error", "write", series_id, "error", data=_failed(error) | about)
        raise
    metrics.count(counter, result="ok")
    last = max(candles.time.tolist())
    metrics.gauge("market_ingest_last_candle_time", last, series_id=series_id)
    if wanted():
        duration = (time.perf_counter() - began) * 1000
        emit(f"{event}_done", "write", series_id, data=about | _done(result, series_id, duration))
    return result


def _failed(error: IngestPipelineError) -> dict[str, Any]:
    return {
        "step": error.step,
        "series_id": error.series_id,
        "error": str(error.cause),
        "compensated": error.compensated,
        "overlay_compensated": error.overlay_compensated,
        "candle_compensated_rows": error.candle_compensated_rows,
        "compensation_error": error.compensation_error,
    }


def _done(result: PipelineResult, series_id: str, duration_ms: float) -> dict[str, Any]:
    return {
        "factor_rebuilt": series_id in result.rebuilt_series,
        "pipeline_duration_ms": result.duration_ms,
        "steps": [
            {"name": step.name, "ok": step.ok, "duration_ms": step.duration_ms}
            for step in result.steps
        ],
        "duration_ms": duration_ms,
    }
