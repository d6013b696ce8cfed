"""Who may sign what: the register, replayed from the statements of authority in the ledger.

One mechanism serves the server, the audit, and a counter loading its trust pack: each hands the
statements to `Authorities.enrol` in ledger order. Nothing else adds a key or takes its power.

A genesis founds the register. Every other statement of authority must, in this order:

    1  come after what was applied before, by index and time
    2  be signed by a key of the operator that counts at this index
    3  carry a proposal and its approval, well formed, for this ledger, of this kind
    4  be proposed and approved by officers in office, two different ones
    5  be approved for exactly this proposal, once, in time
    6  obey the rule of its kind (`verifier.authority_rules`)
    7  be decided by officers of the department concerned or the operator; where it gives a
       department's keys power, by at least one of that very department
    8  bear good signatures: the operator's, both officers', those of the keys it brings
"""

from collections.abc import Iterator
from hashlib import sha256

from verifier.authority_facts import Facts, text
from verifier.authority_rules import (
    RULES,
    Effect,
    proof_of_possession_message,
    read_officers,
    read_public,
)
from verifier.change import Approval, Proposal, check_times, parse_change
from verifier.cose import Sign1, to_be_signed
from verifier.errors import Refused
from verifier.evidence import Evidence, SignatureCheck
from verifier.keylife import (
    OPERATOR,
    EnrolledKey,
    Moment,
    check_outside,
    check_standing,
    check_use,
)
from verifier.kinds import CHANGES, GENESIS
from verifier.logged_policy import LoggedPolicy
from verifier.note import ED25519, MLDSA44, VerifierKey, make_vkey, parse_vkey
from verifier.policy import Policy
from verifier.register import Anchor, Department, Officer, Register
from verifier.statement import Statement

__all__ = [
    "OPERATOR",
    "Authorities",
    "Department",
    "EnrolledKey",
    "Officer",
    "check_outside",
    "check_scope",
    "check_standing",
    "check_use",
    "proof_of_possession_message",
]


class Authorities:
    """The register after the statements applied so far. Starts empty, before the genesis.

    With `deferred`, signatures are checked when a key that rests on them is first asked for
    (`key_for`, `key`), or all of them by `settle_all`; everything else is checked at once.
    """

    def __init__(self, *, deferred: bool = False) -> None:
        self.register = Register()
        self._evidence = Evidence(deferred=deferred)
        self._settled: set[bytes] = set()  # keys that rest on nothing put off

    def copy(self, *, deferred: bool = False) -> "Authorities":
        """A twin that may go on by itself: what is there is shared, and immutable. What was put
        off stays so; whether what comes is put off too says `deferred`."""
        twin = Authorities()
        twin.register = self.register.copy()
        twin._evidence = self._evidence.copy(deferred=deferred)
        return twin

    @property
    def origin(self) -> str:
        return self.register.origin

    @property
    def name_zh(self) -> str:
        return self.register.name_zh

    @property
    def name_en(self) -> str:
        return self.register.name_en

    @property
    def log_key(self) -> VerifierKey | None:
        return self.register.log_key

    @property
    def log_pq_key(self) -> VerifierKey | None:
        """The log's ML-DSA-44 key (type 0x06); None of a ledger that signs with one key only."""
        return self.register.log_pq_key

    @property
    def departments(self) -> dict[str, Department]:
        """By issuer."""
        return self.register.departments

    @property
    def keys(self) -> dict[bytes, EnrolledKey]:
        """By key id. What `key` and `key_for` return had its signatures checked; these may not."""
        return self.register.keys

    @property
    def officers(self) -> dict[str, Officer]:
        """By duty name."""
        return self.register.officers

    @property
    def anchors(self) -> dict[bytes, Anchor]:
        """By SHA-256 of the certificate."""
        return self.register.anchors

    @property
    def policy(self) -> Policy | None:
        """The witness policy in force; None where no witness is asked. Raises as `policy_at`."""
        logged = self.policy_at(self.register.last.index + 1)
        return None if logged is None else logged.policy

    @property
    def policy_override(self) -> str:
        """The reason of the policy in force, if it is an override; else ""."""
        policies = self.register.policies
        return policies[-1].override if policies else ""

    @property
    def policy_index(self) -> int | None:
        """The ledger index of the statement that set the policy in force."""
        policies = self.register.policies
        return policies[-1].told.index if policies else None

    def policy_at(self, size: int) -> LoggedPolicy | None:
        """The witness policy that governs checkpoints of `size` entries: the latest one among
        them. Raises the `Refused` of a signature that it rests on."""
        below = (each for each in reversed(self.register.policies) if each.told.index < size)
        logged = next(below, None)
        if logged is not None and self._evidence.is_open:
            self._evidence.settle([logged.told.index])
        return logged

    @property
    def last(self) -> Moment:
        """Of the latest statement applied; the next must not be earlier."""
        return self.register.last

    def acting(self, slug: str) -> str:
        """The department that acts for this one today: itself, or whom it was merged into."""
        return self.register.acting(slug)

    def keys_of(self, issuer: str) -> list[EnrolledKey]:
        """In the order of enrolment."""
        return self.register.keys_of(issuer)

    def key(self, kid: bytes) -> EnrolledKey | None:
        """The key of this id. Raises the `Refused` of a signature that it rests on."""
        key = self.register.keys.get(kid)
        if key is not None and self._evidence.is_open and kid not in self._settled:
            told = [*self._department_acts(key.issuer), *self._anchor_acts(key)]
            self._evidence.settle([*key.acts, *told])
            self._settled.add(kid)
        return key

    def check_department(self, issuer: str) -> None:
        """Raises the `Refused` of a signature that this department, its names and whoever acts for
        it today rest on."""
        if self._evidence.is_open:
            self._evidence.settle(self._department_acts(issuer))

    def _anchor_acts(self, key: EnrolledKey) -> Iterator[int]:
        """The statements that say what the CAs are called that may have certified the key; a CA
        that was withdrawn and recognised again is called what the latest says."""
        for cert in () if key.certified is None else key.certified.anchors:
            yield self.register.anchors[sha256(cert).digest()].told.index

    def _department_acts(self, issuer: str | None) -> Iterator[int]:
        """The statements that say what a department, and who acts for it, is called."""
        while issuer is not None:
            department = self.register.departments[issuer]
            yield from department.acts
            issuer = department.successor

    def key_for(self, statement: Statement) -> EnrolledKey:
        """The enrolled key a statement names; `check_use` and `check_standing` say what it may do.

        key-not-enrolled: nobody enrolled this key; key-of-another: it is another issuer's.
        """
        key = self.key(statement.kid)
        if key is None:
            raise Refused("key-not-enrolled", statement.kid.hex())
        if key.issuer != statement.issuer:
            raise Refused("key-of-another", key.issuer)
        return key

    def signer_of(self, sign1: Sign1, issuer: str, at: int) -> EnrolledKey:
        """Who signed a document that stands in no ledger and says it was made at Unix time `at`.

        Raises `Refused`: key-not-enrolled, key-of-another, those of `check_outside`,
        document-bad-signature.
        """
        key = self.key(sign1.kid)
        if key is None:
            raise Refused("key-not-enrolled", sign1.kid.hex())
        if key.issuer != issuer:
            raise Refused("key-of-another", key.issuer)
        check_outside(key, at)
        _signed(sign1, key, "document-bad-signature").run()
        return key

    def decided_by(self, statement: Statement) -> tuple[str, ...]:
        """The duty names of who proposed and who approved a change that took effect; none for a
        genesis."""
        if statement.content.kind not in CHANGES:
            return ()
        signed = parse_change(statement.content)
        officers = (self.register.officer_of(each.kid) for each in signed)
        return tuple(officer.id for officer in officers if officer is not None)

    def settle_all(self) -> list[str]:
        """Makes every check that was put off; raises the `Refused` of the first that fails.

        What this machine cannot check stays put off, and is refused when a key rests on it; what
        it would take is returned.
        """
        return self._evidence.settle_all()

    def enrol(self, statement: Statement, index: int) -> None:
        """Applies a statement of authority that stands at a ledger index, or changes nothing.

        Raises `Refused`: enrolment-…, change-…, officer-…, key-…, department-…, chain-…,
        statement-bad-signature.
        """
        kind = statement.content.kind
        if kind == GENESIS:
            self._genesis(statement, index)
            return
        register = self.register
        if register.log_key is None:
            raise Refused("enrolment-before-genesis")
        if kind not in CHANGES:
            raise Refused("enrolment-malformed", "kind")
        if index <= register.last.index:
            raise Refused("enrolment-malformed", f"index {index} ≤ {register.last.index}")
        if statement.issued_at < register.last.at:
            raise Refused("change-too-late", f"{statement.issued_at} < {register.last.at}")
        operator = self._operator(statement, index)
        proposal, approval = parse_change(statement.content)
        proposer, approver = self._officers(proposal, approval)
        self._check_approval(proposal, approval, statement.issued_at)
        at = Moment(index, statement.issued_at)
        effect = RULES[kind](register, proposal.facts, at)
        _check_entitled(effect, proposer, approver)
        self._evidence.add(
            index,
            [
                _signed(statement.sign1, operator, "statement-bad-signature"),
                _signed(proposal.sign1, proposer, "change-bad-signature"),
                _signed(approval.sign1, approver, "change-bad-signature"),
                *effect.checks,
            ],
            [*operator.acts, *proposer.acts, *approver.acts],
        )
        effect.apply(register)
        self._settled.clear()
        register.done.add(proposal.digest)
        register.last = at

    def _genesis(self, statement: Statement, index: int) -> None:
        if self.register.log_key is not None or index != 0:
            raise Refused("enrolment-second-genesis")
        facts = statement.content.facts
        origin, vkey, key_data = text(facts, "origin"), text(facts, "log"), facts.get("key")
        if type(key_data) is not bytes:
            raise Refused("enrolment-malformed", "key")
        suite, public, kid = read_public(key_data)
        issuer = f"{origin}/{OPERATOR}"
        if statement.issuer != issuer or kid != statement.kid:
            raise Refused("enrolment-malformed", "the genesis names another key or issuer")
        log_key = parse_vkey(vkey)
        if log_key.name != origin or log_key.type != ED25519:
            raise Refused("enrolment-malformed", "log key of another origin or type")
        names = text(facts, "name_zh"), text(facts, "name_en")
        log_pq_key = _log_pq_key(facts, origin)
        register = Register(origin, *names, log_key, log_pq_key, kids={kid: ""})
        officers = read_officers(register, facts, OPERATOR, index)
        if len(officers.found) < 2:
            raise Refused("officers-too-few")
        acts = (index,)
        operator = EnrolledKey(kid, issuer, suite, public, frozenset(), 0, None, index, acts=acts)
        genesis = _signed(statement.sign1, operator, "statement-bad-signature")._replace(new=True)
        self._evidence.add(index, [genesis, *officers.checks], ())
        register.keys[kid] = operator
        register.departments[issuer] = Department(issuer, *names, "", acts)
        officers.apply(register)
        register.last = Moment(index, statement.issued_at)
        self.register = register

    def _operator(self, statement: Statement, index: int) -> EnrolledKey:
        """The operator's key that signs a statement of authority, if it counts at this index."""
        key = self.register.keys.get(statement.kid)
        if key is None or not key.is_operators or statement.issuer != key.issuer:
            raise Refused("enrolment-not-by-operator")
        check_use(key, statement.content.kind, None, statement.issued_at)
        check_standing(key, statement.issued_at, index=index)
        return key

    def _officers(self, proposal: Proposal, approval: Approval) -> tuple[Officer, Officer]:
        if proposal.origin != self.origin:
            raise Refused("change-foreign", proposal.origin)
        proposer, approver = self._officer(proposal.kid), self._officer(approval.kid)
        if proposer is approver:
            raise Refused("change-own-approval", proposer.id)
        return proposer, approver

    def _officer(self, kid: bytes) -> Officer:
        officer = self.register.officer_of(kid)
        if officer is None:
            raise Refused("officer-unknown", kid.hex())
        if officer.left is not None:
            raise Refused("officer-not-in-office", officer.id)
        return officer

    def _check_approval(self, proposal: Proposal, approval: Approval, issued_at: int) -> None:
        if proposal.digest in self.register.done:
            raise Refused("change-replayed", proposal.digest.hex()[:16])
        if approval.digest != proposal.digest:
            raise Refused("change-altered")
        check_times(proposal, approval, issued_at)


def check_scope(statement: Statement, key: EnrolledKey) -> None:
    """The key may sign this kind and type at the time the statement gives; else `Refused`."""
    content = statement.content
    check_use(key, content.kind, content.type_code, statement.issued_at)


def _check_entitled(effect: Effect, proposer: Officer, approver: Officer) -> None:
    for officer in (proposer, approver):
        if officer.of not in (effect.concerns, OPERATOR):
            raise Refused("officer-not-entitled", f"{officer.id} → {effect.concerns}")
    if effect.own and effect.concerns not in (proposer.of, approver.of):
        raise Refused("change-needs-own-officer", effect.concerns)


def _log_pq_key(facts: Facts, origin: str) -> VerifierKey | None:
    """The log's ML-DSA-44 key, of which a genesis gives the 1312 bytes of the public half."""
    public = facts.get("log_pq")
    if public is None:
        return None
    if type(public) is not bytes:
        raise Refused("enrolment-malformed", "log_pq")
    return make_vkey(origin, public, MLDSA44)


def _signed(sign1: Sign1, signer: EnrolledKey | Officer, code: str) -> SignatureCheck:
    """That the signer's key made this signature, with the algorithm that the header says."""
    if sign1.alg != signer.suite.cose_alg:
        raise Refused(code, "algorithm")
    message = to_be_signed(sign1.protected, sign1.payload)
    return SignatureCheck(signer.suite, signer.public, message, sign1.signature, code)
