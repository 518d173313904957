"""The recovery sweep of a process that serves or follows feeds."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import close_old_connections

from ingest.catch_up import derived_catch_up_all
from ledger.recovery import recover

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 30


async def recovery_sweep() -> None:
    """Bring ledgers up to date that are behind, at start and every 30 s.

    At the start also make what derived series lack.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="recovery") as executor:
        await loop.run_in_executor(executor, _sheltered, derived_catch_up_all)
        while True:
            await loop.run_in_executor(executor, _sheltered, recover)
            await asyncio.sleep(SWEEP_SECONDS)


def _sheltered(work: Callable[[], object]) -> None:
    close_old_connections()
    try:
        work()
    except Exception:  # the next sweep tries again; serving must go on
        logger.exception("ledger.recovery_sweep_failed")
    finally:
        close_old_connections()
