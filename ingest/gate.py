"""What an exchange still lets us ask: one row per exchange and market, shared by all processes.

Rules: `docs/ingest.md`. Blocking work; the loop calls it in threads.
"""

import logging
from collections.abc import Mapping

from django.db import transaction

from ingest.models import ExchangeGate

logger = logging.getLogger(__name__)

SHARE = 0.8
LIMITS = {"spot": 6000, "futures": 2400}
RETRY_AFTER = 60.0
FIRST_BAN, LONGEST_BAN = 120.0, 3 * 86400.0
FIREWALL = 300.0
MINUTE = 60.0
MOST_DIGITS = 8
SKEW = 5.0  # what the clocks of two machines may differ by


class RateLimitedError(Exception):
    """The exchange wants to be left alone for `wait` seconds."""

    def __init__(self, wait: float, why: str) -> None:
        super().__init__(f"{why}, for {wait:.0f} s")
        self.wait = wait


def gate_wait(exchange: str, market: str, now: float) -> float:
    """Return for how many seconds nobody may ask this market; 0: now."""
    gate = ExchangeGate.objects.filter(exchange=exchange, market=market).first()
    if gate is None:
        return 0.0
    blocked = 0.0 if _is_undone(gate, now) else max(0.0, (gate.blocked_until or 0.0) - now)
    limit = gate.limit_1m or LIMITS.get(market, 1200)
    is_of_this_minute = gate.used_at is not None and gate.used_at // MINUTE == now // MINUTE
    if is_of_this_minute and gate.used_weight_1m >= SHARE * limit:
        return max(blocked, MINUTE - now % MINUTE)
    return blocked


def gate_answered(
    exchange: str, market: str, status: int, headers: Mapping[str, str], now: float
) -> None:
    """Keep what an answer says about limits; raise `RateLimitedError` if it was a refusal."""
    with transaction.atomic():
        ExchangeGate.objects.get_or_create(exchange=exchange, market=market)
        gate = ExchangeGate.objects.select_for_update().get(exchange=exchange, market=market)
        used = headers.get("x-mbx-used-weight-1m", "")
        if used.isdecimal() and len(used) <= MOST_DIGITS:
            gate.used_weight_1m, gate.used_at = int(used), now
        wait = _refusal(gate, status, headers)
        if wait:
            before = 0.0 if _is_undone(gate, now) else gate.blocked_until or 0.0
            gate.blocked_until, gate.blocked_at = max(before, now + wait), now
            gate.blocked_why = f"HTTP {status}"
        gate.save()
    if wait:
        logger.warning(
            "ingest.gate_closed %s %s status=%s wait=%.0f", exchange, market, status, wait
        )
        raise RateLimitedError(wait, f"{exchange} {market} answered {status}")


def _is_undone(gate: ExchangeGate, now: float) -> bool:
    """Say whether our clock jumped back since: nobody knows when the gate opens, so one may ask."""
    return gate.blocked_at is not None and now < gate.blocked_at - SKEW


def _refusal(gate: ExchangeGate, status: int, headers: Mapping[str, str]) -> float:
    """Return for how long an answer forbids to ask again; 0: not at all."""
    asked = _seconds(headers.get("retry-after", ""))
    if status == 429:
        return asked or RETRY_AFTER
    if status == 418:
        gate.bans += 1
        return asked or min(LONGEST_BAN, FIRST_BAN * 2 ** (gate.bans - 1))
    if status == 403:
        return FIREWALL
    if status < 400:
        gate.bans = 0
    return 0.0


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() and len(text) <= MOST_DIGITS else 0.0


def gate_limit(exchange: str, market: str, limit: int) -> None:
    """Keep how much weight a minute the exchange says that it allows."""
    ExchangeGate.objects.update_or_create(
        exchange=exchange, market=market, defaults={"limit_1m": limit}
    )
