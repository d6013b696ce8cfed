"""The judge: every verdict, by the scenario that leads to it; nothing altered is ever green."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.city import (
    BUSINESS,
    FACE,
    FOOD,
    HOSPITAL,
    ISSUED_AT,
    MAX_STATUS_AGE,
    NOW,
    SYNCED_AT,
    TODAY,
    USE_UNTIL,
    City,
    Licence,
    seeded,
    signer,
)
from verifier import kinds, states
from verifier.authorities import Authorities
from verifier.codec import base45_decode, base45_encode
from verifier.disclosure import disclosure_digest, make_disclosure
from verifier.errors import Refused
from verifier.judge import CLOCK_SKEW, judge
from verifier.note import MLDSA44, NoteSigner
from verifier.proof import TlogProof
from verifier.qr import PREFIX, format_qr
from verifier.statement import Content
from verifier.status import StatusAnswer, StatusBook
from verifier.trust import Trust
from verifier.verdict import Colour, Outcome, Verdict
from verifier.words import CHECKS, SENTENCES

DAY = 86_400
GREEN, AMBER, RED = Colour.GREEN, Colour.AMBER, Colour.RED
FORM, CITY, KEY, SIGNATURE, SCOPE, CONTENT = 1, 2, 3, 4, 5, 6
VALIDITY, LEDGER, WITNESSES, STATUS, FRESHNESS = 7, 8, 9, 10, 11


class Asked(NamedTuple):
    """What goes into the judge."""

    payload: str | bytes
    trust: Trust
    now: int = NOW
    proof: TlogProof | None = None
    absent: bool = False
    pending: bool = False
    receipt: bytes | None = None

    def verdict(self) -> Verdict:
        found = {"proof": self.proof, "absent": self.absent, "pending": self.pending}
        return judge(self.payload, self.trust, self.now, **found, receipt=self.receipt)


class Case(NamedTuple):
    """A scenario, the verdict it leads to, and the check that says so (None: none failed)."""

    name: str
    ask: Callable[[City], Asked]
    colour: Colour
    code: str
    failed: int | None = None


def licence(colour: Colour, code: str, name: str, failed: int | None = None, **how: Any) -> Case:
    """A licence issued with these changes, its code read by a counter of the city."""
    trust, now = how.pop("trust", {}), how.pop("now", NOW)

    def ask(city: City) -> Asked:
        shown = city.issue(**how)
        return Asked(shown.qr(), city.trust(**trust), now)

    return Case(name, ask, colour, code, failed)


def in_state(state: int) -> Callable[[City], Asked]:
    def ask(city: City) -> Asked:
        shown = city.issue()
        city.set_state(shown, state)
        return Asked(shown.qr(), city.trust())

    return ask


def text_changed(change: Callable[[str], str]) -> Callable[[City], Asked]:
    return lambda city: Asked(change(city.issue().qr()), city.trust())


def signed(content: Content, slug: str) -> Callable[[City], Asked]:
    return lambda city: Asked(city.sign(content, slug), city.trust())


def disclosing(*disclosures: bytes) -> Callable[[City], Asked]:
    """A licence that holds digests of all of these, and shows them all."""

    def ask(city: City) -> Asked:
        digests = list(dict.fromkeys(map(disclosure_digest, disclosures)))
        return Asked(format_qr(city.issue(digests=digests).statement, disclosures), city.trust())

    return ask


def with_proof(**changes: Any) -> Callable[[City], Asked]:
    """A transparent code; `witnesses` cosigned, `other` swaps the proof."""

    def ask(city: City) -> Asked:
        shown = city.issue()
        city.issue()
        proof = city.proof(shown.index, witnesses=changes.get("witnesses", 3))
        if "other" in changes:
            proof = changes["other"](city, shown, proof)
        return Asked(format_qr(shown.statement, shown.disclosures[:1], proof), city.trust())

    return ask


def of_another_city(city: City) -> Asked:
    return Asked(City("other.example").issue().qr(), city.trust())


def forged_issuer(city: City) -> Asked:
    """Signed by a key of ours in the name of another department."""
    statement = city.sign(_content(), "health", by=city.departments["market"])
    return Asked(statement, city.trust())


def key_of_nobody(city: City) -> Asked:
    return Asked(city.issue(by=signer("nobody")).qr(), city.trust())


def statement_of_another_key_id(city: City) -> Asked:
    """The key id is the department's, the signature somebody else's."""
    shown = city.issue()
    forged = city.sign(shown.content, "market", by=_Pretender(city))
    return Asked(format_qr(forged, shown.disclosures[:1]), city.trust())


class _Pretender:
    """Signs with its own key under the department's key id."""

    def __init__(self, city: City) -> None:
        self._own = signer("pretender")
        self.suite = self._own.suite
        self.public = self._own.public
        self.kid = city.departments["market"].kid
        self.sign = self._own.sign


def expired_key(city: City) -> Asked:
    key = signer("short-lived")
    until = ISSUED_AT - 1
    city.enrol(city.key_content("market", key, [BUSINESS], until=until))
    return Asked(city.issue(by=key).qr(), city.trust())


def key_of_later_types(city: City) -> Asked:
    key = signer("later")
    city.enrol(city.key_content("market", key, [FOOD]))
    return Asked(city.issue(by=key).qr(), city.trust())


def entry_before_its_key(city: City) -> Asked:
    """A proof that places the licence before the enrolment of the key that signed it."""
    key = signer("enrolled afterwards")
    shown = city.issue(by=key)
    city.enrol(city.key_content("market", key, [BUSINESS]))
    return Asked(city.transparent(shown), city.trust())


def leak(when: str, *, transparent: bool = False, **trust: Any) -> Callable[[City], Asked]:
    """A key leaks on the tenth day after `ISSUED_AT`, is reported on the twentieth and replaced.

    A licence signed `before` the leak, `after` it, `forged` in the ledger after the report with a
    date from before, or `unlogged`, the same in no ledger.
    """

    def ask(city: City) -> Asked:
        leaked, told = ISSUED_AT + 10 * DAY, ISSUED_AT + 20 * DAY
        stolen = city.departments["market"]
        before, after = city.issue(), city.issue(issued_at=leaked)
        city.compromise(stolen, since=leaked, told=told)
        city.renew_key("market", "replacement", [BUSINESS, FOOD], at=told)
        forged = city.issue(by=stolen)
        shown = {"before": before, "after": after, "forged": forged, "unlogged": forged}[when]
        if when == "unlogged":
            city.entries.pop()
        code = city.transparent(shown) if transparent else shown.qr()
        return Asked(code, city.trust(**trust))

    return ask


def halted(act: str, when: str, *, transparent: bool = False) -> Callable[[City], Asked]:
    """A key is suspended or retired on the tenth day; or resumed, on the twentieth."""

    def ask(city: City) -> Asked:
        old, tenth, twentieth = city.departments["market"], ISSUED_AT + 10 * DAY, NOW - 10 * DAY
        before = city.issue()
        city.change_key(old, "retire" if act == "retire" else "suspend", tenth)
        during = city.issue(issued_at=tenth + 1)
        if act == "resume":
            city.change_key(old, "resume", twentieth)
        after = city.issue(issued_at=twentieth + 1)
        city.renew_key("market", "replacement", [BUSINESS, FOOD], at=twentieth)
        shown = {"before": before, "during": during, "after": after}[when]
        return Asked(city.transparent(shown) if transparent else shown.qr(), city.trust())

    return ask


def rotated(city: City) -> Asked:
    """In the overlap, the old key's licence counts as the new one's does."""
    old, key = city.departments["market"], signer("rotated")
    content = city.key_content("market", key, [BUSINESS], replaces=old.kid, overlap=NOW)
    city.enrol(content)
    return Asked(city.issue().qr(), city.trust())


def past_overlap(city: City) -> Asked:
    old, key = city.departments["market"], signer("rotated")
    facts = {"from": ISSUED_AT - 9, "replaces": old.kid, "overlap": ISSUED_AT - 1}
    shown = city.issue()
    city.enrol(city.key_content("market", key, [BUSINESS], **facts))
    city.departments["market"] = key
    return Asked(shown.qr(), city.trust())


def revoked_and_expired(city: City) -> Asked:
    shown = city.issue(valid_until=TODAY - 1)
    city.set_state(shown, states.REVOKED)
    return Asked(shown.qr(), city.trust())


def absent_from_the_ledger(city: City) -> Asked:
    return Asked(city.issue().qr(), city.trust(), absent=True)


def proof_beside(city: City) -> Asked:
    shown = city.issue()
    return Asked(shown.qr(), city.trust(), proof=city.proof(shown.index))


def unreadable_status(city: City) -> Asked:
    """The department signed a list that does not inflate."""
    shown = city.issue()
    (token,) = [one for one in city.tokens() if one.issuer.endswith("/market")]
    object.__setattr__(token, "compressed", b"not zlib")
    return Asked(shown.qr(), city.trust(statuses=StatusBook([token])))


def expired_token(city: City) -> Asked:
    """A status that its issuer allows to be used for a week, judged on the eighth day."""
    shown = city.issue()
    later = SYNCED_AT + 8 * 86_400
    trust = city.trust(use_until=later + 9, max_status_age=30 * 86_400)
    return Asked(shown.qr(), trust, later)


def unregistered_state(city: City) -> Asked:
    shown = city.issue()
    city.set_state(shown, 9)
    return Asked(shown.qr(), city.trust())


def unreachable_index(city: City) -> Asked:
    return Asked(city.issue(status=(0, 5000)).qr(), city.trust())


def other_entry(city: City, shown: Licence, proof: TlogProof) -> TlogProof:
    return city.proof(shown.index + 1)


def other_log(city: City, shown: Licence, proof: TlogProof) -> TlogProof:
    other = City()
    other.log = type(other.log)(city.origin, signer("another log"))
    other.entries = city.entries
    return other.proof(shown.index)


def _content(**changes: Any) -> Content:
    return City().issue(**changes).content


FACE_ONCE = make_disclosure("face", FACE, seeded("one", 16))
FACE_TWICE = make_disclosure("again", {"name": "another"}, seeded("two", 16))
FAULTY = make_disclosure("", FACE, seeded("three", 16))
QUESTION = Content(kinds.QUESTION, rule_set="2026-04", digests=[bytes(32)])
CREDIT = Content(
    kinds.CREDIT, BUSINESS, valid_from=TODAY, rule_set="2026-04", digests=[bytes(32)],
    facts={"org": True},
)  # fmt: skip

CASES = [
    # --- green
    licence(GREEN, "valid", "a licence in force"),
    licence(GREEN, "valid", "without an end", valid_until=None),
    licence(GREEN, "valid", "on its first day", valid_from=TODAY),
    licence(GREEN, "valid", "on its last day", valid_until=TODAY),
    licence(GREEN, "valid", "signed under P-256", slug="health", type_code=HOSPITAL),
    licence(GREEN, "valid", "a clock a little behind", issued_at=NOW + CLOCK_SKEW),
    licence(GREEN, "valid", "a status of just the allowed age", now=SYNCED_AT + MAX_STATUS_AGE,
            trust={"use_until": SYNCED_AT + MAX_STATUS_AGE}),
    licence(GREEN, "valid", "a pack in its last second", now=USE_UNTIL),
    *(
        Case(f"leak: {when}{', with proof' * proven}", leak(when, transparent=proven), *verdict)
        for proven in (False, True)
        for when, verdict in {
            "before": (GREEN, "valid"),
            "after": (RED, "key-compromised", SCOPE),
            "forged": (RED, "key-compromised", SCOPE),
        }.items()
    ),
    Case("leak: in no ledger", leak("unlogged"), RED, "key-compromised", SCOPE),
    Case("leak: nothing lists what came before", leak("before", signed_lists={}), RED,
         "key-compromised", SCOPE),
    Case("leak: a proof needs no list", leak("before", transparent=True, signed_lists={}), GREEN,
         "valid"),
    *(
        Case(f"{act}: {when}{', with proof' * proven}", halted(act, when, transparent=proven),
             *verdict)
        for proven in (False, True)
        for act, when, verdict in [
            ("suspend", "before", (GREEN, "valid")),
            ("suspend", "during", (RED, "key-suspended", SCOPE)),
            ("suspend", "after", (RED, "key-suspended", SCOPE)),
            ("resume", "before", (GREEN, "valid")),
            ("resume", "during", (RED, "key-suspended", SCOPE)),
            ("resume", "after", (GREEN, "valid")),
            ("retire", "before", (GREEN, "valid")),
            ("retire", "during", (RED, "key-retired", SCOPE)),
            ("retire", "after", (RED, "key-retired", SCOPE)),
        ]
    ),
    Case("the old key in the overlap", rotated, GREEN, "valid"),
    Case("the old key past the overlap", past_overlap, RED, "key-out-of-date", SCOPE),
    Case("with its proof", with_proof(), GREEN, "valid"),
    Case("with just enough witnesses", with_proof(witnesses=2), GREEN, "valid"),
    Case("with a proof beside it", proof_beside, GREEN, "valid"),
    # --- amber: genuine, not known to be in force
    Case("index past the list", unreachable_index, AMBER, "status-unknown"),
    Case("state of no meaning", unregistered_state, AMBER, "status-unknown"),
    licence(AMBER, "status-unknown", "no status list", trust={"statuses": StatusBook()}),
    licence(AMBER, "status-stale", "status a second too old", FRESHNESS,
            now=SYNCED_AT + MAX_STATUS_AGE + 1, trust={"use_until": NOW + 10**9}),
    Case("status past its own end", expired_token, AMBER, "status-stale", FRESHNESS),
    licence(AMBER, "trust-expired", "pack a second too old", FRESHNESS, now=USE_UNTIL + 1),
    licence(AMBER, "status-from-future", "this machine's clock is behind", FRESHNESS,
            now=SYNCED_AT - CLOCK_SKEW - 1),
    Case("a bare statement", lambda city: Asked(city.issue().statement, city.trust()), AMBER,
         "no-disclosure"),
    Case("a code that shows nothing", lambda city: Asked(city.issue().qr(show=0), city.trust()),
         AMBER, "no-disclosure"),
    Case("a question", signed(QUESTION, "operator"), AMBER, "not-a-licence"),
    Case("a credit entry", signed(CREDIT, "market"), AMBER, "not-a-licence"),
    # --- red: form
    Case("nothing", lambda city: Asked("", city.trust()), RED, "qr-not-ours", FORM),
    Case("another's code", lambda city: Asked("HC1:6BF", city.trust()), RED, "qr-not-ours", FORM),
    Case("cut short", text_changed(lambda text: text[:-30]), RED, "qr-truncated", FORM),
    Case("doubled", text_changed(lambda text: text * 2), RED, "qr-doubled", FORM),
    Case("too long", text_changed(lambda text: text + "0" * 9000), RED, "too-large", FORM),
    Case("a small letter", text_changed(lambda text: text[:9] + "a" + text[10:]), RED,
         "base45-malformed", FORM),
    Case("another profile", lambda city: Asked(PREFIX + base45_encode(b"\x83\x03\x40\x80"),
         city.trust()), RED, "qr-unknown-profile", FORM),
    Case("other members", lambda city: Asked(PREFIX + base45_encode(b"\x80"), city.trust()), RED,
         "qr-malformed", FORM),
    # --- red: whose it is
    Case("another city", of_another_city, RED, "statement-foreign", CITY),
    Case("a key nobody enrolled", key_of_nobody, RED, "key-not-enrolled", KEY),
    Case("another department's key", forged_issuer, RED, "key-of-another", KEY),
    Case("a forged signature", statement_of_another_key_id, RED, "statement-bad-signature",
         SIGNATURE),
    licence(RED, "key-out-of-scope", "a type outside the key's scope", SCOPE, type_code=HOSPITAL),
    Case("another key's type", key_of_later_types, RED, "key-out-of-scope", SCOPE),
    Case("a licence by the operator", signed(_content(), "operator"), RED, "key-out-of-scope",
         SCOPE),
    Case("a question by a department", signed(QUESTION, "market"), RED, "key-out-of-scope", SCOPE),
    Case("a key past its end", expired_key, RED, "key-out-of-date", SCOPE),
    licence(RED, "key-out-of-date", "before the key's beginning", SCOPE,
            issued_at=NOW - 366 * 86_400),
    # --- red: what it shows
    Case("a disclosure of another licence", lambda city: Asked(
        format_qr(city.issue().statement, city.issue().disclosures[:1]), city.trust()), RED,
        "disclosure-not-signed", CONTENT),
    Case("a disclosure twice", disclosing(FACE_ONCE, FACE_ONCE), RED, "disclosure-repeated",
         CONTENT),
    Case("a field twice", disclosing(FACE_ONCE, FACE_TWICE), RED, "disclosure-repeated", CONTENT),
    Case("a signed but malformed disclosure", disclosing(FAULTY), RED, "disclosure-malformed",
         CONTENT),
    # --- red: dates
    licence(RED, "issued-in-future", "a second too far in the future", VALIDITY,
            issued_at=NOW + CLOCK_SKEW + 1),
    licence(RED, "expired", "the day after its last", VALIDITY, valid_until=TODAY - 1),
    licence(RED, "not-yet-valid", "the day before its first", VALIDITY, valid_from=TODAY + 1),
    # --- red: the ledger
    Case("asked and not there", absent_from_the_ledger, RED, "not-in-ledger", LEDGER),
    Case("the proof of another entry", with_proof(other=other_entry), RED, "merkle-root-mismatch",
         LEDGER),
    Case("a checkpoint of another log", with_proof(other=other_log), RED, "note-unsigned", LEDGER),
    Case("in the ledger before its key", entry_before_its_key, RED, "key-not-yet-enrolled", SCOPE),
    Case("too few witnesses", with_proof(witnesses=1), RED, "policy-quorum-not-met", WITNESSES),
    Case("no witnesses", with_proof(witnesses=0), RED, "policy-quorum-not-met", WITNESSES),
    # --- red: status
    *(
        Case(state.name, in_state(number), RED, f"status-{state.name}", STATUS)
        for number, state in states.STATES.items()
        if number != states.VALID
    ),
    Case("revoked and expired", revoked_and_expired, RED, "status-revoked", STATUS),
    Case("an unreadable status list", unreadable_status, RED, "status-malformed", STATUS),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "-") for case in CASES])
def test_verdict(case: Case) -> None:
    verdict = case.ask(City()).verdict()
    assert (verdict.colour, verdict.code) == (case.colour, case.code)
    assert [check.number for check in verdict.checks] == list(CHECKS)
    outcomes = {check.number: check.outcome for check in verdict.checks}
    failed = [number for number, outcome in outcomes.items() if outcome is Outcome.FAILED]
    if case.failed is not None:
        assert case.failed in failed
        assert {check.code for check in verdict.checks if check.number == case.failed} == {
            case.code
        }
    if case.colour is GREEN:
        assert failed == []
        required = set(CHECKS) - {LEDGER, WITNESSES}
        assert all(outcomes[number] is Outcome.PASSED for number in required)
    if case.colour is RED:
        assert failed[-1] == case.failed
    assert (verdict.zh, verdict.en) == SENTENCES[case.code]
    shown = verdict.to_json()
    assert shown["colour"] == case.colour.value
    assert len(shown["checks"]) == len(CHECKS)


# --- witnesses: the policy is the one in force at the checkpoint's size ------------------------


def without_policy(city: City) -> Asked:
    """It began to ask for witnesses after this proof was made."""
    city = City(quorum=None)
    text = city.transparent(city.issue(), witnesses=0)
    city.set_witnesses(city.policy_text(2), issued_at=ISSUED_AT + 1)
    return Asked(text, city.trust())


def overridden(city: City) -> Asked:
    """The proof was made while an override stood; today three witnesses are asked for."""
    city.set_witnesses("quorum none\n", override="机房断电", issued_at=ISSUED_AT + 1)
    text = city.transparent(city.issue(), witnesses=0)
    city.set_witnesses(city.policy_text(3), issued_at=ISSUED_AT + 2)
    return Asked(text, city.trust())


def sign_long(city: City, quorum: int, *numbers: int) -> Licence:
    """These witnesses cosign with ML-DSA-44 from now on; a licence issued after that."""
    for number in numbers:
        name = city.witnesses[number].name
        city.witnesses[number] = NoteSigner(name, signer(name, "ml-dsa-44"), MLDSA44)
    city.set_witnesses(city.policy_text(quorum), issued_at=ISSUED_AT + 1)
    return city.issue()


def long_signatures(city: City) -> Asked:
    """A QR code keeps the cosignature of one of the two that are asked for."""
    shown = sign_long(city, 2, 1, 2)
    return Asked(city.transparent(shown, witnesses=2), city.trust())


def awaited(city: City) -> Asked:
    """The service found the proof, and asks the witnesses at this moment."""
    shown = city.issue()
    proof = city.proof(shown.index, witnesses=1)
    return Asked(shown.qr(), city.trust(), proof=proof, pending=True)


def receipted(city: City) -> Asked:
    """With a COSE receipt beside the code, which has no room for cosignatures."""
    shown = city.issue()
    return Asked(shown.qr(), city.trust(), receipt=city.receipt(shown.index))


UNCHECKED = (without_policy, overridden, long_signatures, awaited, receipted)


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (without_policy, "no-policy"),
        (awaited, "witnesses-pending"),
        (overridden, "witnesses-overridden"),
        (long_signatures, "witnesses-not-shown"),
        (receipted, "receipt-shows-none"),
    ],
)
def test_witnesses_that_were_not_checked(ask: Callable[[City], Asked], code: str) -> None:
    verdict = ask(City()).verdict()
    witnesses = verdict.checks[WITNESSES - 1]
    assert (witnesses.outcome, witnesses.code) == (Outcome.UNCHECKED, code)
    assert verdict.checks[LEDGER - 1].outcome is Outcome.PASSED
    assert verdict.colour is GREEN


def test_a_proof_beside_the_code_shows_every_signature() -> None:
    """The text form leaves none out, so there too few are too few."""
    city = City()
    shown = sign_long(city, 2, 1, 2)
    for witnesses, colour in ((1, RED), (2, GREEN)):
        proof = city.proof(shown.index, witnesses=witnesses)
        verdict = judge(shown.qr(), city.trust(), NOW, proof=proof)
        assert verdict.colour is colour
    assert verdict.checks[WITNESSES - 1].detail == "audit, archive"


def test_what_a_code_shows_is_never_pending() -> None:
    """Its proof is judged as it stands; only the service's own may be incomplete."""
    city = City()
    text = city.transparent(city.issue(), witnesses=1)
    assert judge(text, city.trust(), NOW, pending=True).code == "policy-quorum-not-met"


def test_a_code_leaves_out_long_signatures_only() -> None:
    """Whose signature would have fitted did not sign."""
    city = City()
    shown = sign_long(city, 3, 2)
    for witnesses, code in ((1, "policy-quorum-not-met"), (2, "witnesses-not-shown")):
        verdict = judge(city.transparent(shown, witnesses=witnesses), city.trust(), NOW)
        assert verdict.checks[WITNESSES - 1].code == code


def test_an_old_proof_is_judged_by_the_policy_of_its_day() -> None:
    city = City()
    shown = city.issue()
    text = city.transparent(shown, witnesses=2)
    city.set_witnesses(city.policy_text(3), issued_at=ISSUED_AT + 1)
    assert judge(text, city.trust(), NOW).colour is GREEN
    newer = city.transparent(shown, witnesses=2)
    assert judge(newer, city.trust(), NOW).code == "policy-quorum-not-met"


def test_every_sentence_of_the_judge_has_a_scenario() -> None:
    """All of them occur, as a verdict or as the reason of a check; the rest are refusals'."""
    asked = [case.ask(City()) for case in CASES]
    asked += [ask(City()) for ask in UNCHECKED]
    reached: set[str] = set()
    for verdict in (one.verdict() for one in asked):
        reached |= {verdict.code, *(check.code for check in verdict.checks)}
    assert set(SENTENCES) - set(Refused.WORDS) - reached == {"status-valid"}


# --- nothing altered is green ------------------------------------------------------------------


@pytest.mark.parametrize("show", [1, 2])
def test_no_changed_byte_of_a_compact_code_is_green(show: int) -> None:
    city = City()
    text, trust = city.issue().qr(show=show), city.trust()
    data = base45_decode(text[len(PREFIX) :], max_bytes=5000)
    for at in range(len(data)):
        for flip in (0x01, 0x80):
            changed = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
            verdict = judge(PREFIX + base45_encode(changed), trust, NOW)
            assert verdict.colour is RED, f"byte {at}, bit {flip:#04x}: {verdict.code}"


def test_no_changed_byte_of_a_transparent_code_is_green_with_every_check_passed() -> None:
    """A cosignature that became a stranger's is ignored, so all three witnesses are asked for."""
    city = City(quorum=3)
    shown = city.issue()
    text, trust = city.transparent(shown), city.trust()
    data = base45_decode(text[len(PREFIX) :], max_bytes=5000)
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        verdict = judge(PREFIX + base45_encode(changed), trust, NOW)
        assert verdict.colour is RED, f"byte {at}: {verdict.code}"


def test_no_cut_code_is_green() -> None:
    city = City()
    text, trust = city.transparent(city.issue()), city.trust()
    for size in range(0, len(text), 3):
        assert judge(text[:size], trust, NOW).colour is RED


# --- what a verdict says -----------------------------------------------------------------------


def test_the_licence_is_described_in_the_order_of_its_type() -> None:
    city = City()
    shown = city.issue()
    verdict = judge(shown.qr(show=2), city.trust(), NOW)
    subject = verdict.subject
    assert subject is not None
    assert (subject.type_zh, subject.type_en) == ("营业执照", "Business licence")
    assert (subject.issuer_zh, subject.issuer_en) == ("市场监督管理局", "Market Supervision")
    assert [field.code for field in subject.fields] == [
        "name", "uscc", "representative", "kind", "address", "capital", "founded", "scope",
    ]  # fmt: skip
    assert subject.fields[0] == ("name", "名称", "Name", FACE["name"])
    assert (subject.valid_from, subject.valid_until) == ("2026-12-16", "2032-01-14")
    assert subject.undisclosed == 0


def test_unknown_types_and_fields_go_by_their_codes() -> None:
    city = City()
    trust = city.trust(types={})
    subject = judge(city.issue().qr(), trust, NOW).subject
    assert subject is not None
    assert (subject.type_zh, subject.type_en) == (BUSINESS, BUSINESS)
    assert {(field.code, field.zh, field.en) for field in subject.fields} == {
        (code, code, code) for code in FACE
    }
    assert subject.undisclosed == 1


def test_the_place_in_the_ledger_and_the_status() -> None:
    city = City()
    shown = city.issue()
    city.set_state(shown, states.SUSPENDED)
    verdict = judge(city.transparent(shown), city.trust(), NOW)
    record = verdict.record
    assert record is not None
    assert (record.index, record.size) == (shown.index, len(city.entries))
    assert list(record.witnesses) == ["audit", "archive", "court"]
    assert (verdict.status, verdict.status_as_of) == (states.SUSPENDED, SYNCED_AT)
    assert verdict.to_json()["status"] == {
        "state": states.SUSPENDED, "as_of": SYNCED_AT, "age_seconds": 3600,
    }  # fmt: skip


def test_what_is_not_signed_is_not_described() -> None:
    city = City()
    for ask in (statement_of_another_key_id, key_of_nobody, of_another_city):
        verdict = ask(city).verdict()
        assert verdict.subject is None
        assert verdict.to_json()["licence"] is None


def test_checks_after_the_failed_one_are_not_made() -> None:
    verdict = key_of_nobody(City()).verdict()
    assert [check.code for check in verdict.checks][KEY:] == ["not-reached"] * 8
    assert [check.outcome for check in verdict.checks][:2] == [Outcome.PASSED] * 2


class Live:
    """A source of states that knows one answer."""

    def __init__(self, answer: StatusAnswer | None) -> None:
        self.answer = answer

    def lookup(self, issuer: str, list_number: int, index: int) -> StatusAnswer | None:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (StatusAnswer(0, NOW), "valid"),
        (StatusAnswer(14, NOW), "status-revoked"),
        (StatusAnswer(0, NOW, NOW), "valid"),
        (StatusAnswer(0, NOW, NOW - 1), "status-stale"),
        (StatusAnswer(0, NOW, 0), "status-stale"),
        (None, "status-unknown"),
    ],
)
def test_a_live_source_replaces_the_packs(answer: StatusAnswer | None, code: str) -> None:
    city = City()
    shown = city.issue()
    city.set_state(shown, states.LAPSED)
    trust = city.trust().with_statuses(Live(answer))
    assert judge(shown.qr(), trust, NOW).code == code


def test_days_are_those_of_china() -> None:
    """The last day ends at 16:00 UTC."""
    city = City()
    shown = city.issue(valid_until=TODAY)
    midnight = (TODAY + 1) * 86_400 - 8 * 3600
    trust = city.trust(use_until=midnight + 9)
    assert judge(shown.qr(), trust, midnight - 1).code == "valid"
    assert judge(shown.qr(), trust, midnight).code == "expired"


def test_a_trust_needs_a_genesis() -> None:
    with pytest.raises(ValueError, match="genesis"):
        _ = Trust(Authorities(), {}).log_key
