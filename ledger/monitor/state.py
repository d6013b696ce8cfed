"""What the monitor remembers besides its copy of the log: one JSON file, written whole.

It is what must not be lost, above all alarms and checkpoints seen that could not be compared yet.
Whether entries obey the rules is found again from the copy of the log at every start.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from ledger.audit.findings import MAX_PER_CODE, Finding
from ledger.monitor.errors import MonitorError
from ledger.monitor.findings import FINDINGS
from ledger.monitor.mirror import Put

FORMAT: Final = "zhenglian/monitor@1"
FILE: Final = "state.json"
MAX_PENDING: Final = 256
MAX_DOUBTFUL: Final = 10_000


@dataclass(slots=True)
class Alarm:
    """A finding with when it was found first, Unix seconds, and whether an operator took note."""

    finding: Finding
    since: int
    acknowledged: bool = False


@dataclass(slots=True)
class Pending:
    """A signed checkpoint that nobody has shown the tree of: the note, where it was seen first."""

    view: str
    note: str
    since: int


@dataclass(slots=True)
class Checked:
    """Signatures of the first `bundles` full bundles were found good under the root, in hex, of
    these entries; but not in those numbered in `doubtful`."""

    bundles: int = 0
    root: str = ""
    doubtful: list[int] = field(default_factory=list)


@dataclass(slots=True)
class State:
    """`log` are the vkeys of the log, `trust` tells where the first is from ("given" or
    "first-use"), `seen` the largest size each view has shown, `behind` for how many rounds the log
    has shown less than it did, `recheck` the bundle that is read again next, `overridden` the
    last entry with an override of the witness policy that was told."""

    log: list[str]
    trust: str
    tree_only: bool
    rounds: int = 0
    behind: int = 0
    recheck: int = 0
    overridden: int = -1
    seen: dict[str, int] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)
    pending: list[Pending] = field(default_factory=list)
    checked: Checked = field(default_factory=Checked)

    def alarm(self, finding: Finding, now: int) -> bool:
        """Remembers an alarm; whether it is new. Of one code at most 1,000 are remembered."""
        same = [_what(alarm.finding) for alarm in self.alarms if alarm.finding.code == finding.code]
        if len(same) >= MAX_PER_CODE or _what(finding) in same:
            return False
        self.alarms.append(Alarm(finding, now))
        return True

    def await_tree(self, view: str, note: bytes, now: int) -> bool:
        """Remembers a checkpoint whose tree is not to be had, the latest 256; whether it is new."""
        text = note.decode()
        body = text.partition("\n\n")[0]
        if any(one.note.partition("\n\n")[0] == body for one in self.pending):
            return False
        self.pending = [*self.pending, Pending(view, text, now)][-MAX_PENDING:]
        return True


def _what(finding: Finding) -> tuple[object, ...]:
    """What a finding is about: of one about an entry, the detail may tell the time of the round."""
    detail = finding.detail if finding.index is None else ""
    return (finding.code, finding.index, finding.record, finding.path, finding.issuer, detail)


def load(folder: Path) -> State | None:
    """What was remembered in `folder`, None if nothing was yet. Error: `monitor-state-damaged`."""
    try:
        data = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MonitorError("monitor-state-damaged", f"{FILE}: {error.strerror}") from error
    try:
        return _read(json.loads(data))
    except (ValueError, KeyError, TypeError) as error:
        raise MonitorError("monitor-state-damaged", f"{FILE}: {error}") from error


def save(folder: Path, state: State, put: Put) -> None:
    """Writes it durably, the old or the new at every moment."""
    text = json.dumps({"format": FORMAT, **asdict(state)}, ensure_ascii=False, indent=1)
    put(folder / FILE, text.encode())


def _read(value: dict[str, Any]) -> State:
    if value.pop("format") != FORMAT:
        raise ValueError("format")
    alarms = [
        Alarm(Finding(**alarm["finding"]), int(alarm["since"]), bool(alarm["acknowledged"]))
        for alarm in value.pop("alarms")
    ]
    if any(alarm.finding.code not in FINDINGS for alarm in alarms):
        raise ValueError("alarms")
    pending = [Pending(**one) for one in value.pop("pending")]
    checked = Checked(**value.pop("checked"))
    return State(**value, alarms=alarms, pending=pending, checked=checked)
