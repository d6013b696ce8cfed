"""What the server does by itself."""

import asyncio

import pytest

from api import daily
from api.credits import Credits
from api.errors import ServiceError
from tests.api.records import act, at, record
from tests.api.service import Service


def run_rounds(credit_book: Credits, rounds: int) -> None:
    """Runs the daily task for some rounds, and ends it as the service does: by cancelling."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == rounds:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(daily.keep_days(credit_book, sleep))
    assert waits == [daily.EVERY_SECONDS] * rounds


def test_entries_end_by_themselves(service: Service) -> None:
    record_id = record(service)["record_id"]
    act(service, record_id, "publish")
    service.clock.now = at(2027, 9, 19, hour=0)
    run_rounds(Credits(service.city), 1)
    assert service.get("market", f"/v1/credits/{record_id}").json()["state"] == "expired"


def test_a_failure_is_tried_again(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    tried: list[int] = []

    class Failing(Credits):
        def expire_due(self, now: int | None = None) -> int:
            tried.append(1)
            if len(tried) == 1:
                raise ServiceError("service-unavailable")
            return 0

    run_rounds(Failing(service.city), 2)
    assert len(tried) == 2
    assert "service-unavailable" in caplog.text
