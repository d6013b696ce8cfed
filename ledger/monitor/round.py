"""What one round of following a log came to."""

from dataclasses import dataclass

from ledger.audit.findings import Finding
from ledger.monitor.state import Alarm
from ledger.monitor.views import LOG


@dataclass(frozen=True, slots=True)
class Round:
    """What a round came to. `before` is the size followed before it, `new` the alarms not known
    before, `alarms` all that stand, `notices` what could not be checked or ought to be known,
    `standing` what of it was told before and is still so. `views` are (name, size shown or None,
    how it compares)."""

    number: int
    at: int
    origin: str
    log_key: str
    trust: str
    before: int
    size: int
    new: tuple[Finding, ...]
    alarms: tuple[Alarm, ...]
    notices: tuple[Finding, ...]
    views: tuple[tuple[str, int | None, str], ...]
    standing: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing stands that nobody took note of."""
        return all(alarm.acknowledged for alarm in self.alarms)

    @property
    def read(self) -> bool:
        """The log answered."""
        return any(name == LOG and size is not None for name, size, _ in self.views)
