"""The audit of a log from its public read side.

What must be true, in order; each is named where it fails, and the audit goes on:

     1  checkpoint   signed by the log's key (given, else the one that the genesis names), and by
                     its second key where the genesis names one
     2  witnesses    the cosignatures meet the witness policy that is given, else the one that
                     the ledger's own statements set for a tree of this size
     3  files        every tile and every entry bundle of that size is there and whole
     4  tree         leaf hashes, level-0 tiles, upper tiles and the signed root agree
     5  previous     the tree extends an older checkpoint, if one is given; a trust pack that is
                     given leaves out no statement of authority
     6  statements   every entry is a strictly encoded statement
     7  signatures   a key enrolled before that index, by its own issuer, signed it
     8  scope        that key may sign this kind and type at the time of issue
     9  lives        two officers decided each change; the key was in force at that index; what a
                     compromised key signed is ended or signed again, and was listed as it is
    10  records      each record's acts follow one another as its lifecycle allows
    11  publication  credit entries of organisations in time, of persons never
    12  times        nothing is issued in the future

Work is split in two. Workers (`ledger.audit.worker`, one process a core) hash, parse and check
signatures: steps 3, 6, 7 in any order. This process takes their results in ledger order for what
depends on order, which is a few dictionary look-ups an entry.

Workers check a signature with the key its kid names, wherever that key was seen: in the results
so far, or in the bundles at hand. Whether the key was enrolled at that index is decided here
(`ledger.audit.keyring`), and an entry whose key a worker could not know is checked here. The
first job is done here while the workers start, since a city enrols its departments first.
"""

from collections.abc import Callable
from typing import Final

from ledger.audit.errors import AuditError
from ledger.audit.files import Files
from ledger.audit.findings import Findings
from ledger.audit.publication import WorkdaysAfter
from ledger.audit.report import AuditReport
from ledger.audit.rules import Rules
from ledger.audit.tree import TreeAudit
from ledger.audit.work import examined
from ledger.audit.worker import split
from ledger.errors import LedgerError
from ledger.readside import CHECKPOINT, ReadSide
from verifier.authorities import Authorities
from verifier.checkpoint import Checkpoint, checkpoint_of, open_checkpoint, parse_checkpoint
from verifier.errors import Refused
from verifier.merkle import EMPTY_ROOT
from verifier.note import VerifierKey, parse_note, parse_vkey
from verifier.pack import Pack
from verifier.policy import Policy
from verifier.statement import parse_statement
from verifier.tiles import FULL_WIDTH

_MAX_ABSENT: Final = 1_000
"""Missing bundles in a row after which the rest is taken to be missing too."""

Progress = Callable[[int, int], None]


def audit(
    read: ReadSide,
    *,
    workdays_after: WorkdaysAfter,
    now: int,
    log_vkey: str | None = None,
    previous: bytes | None = None,
    policy: Policy | None = None,
    pack: Pack | None = None,
    tree_only: bool = False,
    processes: int = 1,
    progress: Progress = lambda done, total: None,
    clock: Callable[[], float] | None = None,
) -> AuditReport:
    """Audits the log behind `read`, with nothing but what it publishes.

    `policy` takes the place of the ledger's own, as for a log of others. `previous` is an older
    checkpoint of the same log, `now` Unix seconds, `clock` a monotonic one in seconds for the
    duration, `progress` hears (entries done, entries in all). `pack` is a trust pack of this log:
    nothing may have been left out of it. With `tree_only` entries may be anything: steps 6 to 12
    are left out.
    Raises `AuditError` if it cannot begin or go on; what is wrong with the log is in the report.
    """
    try:
        run = _Audit(read, workdays_after, now, log_vkey, previous, policy, pack, tree_only)
        return run.report(max(1, processes), progress, clock)
    except AuditError:
        raise
    except LedgerError as error:
        raise AuditError("audit-source-failed", error.detail) from error


class _Audit:
    def __init__(
        self,
        read: ReadSide,
        workdays_after: WorkdaysAfter,
        now: int,
        log_vkey: str | None,
        previous: bytes | None,
        policy: Policy | None,
        pack: Pack | None,
        tree_only: bool,
    ) -> None:
        self.read, self.now, self.tree_only = read, now, tree_only
        self.findings = Findings()
        self.trust = "first-use" if log_vkey is None else "given"
        self.note = self._fetch_checkpoint()
        self.log_key = self._log_key(log_vkey)
        self.rules = Rules(self.findings, workdays_after, self.log_key)
        self.previous = self._open_previous(previous)
        self.policy, self.pack = policy, pack

    # --- steps 1 and 2 -------------------------------------------------------------------------

    def _fetch_checkpoint(self) -> bytes:
        try:
            return self.read.read(CHECKPOINT)
        except LedgerError as error:
            raise AuditError("audit-no-checkpoint", error.detail) from error

    def _log_key(self, log_vkey: str | None) -> VerifierKey:
        """The key given, or the one that the ledger's first entry names."""
        if log_vkey is not None:
            try:
                return parse_vkey(log_vkey)
            except Refused as error:
                raise AuditError("audit-log-key-malformed", error.code) from error
        genesis = Authorities()
        try:
            genesis.enrol(parse_statement(self._first_entry()), 0)
        except Refused as error:
            raise AuditError("audit-no-log-key", error.code) from error
        if genesis.log_key is None:
            raise AuditError("audit-no-log-key", "the first entry is no genesis")
        return genesis.log_key

    def _first_entry(self) -> bytes:
        """Entry 0 of what the checkpoint, not verified yet, says is there."""
        size = parse_checkpoint(parse_note(self.note).text).size
        bundle = Files(self.read, size, self.findings).bundle(0)
        entries, _ = split(bundle.data or b"", bundle.width)
        if entries:
            return entries[0]
        raise AuditError("audit-no-log-key", "there is no first entry")

    def _open_previous(self, previous: bytes | None) -> Checkpoint | None:
        if previous is None:
            return None
        try:
            return open_checkpoint(previous, self.log_key)
        except Refused as error:
            raise AuditError("audit-previous-refused", error.code) from error

    def _open_checkpoint(self) -> Checkpoint | None:
        try:
            note = parse_note(self.note)
            checkpoint = checkpoint_of(note, self.log_key)
        except Refused as error:
            self.findings.add("audit-checkpoint-refused", path=CHECKPOINT, detail=error.code)
            return None
        if self.trust == "first-use":
            self.findings.add("audit-trusted-on-first-use", detail=self.log_key.text())
        if self.previous is None:
            self.findings.add("audit-previous-unchecked")
        return checkpoint

    def _witnesses(self, size: int) -> tuple[tuple[str, int], ...]:
        """Who cosigned, as the policy wants it; the ledger's own is known when all was read."""
        logged = self.rules.keyring.authorities.policy_at(size)
        policy = self.policy or (None if logged is None else logged.policy)
        if policy is None:
            self.findings.add("audit-witnesses-unchecked")
            return ()
        try:
            return tuple(policy.check(parse_note(self.note)))
        except Refused as error:
            detail = f"{error.code} {error.detail}".rstrip()
            self.findings.add("audit-witnesses-missing", path=CHECKPOINT, detail=detail)
            return ()

    def _pack(self) -> None:
        """A pack proves what it holds; that it holds all of it, only the whole log shows."""
        if self.pack is None:
            return
        for index, leaf in self.rules.keyring.leaves.items():
            if index < self.pack.checkpoint.size and self.pack.leaves.get(index) != leaf:
                self.findings.add("audit-pack-forgetful", index)

    # --- the rest ------------------------------------------------------------------------------

    def report(
        self, processes: int, progress: Progress, clock: Callable[[], float] | None
    ) -> AuditReport:
        started = clock() if clock else 0.0
        checkpoint = self._open_checkpoint()
        root: bytes | None = None
        witnesses: tuple[tuple[str, int], ...] = ()
        size, signed = 0, EMPTY_ROOT
        if checkpoint is not None:
            size, signed = checkpoint.size, checkpoint.root
            root = self._entries(checkpoint, processes, progress)
            witnesses = self._witnesses(size)
            self._pack()
        authorities = self.rules.keyring.authorities
        return AuditReport(
            origin=self.log_key.name,
            name_zh=authorities.name_zh,
            name_en=authorities.name_en,
            log_key=self.log_key.text(),
            trust=self.trust,
            size=size,
            signed_root=signed,
            root=root,
            checkpoint=self.note,
            previous_size=None if self.previous is None else self.previous.size,
            witnesses=witnesses,
            tree_only=self.tree_only,
            audited_at=self.now,
            seconds=clock() - started if clock else None,
            signatures=self.rules.signatures,
            counts=dict(self.rules.counts),
            departments=authorities.departments,
            findings=tuple(self.findings.listed),
            totals=dict(self.findings.totals),
            by_issuer=dict(self.findings.by_issuer),
            events=tuple(self.rules.keyring.events),
        )

    def _entries(self, checkpoint: Checkpoint, processes: int, progress: Progress) -> bytes | None:
        size = checkpoint.size
        files = Files(self.read, size, self.findings)
        tree = TreeAudit(files, self.findings, self.previous)
        if self.tree_only:
            self.findings.add("audit-statements-unchecked")
        absent = 0
        for bundle, keys in examined(files, processes, tree_only=self.tree_only):
            absent = absent + 1 if bundle.missing else 0
            if absent > _MAX_ABSENT:
                raise AuditError("audit-log-absent", files.bundle_path(bundle.n))
            tree.add(bundle)  # 3, 4
            self.rules.add(bundle, keys, self.now)  # 6 to 12
            if bundle.n == 0:
                self._second_signature()
            progress(min(size, (bundle.n + 1) * FULL_WIDTH), size)
        self.rules.finish(self.now)
        return tree.finish(checkpoint)  # 4, 5

    def _second_signature(self) -> None:
        """The log's second key, once the genesis has named it, signed the checkpoint too."""
        second = self.rules.keyring.authorities.log_pq_key
        if second is None or self.rules.keyring.authorities.log_key != self.log_key:
            return
        try:
            open_checkpoint(self.note, self.log_key, second)
        except Refused as error:
            self.findings.add("audit-checkpoint-refused", path=CHECKPOINT, detail=error.code)
