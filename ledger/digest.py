"""One string for the whole history of a series up to a candle: `GET /api/ledger/digest`.

Two machines that saw the same candles and follow the same rules have the same digest.
"""

from factors.engine.types import Json
from factors.services import current_rules
from factors.slices import standing_at
from ledger.alignment import NoDataError
from ledger.frames import SYNC, parsed
from ledger.selectors import heads_of
from market import database


def digest(*, series_id: str, at_time: int | None) -> Json:
    """Return the digest at a time, or at the factor head."""
    series = parsed(series_id)
    if series is None:
        raise NoDataError
    with database.reading():
        heads = heads_of(series_id)
        if at_time is None:
            aligned = heads.factor or heads.candle
        else:
            aligned = SYNC.aligned_time(series_id, at_time)
        if aligned is None:
            raise NoDataError
        SYNC.require_factor_ready(heads, aligned)
        standing = standing_at(current_rules(), series, aligned)
    return {
        "series_id": series_id,
        "candle_id": f"{series_id}:{aligned}",
        "candle_time": aligned,
        "candles": standing.count,
        "digest": standing.digest.hex(),
        "generation": heads.generation,
        "rules_fingerprint": heads.rules_fingerprint,
    }
