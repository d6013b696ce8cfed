"""Places in the status lists: which licence has which entry."""

import threading

from sqlalchemy import insert, select, update

from api.city import City
from api.tables import STATUS_COUNTERS
from verifier.status import MAX_ENTRIES


class StatusIndices:
    """Hands out status-list positions; a restart loses at most the rest of a reserved block."""

    def __init__(self, city: City, block: int = 1_000) -> None:
        self._city = city
        self._block = block
        self._free: dict[str, tuple[int, int]] = {}  # department → next, end
        self._lock = threading.Lock()

    def take(self, department: str) -> tuple[int, int]:
        """(list number, index in it), never handed out before."""
        with self._lock:
            position, end = self._free.get(department, (0, 0))
            if position == end:
                position, end = self._reserve(department)
            self._free[department] = (position + 1, end)
        return divmod(position, MAX_ENTRIES)

    def _reserve(self, department: str) -> tuple[int, int]:
        where = STATUS_COUNTERS.c.department == department
        with self._city.store.write() as writer:
            used = writer.connection.execute(select(STATUS_COUNTERS.c.used).where(where)).scalar()
            if used is None:
                used, row = 0, {"department": department, "used": self._block}
                writer.connection.execute(insert(STATUS_COUNTERS), row)
            else:
                writer.connection.execute(
                    update(STATUS_COUNTERS).where(where).values(used=used + self._block)
                )
            writer.commit()
        return used, used + self._block
