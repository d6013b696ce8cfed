"""Rounds of following a log: what every round looks at, in this order.

    1  the log's checkpoint is signed by its keys
    2  it is of the history read so far: proved by the log's tiles, and by hashing what is new
    3  what is new obeys every rule of an audit, and the files below it are served as before
    4  it bears the cosignatures that the witness policy asks for
    5  so are checkpoints seen elsewhere of that history: at witnesses, in packs, at mirrors
    6  and those seen earlier that nobody could show the tree of

Any signed checkpoint that is not of the one history is evidence against the log, written to a file
at once (`verifier.split_view`). An answer that is merely old is not.

Order of effects in a round: evidence, then the alarms that name it, then the copy of the log, then
the rest of the state; each is durable before the next. Killed in between, the next start finds the
same again: entries are judged anew from the copy, and places are asked again.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ledger.audit.findings import Finding, Findings
from ledger.errors import LedgerError
from ledger.monitor.asking import Asking
from ledger.monitor.begin import begin
from ledger.monitor.cabinet import Cabinet
from ledger.monitor.compare import Relation, Signed, relate
from ledger.monitor.errors import MonitorError
from ledger.monitor.findings import OVERRIDDEN, is_alarm
from ledger.monitor.history import DUE, History, Reading
from ledger.monitor.mirror import Mirror, Put
from ledger.monitor.naming import named
from ledger.monitor.round import Round
from ledger.monitor.state import save
from ledger.monitor.views import LOG, View, source_view
from ledger.readside import CHECKPOINT, ReadSide
from verifier.checkpoint import checkpoint_of
from verifier.errors import Refused
from verifier.evidence import NOT_HERE
from verifier.note import parse_note, parse_vkey
from verifier.policy import Policy
from verifier.tiles import FULL_WIDTH, entries_path, tile_path

MIRROR: Final = "mirror"
PATIENCE: Final = 3600
"""Seconds a log has to show the tree of what it signed."""
MAX_BEHIND: Final = 3
"""Rounds in which a log may show an older checkpoint than before, as caches do."""


Places = Callable[[str, Policy | None], Sequence[View]]
"""The other places to ask about the log of this origin, under the policy in force now."""


class Monitor:
    """Follows the log behind `source`, with its memory in `folder`: one process at a time.

    `log_vkey` is the key trusted; without it the log's first entry is taken at its word, once.
    `policy` takes the place of the log's own. `views` gives the other places, at each round.
    `clock` tells Unix seconds; all writing goes through `put`. Errors: `MonitorError`.
    """

    def __init__(
        self,
        folder: Path,
        source: ReadSide,
        reading: Reading,
        *,
        clock: Callable[[], float],
        put: Put,
        log_vkey: str | None = None,
        policy: Policy | None = None,
        views: Places = lambda origin, policy: (),
        rechecked: int = 4,
    ) -> None:
        self._folder, self._source, self._clock = folder, source, clock
        self._policy, self._rechecked = policy, rechecked

        def write(path: Path, data: bytes) -> None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                put(path, data)
            except OSError as error:
                raise MonitorError(
                    "monitor-write-failed", f"{path.name}: {error.strerror}"
                ) from error

        self._put = write
        self.state = begin(folder, source, log_vkey, reading.tree_only, write)
        self.log_key = parse_vkey(self.state.log[0])
        self._log = source_view(LOG, source)
        self._places = views
        self._views: Sequence[View] = ()
        self._asking = Asking()
        self._cabinet = Cabinet(folder, write)
        self._new: list[Finding] = []
        self._notices: list[Finding] = []
        self._standing: list[Finding] = []
        mirror = Mirror(folder / MIRROR, write)
        self.history = History(mirror, self.log_key, reading, self.state.checked)
        self.history.replay(int(clock()))
        self._learn_second_key()

    def acknowledge(self) -> int:
        """An operator has taken note of what stands: it is still listed, and no longer counts. A
        split view cannot be settled so. Returns how many."""
        taken = [
            alarm
            for alarm in self.state.alarms
            if not alarm.acknowledged and alarm.finding.code != "monitor-split-view"
        ]
        for alarm in taken:
            alarm.acknowledged = True
        self._save()
        return len(taken)

    def round(self) -> Round:
        """One round. What cannot be read is a notice; `MonitorError` if the folder fails."""
        now, before = int(self._clock()), self.history.size
        self._new, self._notices, self._standing = [], [], []
        self.state.rounds += 1
        if self.state.trust == "first-use":
            self._record(Finding("audit-trusted-on-first-use", detail=self.state.log[0]), now)
        self._views = self._places(self.log_key.name, self._policy_for(before)[0])
        self._asking.ask(self._views)
        views = [self._follow(now)]
        self._ask_those_named_since()
        views += [self._look(view, now) for view in self._views]
        self._await(now)
        self._due(now)
        self._save()
        return Round(
            number=self.state.rounds,
            at=now,
            origin=self.log_key.name,
            log_key=self.state.log[0],
            trust=self.state.trust,
            before=before,
            size=self.history.size,
            new=tuple(self._new),
            alarms=tuple(self.state.alarms),
            notices=tuple(self._notices),
            views=tuple(views),
            standing=tuple(self._standing),
        )

    def _ask_those_named_since(self) -> None:
        """The witnesses of a policy that was read just now."""
        known = {view.name for view in self._views}
        named = self._places(self.log_key.name, self._policy_for(self.history.size)[0])
        more = [view for view in named if view.name not in known]
        self._asking.ask(more)
        self._views = [*self._views, *more]

    # --- the log itself ------------------------------------------------------------------------

    def _follow(self, now: int) -> tuple[str, int | None, str]:
        """Steps 1 to 4."""
        shown = self._fetch(self._log, now)
        for finding in self.history.found():  # of the copy as it was read at the start
            self._record(finding, now)
        if shown is None:
            return LOG, None, "unread"
        head, size = self.history.head, shown.checkpoint.size
        before = self.history.size
        relation, hashes = self._relate(shown, [self._log])
        if relation is Relation.SPLIT and head is not None:
            self._accuse(head, shown, hashes, LOG, now)
            return LOG, size, "split"
        if relation is Relation.EARLIER:
            self._behind(size, now)
        elif relation is Relation.SAME:
            self.state.behind = 0
            if head is not None and head.note != shown.note:
                self.history.renew(shown)
        elif not self._extend(shown, relation, now):
            return LOG, size, "broken"
        self._witnessed(shown, now)
        self._recheck(min(size, before) // FULL_WIDTH, now)
        return LOG, size, (Relation.LATER if size > before else relation).name.lower()

    def _extend(self, shown: Signed, relation: Relation, now: int) -> bool:
        """The log has grown: fetches and judges what is new; whether it was all there."""
        findings = Findings()
        try:
            self.history.gather(self._source, shown, findings)
        except MonitorError:
            raise
        except (LedgerError, Refused) as error:
            self._not_there(shown, relation, error, now)
            return False
        for finding in findings.listed:
            self._record(finding, now)
        self._save()
        self.history.advance(shown, now)
        self.state.behind = 0
        for finding in self.history.found():
            self._record(finding, now)
        if self._learn_second_key():
            self._second_signature(shown, now)
        return True

    def _not_there(
        self, shown: Signed, relation: Relation, error: LedgerError | Refused, now: int
    ) -> None:
        """The log signed a tree, and does not serve it."""
        if error.code == "ledger-read-failed":
            self._record(Finding("monitor-view-unread", path=LOG, detail=error.detail), now)
            return
        self._keep_for_later(LOG, shown, now)
        if relation is Relation.UNPROVED:
            detail = f"{self.history.size} → {shown.checkpoint.size}"
            self._record(Finding("monitor-fork-unproved", detail=detail), now)
        elif error.code == "ledger-path-absent":
            self._record(Finding("audit-file-missing", path=error.detail), now)
        else:
            for finding in named(self._source, shown, self.history, self.log_key, now):
                self._record(finding, now)

    def _behind(self, size: int, now: int) -> None:
        self.state.behind += 1
        stale = self.state.behind < MAX_BEHIND
        detail = f"{size} < {self.history.size}"
        code = "monitor-view-behind" if stale else "monitor-log-behind"
        self._record(Finding(code, path=LOG, detail=detail), now)

    def _witnessed(self, shown: Signed, now: int) -> None:
        policy, override = self._policy_for(shown.checkpoint.size)
        if policy is None:
            self._record(Finding("audit-witnesses-unchecked"), now)
            return
        if override:
            self._standing.append(Finding(OVERRIDDEN, detail=override))
        try:
            policy.check(parse_note(shown.note))
        except Refused as error:
            detail = f"{error.code} {error.detail}".rstrip()
            self._record(Finding("audit-witnesses-missing", path=CHECKPOINT, detail=detail), now)

    def _policy_for(self, size: int) -> tuple[Policy | None, str]:
        """The policy for checkpoints of a size, and the reason where it is an override."""
        if self._policy is not None:
            return self._policy, ""
        logged = self.history.authorities.policy_at(size)
        return (None, "") if logged is None else (logged.policy, logged.override)

    def _learn_second_key(self) -> bool:
        """Once the genesis was read; whether it is new."""
        second = self.history.authorities.log_pq_key
        if second is None or second.text() in self.state.log:
            return False
        self.state.log = [self.state.log[0], second.text()]
        return True

    def _second_signature(self, shown: Signed, now: int) -> None:
        """The log's second key, once its genesis was read, signed too."""
        if len(self.state.log) > 1:
            try:
                checkpoint_of(parse_note(shown.note), *map(parse_vkey, self.state.log))
            except Refused as error:
                finding = Finding("audit-checkpoint-refused", path=CHECKPOINT, detail=error.code)
                self._record(finding, now)

    # --- other places --------------------------------------------------------------------------

    def _look(self, view: View, now: int) -> tuple[str, int | None, str]:
        """Step 5 for one place."""
        shown = self._fetch(view, now)
        if shown is None:
            return view.name, None, "unread"
        head, size = self.history.head, shown.checkpoint.size
        most = self.state.seen.get(view.name, 0)
        if size < most:
            detail = f"{size} < {most}"
            self._record(Finding("monitor-view-behind", path=view.name, detail=detail), now)
        self.state.seen[view.name] = max(size, most)
        relation, hashes = self._relate(shown, [view])
        if relation is Relation.SPLIT and head is not None:
            self._accuse(head, shown, hashes, view.name, now)
        elif relation in (Relation.LATER, Relation.UNPROVED) and size:
            self._keep_for_later(view.name, shown, now)
            if relation is Relation.UNPROVED:
                detail = f"{size} > {self.history.size}"
                self._record(Finding("monitor-view-ahead", path=view.name, detail=detail), now)
        return view.name, size, relation.name.lower()

    def _await(self, now: int) -> None:
        """Step 6: checkpoints seen earlier, now that the log has grown, and with one another."""
        head, waiting = self.history.head, []
        by_size: dict[int, Signed] = {}
        for one in self.state.pending:
            note = one.note.encode()
            shown = Signed(note, checkpoint_of(parse_note(note), self.log_key))
            size = shown.checkpoint.size
            twin = by_size.setdefault(size, shown)
            if twin.checkpoint.root != shown.checkpoint.root:
                self._accuse(twin, shown, [], one.view, now)
            if size > self.history.size:
                waiting.append(one)
                if now - one.since > PATIENCE:
                    self._record(Finding("monitor-not-shown", path=one.view, detail=str(size)), now)
                continue
            relation, hashes = self._relate(shown, [])
            if relation is Relation.SPLIT and head is not None:
                self._accuse(head, shown, hashes, one.view, now)
        self.state.pending = waiting

    def _keep_for_later(self, view: str, shown: Signed, now: int) -> None:
        """A checkpoint whose tree is not read yet: what was signed once must not be forgotten."""
        if self.state.await_tree(view, shown.note, now):
            self._save()

    def _recheck(self, full: int, now: int) -> None:
        """Some of the first `full` bundles and their tiles, in turn: they must be as they were."""
        for _ in range(min(self._rechecked, full)):
            n = self.state.recheck % full
            self.state.recheck = (n + 1) % full
            for path in (entries_path(n), tile_path(0, n)):
                try:
                    same = self._source.read(path) == self.history.mirror.read(path)
                except LedgerError as error:
                    if error.code == "ledger-read-failed":
                        self._record(Finding("monitor-view-unread", path=LOG), now)
                        return
                    same = False
                if not same:
                    index = n * FULL_WIDTH
                    self._record(Finding("monitor-served-otherwise", index, path=path), now)

    # --- small things --------------------------------------------------------------------------

    def _fetch(self, view: View, now: int) -> Signed | None:
        """The checkpoint that a place shows, if the log signed it."""
        log = view.name == LOG
        try:
            note = view.read() if log else self._asking.answer(view)
            shown = Signed(note, checkpoint_of(parse_note(note), self.log_key))
        except LedgerError as error:
            detail = f"{error.code} {error.detail}".rstrip()
            self._record(Finding("monitor-view-unread", path=view.name, detail=detail), now)
            return None
        except Refused as error:
            code = "audit-checkpoint-refused" if log else "monitor-view-refused"
            code = "monitor-view-unread" if error.code in NOT_HERE else code
            path = CHECKPOINT if log else view.name
            self._record(Finding(code, path=path, detail=error.code), now)
            return None
        if log:
            self._second_signature(shown, now)
        return shown

    def _relate(self, shown: Signed, at: Sequence[View]) -> tuple[Relation, list[bytes]]:
        """To the head; the tree of a larger one is looked for where it was seen, `at`, first."""
        places = [*at, self._log, *self._views] if at else []
        tiles = [place.tiles for place in places if place.tiles is not None]
        return relate(self.history.head, self.history.mirror, shown, dict.fromkeys(tiles))

    def _accuse(
        self, head: Signed, shown: Signed, hashes: list[bytes], view: str, now: int
    ) -> None:
        """Writes the evidence, then the alarm that names it."""
        policy, _ = self._policy_for(max(head.checkpoint.size, shown.checkpoint.size))
        witnesses = [] if policy is None else [party.key for party in policy.witnesses.values()]
        keys = list(map(parse_vkey, self.state.log))
        name = self._cabinet.keep((head, shown), hashes, keys, witnesses)
        if name is not None and all(one.finding.path != name for one in self.state.alarms):
            detail = f"{head.checkpoint.size} ≠ {shown.checkpoint.size}: {view}"
            self._record(Finding("monitor-split-view", path=name, detail=detail), now)
            self._save()

    def _due(self, now: int) -> None:
        due = self.history.due(now)
        self.state.alarms = [
            alarm
            for alarm in self.state.alarms
            if alarm.finding.code not in DUE or alarm.finding in due
        ]
        for finding in due:
            self._record(finding, now)

    def _record(self, finding: Finding, now: int) -> None:
        if finding.code == OVERRIDDEN and finding.index is not None:
            if finding.index <= self.state.overridden:
                return  # read again from the copy
            self.state.overridden = finding.index
        if not is_alarm(finding):
            if finding not in self._notices:
                self._notices.append(finding)
        elif self.state.alarm(finding, now):
            self._new.append(finding)

    def _save(self) -> None:
        save(self._folder, self.state, self._put)
