"""What the server does by itself: at start, and every hour after, so that no day is missed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from api.credits import Credits
from keys.errors import ZhenglianError

EVERY_SECONDS = 3_600
_log = logging.getLogger("zhenglian.daily")


async def keep_days(
    credit_entries: Credits, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Ends credit entries whose last day is over; until cancelled, and a failure is tried again."""
    while True:
        try:
            ended = await run_in_threadpool(credit_entries.expire_due)
            if ended:
                _log.info("%d credit entries reached their last day", ended)
        except (ZhenglianError, SQLAlchemyError) as error:
            _log.error("ending credit entries failed: %s", error)
        await sleep(EVERY_SECONDS)
