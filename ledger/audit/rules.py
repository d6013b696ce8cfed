"""Steps 6 to 12 of an audit: what depends on the order of entries, from the genesis on."""

from collections import Counter
from collections.abc import Mapping

from ledger.audit.findings import Findings
from ledger.audit.keyring import Keyring
from ledger.audit.publication import CHINA, Publication, WorkdaysAfter
from ledger.audit.records import Records
from ledger.audit.worker import Act, Examined
from verifier.kinds import AUTHORITY_KINDS
from verifier.merkle import HASH_SIZE
from verifier.note import VerifierKey
from verifier.tiles import FULL_WIDTH
from verifier.times import CLOCK_SKEW


class Rules:
    """`add` every examined bundle in ledger order; `finish` says what is amiss by now.

    A log that grows is followed by adding what is new: `finish` may be asked again and again.
    """

    def __init__(
        self, findings: Findings, workdays_after: WorkdaysAfter, log_key: VerifierKey
    ) -> None:
        self.keyring = Keyring(findings)
        self.counts: Counter[tuple[str, int]] = Counter()
        self.signatures = 0
        self._findings = findings
        self._log_key = log_key
        publication = Publication(findings, workdays_after)
        self._records = Records(findings, publication, self.keyring)

    def add(
        self, bundle: Examined, keys: Mapping[bytes, bytes], now: int, *, first: int = 0
    ) -> None:
        """Its acts, but those below ledger index `first`, which were taken before. `keys` are
        those that the signatures were checked with, `now` Unix seconds."""
        start, leaves = bundle.n * FULL_WIDTH, bundle.leaves
        for position, row in enumerate(bundle.acts):
            index = start + position
            if index < first:
                continue
            if len(row) == 2:
                code, detail = row
                self._findings.add("audit-not-a-statement", index, detail=f"{code} {detail}")
            else:
                act = Act(*row)  # type: ignore[arg-type]
                leaf = leaves[position * HASH_SIZE : (position + 1) * HASH_SIZE]
                self._act(index, leaf, act, keys, bundle.raw.get(position), now)
            if index == 0:
                self._genesis()

    def finish(self, now: int) -> None:
        """What ought to have happened by `now`, Unix seconds."""
        self._records.finish((now + CHINA) // 86_400)

    def _act(
        self,
        index: int,
        leaf: bytes,
        act: Act,
        keys: Mapping[bytes, bytes],
        raw: bytes | None,
        now: int,
    ) -> None:
        self.counts[act.issuer, act.kind] += 1
        if act.issued_at > now + CLOCK_SKEW:
            detail = f"{act.issued_at} > {now}"
            self._findings.add(
                "audit-issued-in-future",
                index,
                record=act.subject,
                issuer=act.issuer,
                detail=detail,
            )
        if self.keyring.admit(index, leaf, act, keys, raw):
            self.signatures += 1
            if act.kind not in AUTHORITY_KINDS:
                self._records.apply(index, leaf, act)

    def _genesis(self) -> None:
        """After the first entry: a ledger began, under the log key that is trusted."""
        named = self.keyring.authorities.log_key
        if named is None:
            self._findings.add("audit-no-genesis", 0)
        elif named != self._log_key:
            self._findings.add("audit-other-log-key", 0, detail=named.text())
