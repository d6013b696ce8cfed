"""Logs for the audit's tests: any entries as the files of a static log, and a little city's life.

A log is a plain dict from path to bytes, so that a test can tamper with it and see it named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from keys.names import cose_key_bytes
from keys.signer import Signer, SoftwareSigner
from keys.suites import suite_named
from ledger.errors import LedgerError
from tests.decided import decided, officer_facts, possession
from verifier import kinds
from verifier.checkpoint import Checkpoint, sign_checkpoint
from verifier.merkle import Frontier, leaf_hash
from verifier.note import NoteSigner
from verifier.signedlist import make_signed_list
from verifier.statement import Content, new_subject, parse_statement, sign_statement
from verifier.tiles import FULL_WIDTH, encode_bundle, entries_path, tile_path

ORIGIN = "demo.zhenglian.example"
NOW = 1_800_000_000
"""2027-01-15 16:00 in China."""
DAY = 86_400
TODAY = (NOW + 8 * 3600) // DAY
FOOD, CLINIC = "11100000MB0143028R002", "11100000MB1957879T001"
PENALTY = "penalty"

Files = dict[str, bytes]


class Memory:
    """A read side over a dict."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise LedgerError("ledger-path-absent", path)
        return self.files[path]


def seeded(text: str, size: int = 32) -> bytes:
    return sha256(f"audited city {text}".encode()).digest()[:size]


def signer(name: str, suite: str = "ed25519") -> SoftwareSigner:
    return SoftwareSigner(suite_named(suite), seeded(f"key {name}"))


def checkpoint(entries: Sequence[bytes], log: NoteSigner) -> bytes:
    frontier = Frontier()
    frontier.extend(map(leaf_hash, entries))
    return sign_checkpoint(Checkpoint(log.name, len(entries), frontier.root()), [log])


def bundles(entries: Sequence[bytes]) -> Files:
    """The entry bundles alone."""
    files: Files = {}
    for start in range(0, len(entries), FULL_WIDTH):
        part = entries[start : start + FULL_WIDTH]
        files[entries_path(start // FULL_WIDTH, len(part))] = encode_bundle(part)
    return files


def tiles(leaves: Sequence[bytes]) -> Files:
    """The hash tiles of all levels, by the definition: each level from the one below."""
    files: Files = {}
    level, row = 0, list(leaves)
    while row:
        above: list[bytes] = []
        for start in range(0, len(row), FULL_WIDTH):
            part = row[start : start + FULL_WIDTH]
            files[tile_path(level, start // FULL_WIDTH, len(part))] = b"".join(part)
            if len(part) == FULL_WIDTH:
                whole = Frontier()
                whole.extend(part)
                above.append(whole.root())
        level, row = level + 1, above
    return files


def log_files(entries: Sequence[bytes], log: NoteSigner) -> Files:
    """Everything a static log of these entries has."""
    files = bundles(entries) | tiles(list(map(leaf_hash, entries)))
    files["checkpoint"] = checkpoint(entries, log)
    return files


@dataclass(frozen=True)
class Made:
    """A statement made: the record it belongs to, its bytes, its leaf hash, its time."""

    subject: str
    entry: bytes
    at: int

    @property
    def leaf(self) -> bytes:
        return leaf_hash(self.entry)


class City:
    """Writes a ledger's statements in order; every act can be made wrong by its arguments."""

    def __init__(self, origin: str = ORIGIN) -> None:
        self.origin = origin
        self.log = NoteSigner(origin, signer(f"log of {origin}"))
        self.entries: list[bytes] = []
        self.signers: dict[str, Signer] = {"operator": signer(f"operator of {origin}")}
        self.clock = NOW - 400 * DAY
        self._records = 0
        self._statuses = 0
        self.officers: dict[str, Signer] = {}
        operator = self.signers["operator"]
        facts = {
            "origin": origin,
            "log": self.log.key.text(),
            "key": cose_key_bytes(operator.suite, operator.public),
            "name_zh": "示例市",
            "name_en": "Sample City",
            "officers": self.officer_facts("first", "second"),
        }
        self.add(Content(kinds.GENESIS, facts=facts), "operator")
        self.department("market", [FOOD, PENALTY])
        self.department("health", [CLINIC], "es256")

    # --- statements ----------------------------------------------------------------------------

    def make(
        self,
        content: Content,
        slug: str,
        *,
        subject: str | None = None,
        at: int | None = None,
        by: Signer | None = None,
    ) -> Made:
        """A statement that is not in the log yet; a minute later than the one before."""
        self.clock += 60
        if subject is None:
            self._records += 1
            subject = new_subject(seeded(f"record {self._records}", 16))
        when = self.clock if at is None else at
        entry = sign_statement(
            content,
            issuer=f"{self.origin}/{slug}",
            subject=subject,
            issued_at=when,
            signer=by or self.signers[slug],
        )
        return Made(subject, entry, when)

    def add(self, content: Content, slug: str, **how: Any) -> Made:
        made = self.make(content, slug, **how)
        self.entries.append(made.entry)
        return made

    # --- authority -----------------------------------------------------------------------------

    def officer_facts(self, *names: str) -> Sequence[list[Any]]:
        """New officers, as a genesis or a department brings them."""
        new = {name: signer(f"officer {name} of {self.origin}") for name in names}
        self.officers |= new
        return officer_facts(self.origin, new)

    def change(
        self, kind: int, facts: Mapping[str, Any], by: Sequence[str] = ("first", "second")
    ) -> Made:
        """A change that the first of `by` proposed and the second approved."""
        proposer, approver = (self.officers[name] for name in by)
        at = self.clock + 60
        content = decided(
            kind,
            facts,
            origin=self.origin,
            at=at,
            proposer=proposer,
            approver=approver,
            nonce=seeded(f"nonce {len(self.entries)}", 16),
        )
        return self.add(content, "operator")

    def department(self, slug: str, scope: Sequence[str], suite: str = "ed25519") -> None:
        """With its officer `<slug>-keeper` and one key."""
        officers = self.officer_facts(f"{slug}-keeper")
        names = {"zh": f"{slug}局", "en": slug, "uscc": "11330000MB0EXMPL0X"}
        self.change(kinds.DEPARTMENT, {"id": slug, **names, "officers": officers})
        self.signers[slug] = signer(f"{slug} of {self.origin}", suite)
        self.key(slug, self.signers[slug], scope)

    def key(self, slug: str, key: Signer, scope: Sequence[str], **facts: Any) -> Made:
        """A key enrolled by `first` and the department's keeper."""
        cose_key, proof = possession(self.origin, slug, key)
        own = {"dept": slug, "key": cose_key, "scope": list(scope), "from": NOW - 500 * DAY}
        by = ("first", "second" if slug == "operator" else f"{slug}-keeper")
        return self.change(kinds.KEY, {**own, "pop": proof, **facts}, by)

    def key_act(self, key: Signer, act: str, slug: str = "market", **facts: Any) -> Made:
        """Suspends, resumes, retires, or reports a key compromised."""
        by = ("first", "second" if slug == "operator" else f"{slug}-keeper")
        return self.change(kinds.KEY_CHANGED, {"key": key.kid, "act": act, **facts}, by)

    def compromise(self, key: Signer, *, before: int, slug: str = "market", **facts: Any) -> Made:
        """Others have the key since the entry `before`; what it signed is listed."""
        earlier = [parse_statement(entry) for entry in self.entries[1:before]]
        listed = make_signed_list(entry.leaf for entry in earlier if entry.kid == key.kid)
        since = self.clock + 1
        if before < len(self.entries):
            since = parse_statement(self.entries[before]).issued_at
        own = {"since": since, "before": before, "count": listed.count, "signed": listed.digest}
        return self.key_act(key, "compromise", slug, **{**own, **facts})

    # --- licences ------------------------------------------------------------------------------

    def licence(
        self, slug: str = "market", type_code: str = FOOD, *, how: Any = None, **changes: Any
    ) -> Made:
        """A licence; `changes` replace members of its content, `how` goes to `add`."""
        self._statuses += 1
        content = Content(
            kinds.LICENCE,
            type_code,
            valid_from=TODAY - 400,
            valid_until=TODAY + 400,
            status=(0, self._statuses),
            rule_set="order-36",
            digests=[seeded(f"digest {self._statuses}")],
        )
        return self.add(content._replace(**changes), slug, **(how or {}))

    def state(
        self, before: Made, state: int, reason: str = "penalty-revocation", **how: Any
    ) -> Made:
        content = Content(
            kinds.LICENCE_STATE,
            how.pop("type_code", FOOD),
            predecessor=how.pop("predecessor", before.leaf),
            rule_set="order-36",
            state=state,
            reason=reason,
        )
        how.setdefault("subject", before.subject)
        return self.add(content, how.pop("slug", "market"), **how)

    # --- credit --------------------------------------------------------------------------------

    def credit(self, *, day: int, how: Any = None, **facts: Any) -> Made:
        """A penalty decided on `day`; its facts say it is about an organisation."""
        content = Content(
            kinds.CREDIT,
            PENALTY,
            valid_from=day,
            rule_set="order-36",
            digests=[seeded(f"credit {len(self.entries)}")],
            facts={"org": True, "grade": 2, **facts},
        )
        return self.add(content, "market", **{"at": day * DAY, **(how or {})})

    def follow(self, before: Made, kind: int, **how: Any) -> Made:
        """A later act on a credit entry, a minute after `before` unless `at` says otherwise."""
        labels = kinds.KINDS[kind].required
        content = Content(
            kind,
            how.pop("type_code", PENALTY) if kinds.TYPE in labels else None,
            valid_from=TODAY if kinds.FROM in labels else None,
            predecessor=how.pop("predecessor", before.leaf),
            rule_set="order-36" if kinds.RULE_SET in labels else None,
            digests=[seeded("new digest")] if kinds.DIGESTS in labels else (),
            reason="because" if kinds.REASON in labels else None,
            facts=how.pop("facts", {"until": TODAY} if kinds.FACTS in labels else {}),
        )
        how.setdefault("subject", before.subject)
        how.setdefault("at", before.at + 60)
        return self.add(content, how.pop("slug", "market"), **how)

    # --- documents -----------------------------------------------------------------------------

    def document(
        self, before: Made | None = None, slug: str = "market", *, how: Any = None, **changes: Any
    ) -> Made:
        """A file's digest, by a key of its own; the next version of `before`, if that is given."""
        name = f"{slug} documents"
        if name not in self.signers:
            self.signers[name] = signer(f"{name} of {self.origin}")
            self.key(slug, self.signers[name], [kinds.DOCUMENT_SCOPE, FOOD])
        content = Content(
            kinds.DOCUMENT,
            digests=[seeded(f"document {len(self.entries)}")],
            predecessor=None if before is None else before.leaf,
        )
        own = {"by": self.signers[name], **({} if before is None else {"subject": before.subject})}
        return self.add(content._replace(**changes), slug, **{**own, **(how or {})})

    # --- as files ------------------------------------------------------------------------------

    def files(self) -> Files:
        return log_files(self.entries, self.log)

    def fill(self, count: int) -> None:
        """Licences until the log has `count` entries."""
        while len(self.entries) < count:
            self.licence()
