"""A small city for tests: one log, an operator, three witnesses, two departments, fixed seeds.

Everything in it is deterministic: `City()` twice gives the same bytes (P-256 signatures aside,
which are randomised). Times are Unix seconds around `NOW`, days count from 1970-01-01.

    city = City()
    licence = city.issue()
    judge(licence.qr(), city.trust(), NOW)              # green
    city.set_state(licence, SUSPENDED)
    judge(licence.qr(), city.trust(), NOW)              # red
    judge(city.transparent(licence), city.trust(), NOW)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from keys.names import cose_key_bytes
from keys.signer import Signer, SoftwareSigner
from keys.suites import suite_named
from tests.decided import decided, officer_facts, possession
from verifier import kinds
from verifier.authorities import Authorities
from verifier.checkpoint import Checkpoint, add_cosignatures, cosign, sign_checkpoint
from verifier.cose_receipt import InclusionProof, make_receipt, sign_root
from verifier.disclosure import disclosure_digest, make_disclosure
from verifier.merkle import Frontier, leaf_hash, node_hash
from verifier.multiproof import multiproof_ranges
from verifier.note import NoteSigner
from verifier.pack import Enrolment, PackContent, open_pack, sign_pack
from verifier.policy import Policy, parse_policy
from verifier.proof import TlogProof
from verifier.qr import format_qr
from verifier.signedlist import SignedList, make_signed_list
from verifier.statement import Content, new_subject, parse_statement, sign_statement
from verifier.states import VALID
from verifier.status import StatusToken, pack_states, parse_status_token, sign_status_token
from verifier.trust import Trust, TypeName

ORIGIN = "demo.zhenglian.example"
NOW = 1_800_000_000
"""2027-01-15 16:00 in China."""
TODAY = (NOW + 8 * 3600) // 86_400
ISSUED_AT = NOW - 30 * 86_400
SYNCED_AT = NOW - 3600
USE_UNTIL = NOW + 86_400
MAX_STATUS_AGE = 72 * 3600

BUSINESS = "11100000MB0143028R001"
FOOD = "11100000MB0143028R002"
HOSPITAL = "11100000MB1957879T001"
TYPES: Mapping[str, TypeName] = {
    name.code: name
    for name in (
        TypeName(
            BUSINESS,
            "营业执照",
            "Business licence",
            {
                "name": ("名称", "Name"),
                "uscc": ("统一社会信用代码", "Unified social credit code"),
                "representative": ("法定代表人", "Legal representative"),
                "kind": ("类型", "Kind"),
                "address": ("住所", "Address"),
                "capital": ("注册资本", "Registered capital"),
                "founded": ("成立日期", "Founded"),
                "scope": ("经营范围", "Business scope"),
            },
        ),
        TypeName(FOOD, "食品经营许可证", "Food licence", {"name": ("经营者名称", "Operator")}),
        TypeName(HOSPITAL, "医疗机构执业许可证", "Hospital licence", {"name": ("名称", "Name")}),
    )
}
FACE: Mapping[str, Any] = {
    "name": "示例市晨光无土栽培技术有限公司",
    "uscc": "91330000MA0EXMPL1X",
    "representative": "欧阳明远",
    "kind": "有限责任公司(自然人投资或控股)",
    "address": "示例市自由贸易试验区横江路658号4幢141室",
    "capital": "50万元人民币",
    "founded": "2004-01-02",
}
SCOPE: Mapping[str, Any] = {"scope": "蔬菜、食用菌、花卉、苗木的种植、销售，无土栽培用设备的销售。"}


def seeded(text: str, size: int = 32) -> bytes:
    """Bytes that look random and are always the same for the same text."""
    return sha256(f"test city {text}".encode()).digest()[:size]


def signer(name: str, suite: str = "ed25519") -> SoftwareSigner:
    """A signer whose private key is derived from a name."""
    return SoftwareSigner(suite_named(suite), seeded(f"key {name}"))


@dataclass(frozen=True)
class Licence:
    """An issued licence: statement, disclosures (the face, then the scope), ledger index."""

    slug: str
    statement: bytes
    disclosures: Sequence[bytes]
    index: int

    @property
    def content(self) -> Content:
        return parse_statement(self.statement).content

    def qr(self, *, show: int = 1) -> str:
        """The compact code, showing the first `show` disclosures."""
        return format_qr(self.statement, self.disclosures[:show])


class City:
    """Its ledger is `entries`; `authorities` follows every enrolment. Any `quorum` of its three
    witnesses must cosign; with None it has no witness policy."""

    def __init__(self, origin: str = ORIGIN, quorum: int | None = 2) -> None:
        self.origin = origin
        self.entries: list[bytes] = []
        self.enrolments: list[int] = []
        self.authorities = Authorities()
        self.operator = signer(f"operator of {origin}")
        self.log = NoteSigner(origin, signer(f"log of {origin}"))
        self.witnesses = [
            NoteSigner(f"witness.{name}.example", signer(f"witness {name}"), 0x04)
            for name in ("audit", "archive", "court")
        ]
        self.departments: dict[str, Signer] = {}
        self.officers = {name: self.officer_key(name) for name in ("first", "second")}
        self.states: dict[str, list[int]] = {}
        self.signed_lists: dict[bytes, SignedList] = {}
        self._subjects = 0
        key = cose_key_bytes(self.operator.suite, self.operator.public)
        self.log_pq = NoteSigner(origin, signer(f"log of {origin}", "ml-dsa-44"), 0x06)
        facts = {
            "origin": origin,
            "log": self.log.key.text(),
            "log_pq": self.log_pq.key.public,
            "key": key,
        }
        officers = officer_facts(origin, self.officers)
        names = {"name_zh": "示例市", "name_en": "Sample City", "officers": officers}
        self.enrol(Content(kinds.GENESIS, facts={**facts, **names}))
        self.add_department("market", "市场监督管理局", "Market Supervision", [BUSINESS, FOOD])
        self.add_department("health", "卫生健康委", "Health Commission", [HOSPITAL], "es256")
        if quorum is not None:
            self.set_witnesses(self.policy_text(quorum))

    # --- the ledger ----------------------------------------------------------------------------

    def sign(
        self, content: Content, slug: str, *, issued_at: int = ISSUED_AT, by: Signer | None = None
    ) -> bytes:
        """A statement of a department (or of `operator`), perhaps by another key."""
        self._subjects += 1
        return sign_statement(
            content,
            issuer=f"{self.origin}/{slug}",
            subject=new_subject(seeded(f"record {self._subjects}", 16)),
            issued_at=issued_at,
            signer=by or (self.operator if slug == "operator" else self.departments[slug]),
        )

    def append(self, entry: bytes) -> int:
        """Its ledger index."""
        self.entries.append(entry)
        return len(self.entries) - 1

    def officer_key(self, name: str) -> Signer:
        return signer(f"officer {name} of {self.origin}")

    def enrol(
        self,
        content: Content,
        *,
        issued_at: int = ISSUED_AT - 86_400,
        by: tuple[str, str] | None = None,
        operator: Signer | None = None,
    ) -> bytes:
        """Logs a statement of authority, and lets the authorities follow.

        But for a genesis, `content` holds the facts of a change; the officers `by` propose and
        approve it: one of the operator and one of the department that it is about.
        """
        if content.kind != kinds.GENESIS:
            content = self.decided(content, issued_at=issued_at, by=by)
        entry = self.sign(content, "operator", issued_at=issued_at, by=operator)
        self.authorities.enrol(parse_statement(entry), len(self.entries))
        self.enrolments.append(self.append(entry))
        return entry

    def decided(
        self, content: Content, *, issued_at: int, by: tuple[str, str] | None = None
    ) -> Content:
        """The change with its proposal and approval, as the operator logs it."""
        slug = content.facts.get("dept")
        named = content.facts.get("key")
        known = self.authorities.keys.get(named) if type(named) is bytes else None
        slug = known.issuer.rpartition("/")[2] if known is not None else slug
        own = f"{slug}-keeper" if f"{slug}-keeper" in self.officers else "second"
        proposer, approver = by or ("first", own)
        return decided(
            content.kind,
            content.facts,
            origin=self.origin,
            at=issued_at,
            proposer=self.officers[proposer],
            approver=self.officers[approver],
            nonce=seeded(f"nonce {len(self.entries)}", 16),
        )

    def change_key(self, key: Signer, act: str, /, issued_at: int, **facts: Any) -> int:
        """Suspends, resumes, retires or reports a key; the ledger index of that statement."""
        content = Content(kinds.KEY_CHANGED, facts={"key": key.kid, "act": act, **facts})
        self.enrol(content, issued_at=issued_at)
        return self.enrolments[-1]

    def renew_key(self, slug: str, name: str, scope: Sequence[str], *, at: int) -> Signer:
        """A further key for a department, which signs from now on; the one before stays."""
        key = signer(f"{name} of {self.origin}")
        self.enrol(self.key_content(slug, key, scope), issued_at=at)
        self.departments[slug] = key
        return key

    def set_witnesses(
        self, policy: str, *, override: str | None = None, issued_at: int = ISSUED_AT - 86_400
    ) -> int:
        """Sets the witness policy; the ledger index of that statement."""
        facts = {"policy": policy} | ({} if override is None else {"override": override})
        self.enrol(Content(kinds.WITNESSES, facts=facts), issued_at=issued_at)
        return self.enrolments[-1]

    def compromise(self, key: Signer, *, since: int, told: int) -> SignedList:
        """Reports that others have a key; the list of what it signed before `since`."""
        before = next(
            (i for i, e in enumerate(self.entries) if parse_statement(e).issued_at >= since),
            len(self.entries),
        )
        signed = make_signed_list(
            leaf_hash(entry)
            for entry in self.entries[:before]
            if parse_statement(entry).kid == key.kid
        )
        listed = {"count": signed.count, "signed": signed.digest}
        self.change_key(key, "compromise", told, since=since, before=before, **listed)
        self.signed_lists[key.kid] = signed
        return signed

    def add_department(
        self,
        slug: str,
        zh: str,
        en: str,
        scope: Sequence[str],
        suite: str = "ed25519",
        *,
        issued_at: int = ISSUED_AT - 86_400,
    ) -> None:
        """Enrols a department, its officer and one key of it, and opens its status list 0."""
        keeper = f"{slug}-keeper"
        self.officers[keeper] = self.officer_key(keeper)
        officers = officer_facts(self.origin, {keeper: self.officers[keeper]})
        names = {"zh": zh, "en": en, "uscc": "11330000MB0EXMPL0X"}
        facts = {"id": slug, **names, "officers": officers}
        self.enrol(Content(kinds.DEPARTMENT, facts=facts), issued_at=issued_at)
        self.departments[slug] = signer(f"{slug} of {self.origin}", suite)
        key = self.key_content(slug, self.departments[slug], scope)
        self.enrol(key, issued_at=issued_at)
        self.states[slug] = []

    def key_content(self, slug: str, key: Signer, scope: Sequence[str], /, **facts: Any) -> Content:
        """What enrols a key from a year before `NOW`; `facts` override."""
        cose_key, proof = possession(self.origin, slug, key)
        own = {"dept": slug, "key": cose_key, "scope": list(scope), "from": NOW - 365 * 86_400}
        return Content(kinds.KEY, facts={**own, "pop": proof, **facts})

    def checkpoint(self, *, witnesses: int = 3, at: int = SYNCED_AT) -> bytes:
        """The signed note for all entries, cosigned by the first `witnesses` witnesses."""
        frontier = Frontier()
        frontier.extend(map(leaf_hash, self.entries))
        body = Checkpoint(self.origin, len(self.entries), frontier.root())
        lines = [cosign(body.body(), at, witness) for witness in self.witnesses[:witnesses]]
        return add_cosignatures(sign_checkpoint(body, [self.log, self.log_pq], ISSUED_AT), lines)

    def proof(self, index: int, *, witnesses: int = 3) -> TlogProof:
        return TlogProof(index, tuple(self.path(index)), self.checkpoint(witnesses=witnesses))

    def receipt(self, index: int) -> bytes:
        """The COSE receipt of an entry."""
        size = len(self.entries)
        key, log = self.log.key, signer(f"log of {self.origin}")
        signature = sign_root(self.root(0, size), size, key, log)
        return make_receipt(InclusionProof(size, index, tuple(self.path(index))), key, signature)

    def path(self, index: int) -> list[bytes]:
        """The audit path of an entry (RFC 9162 §2.1.3.1)."""

        def walk(low: int, high: int) -> tuple[bytes, list[bytes]]:
            if high - low == 1:
                return leaf_hash(self.entries[low]), []
            middle = low + (1 << (high - low - 1).bit_length() - 1)
            left, left_path = walk(low, middle)
            right, right_path = walk(middle, high)
            above = [*left_path, right] if index < middle else [*right_path, left]
            return node_hash(left, right), above

        return walk(0, len(self.entries))[1]

    def multiproof(self, indices: Sequence[int]) -> bytes:
        """The hashes that prove these entries."""
        ranges = multiproof_ranges(indices, len(self.entries))
        return b"".join(self.root(low, high) for low, high in ranges)

    def root(self, low: int, high: int) -> bytes:
        """The root over a range of the entries."""
        frontier = Frontier()
        frontier.extend(map(leaf_hash, self.entries[low:high]))
        return frontier.root()

    # --- licences ------------------------------------------------------------------------------

    def issue(
        self,
        slug: str = "market",
        type_code: str = BUSINESS,
        *,
        face: Mapping[str, Any] = FACE,
        issued_at: int = ISSUED_AT,
        by: Signer | None = None,
        **changes: Any,
    ) -> Licence:
        """A licence in force; `changes` replace members of its `Content`."""
        number = len(self.states[slug])
        self.states[slug].append(VALID)
        disclosures = [
            make_disclosure("face", face, seeded(f"salt {slug} {number}", 16)),
            make_disclosure("scope", SCOPE, seeded(f"second salt {slug} {number}", 16)),
        ]
        content = Content(
            kinds.LICENCE,
            type_code,
            valid_from=TODAY - 30,
            valid_until=TODAY + 5 * 365,
            status=(0, number),
            rule_set="2026-04",
            digests=[disclosure_digest(raw) for raw in disclosures],
        )
        entry = self.sign(content._replace(**changes), slug, issued_at=issued_at, by=by)
        return Licence(slug, entry, disclosures, self.append(entry))

    def transparent(self, licence: Licence, *, show: int = 1, witnesses: int = 3) -> str:
        """The code with inclusion proof and cosigned checkpoint."""
        proof = self.proof(licence.index, witnesses=witnesses)
        return format_qr(licence.statement, licence.disclosures[:show], proof)

    def set_state(self, licence: Licence, state: int) -> None:
        status = licence.content.status
        assert status is not None
        self.states[licence.slug][status[1]] = state

    # --- trust ---------------------------------------------------------------------------------

    def status_token(self, slug: str, *, issued_at: int = SYNCED_AT) -> bytes:
        """The signed list 0 of a department."""
        return sign_status_token(
            pack_states(self.states[slug]),
            issuer=f"{self.origin}/{slug}",
            list_number=0,
            issued_at=issued_at,
            expires_at=issued_at + 7 * 86_400,
            ttl=3600,
            signer=self.departments[slug],
        )

    def tokens(self, *, issued_at: int = SYNCED_AT) -> list[StatusToken]:
        return [
            parse_status_token(self.status_token(s, issued_at=issued_at)) for s in self.departments
        ]

    def policy_text(self, quorum: int = 2) -> str:
        """Any `quorum` of the three witnesses; none if it is 0."""
        names = ["audit", "archive", "court"]
        if not quorum:
            return "quorum none\n"
        pairs = zip(names, self.witnesses, strict=True)
        lines = [f"witness {n} {w.key.text()} https://{w.name}/" for n, w in pairs]
        lines += [f"group all-of-them {quorum} {' '.join(names)}", "quorum all-of-them", ""]
        return "\n".join(lines)

    def policy(self, quorum: int = 2) -> Policy:
        return parse_policy(self.policy_text(quorum))

    def pack_content(self, **changes: Any) -> PackContent:
        """What the operator would sign as a trust pack; `changes` replace members."""
        content = PackContent(
            made_at=SYNCED_AT,
            use_until=USE_UNTIL,
            max_status_age=MAX_STATUS_AGE,
            checkpoint=self.checkpoint(),
            enrolments=[Enrolment(i, self.entries[i]) for i in self.enrolments],
            hashes=self.multiproof(self.enrolments),
            statuses=[self.status_token(slug) for slug in self.departments],
            types=TYPES.values(),
            signed_lists={kid: listed.data for kid, listed in self.signed_lists.items()},
        )
        return replace(content, **changes)

    def pack(self, **changes: Any) -> bytes:
        return sign_pack(self.pack_content(**changes), self.operator)

    def trust(self, **changes: Any) -> Trust:
        """What a counter trusts after opening the pack; `changes` replace members."""
        return replace(open_pack(self.pack()), **{"signed_lists": self.signed_lists, **changes})
