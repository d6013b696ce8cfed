"""Random lives of keys as real signed statements, and as events for the twin."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from hypothesis import strategies as st

from keys.names import cose_key_bytes
from keys.signer import Signer
from tests import city
from tests.decided import DAY, officer_facts, possession
from tests.verifier.twin_keys import Event, Twin
from verifier import kinds
from verifier.change import change_content, parse_proposal, sign_approval, sign_proposal
from verifier.note import NoteSigner
from verifier.statement import Content, Statement, parse_statement, sign_statement

ORIGIN = "lives.zhenglian.example"
START = 1_800_000_000
TYPES = ("T", "U")
SLUGS = ("a", "b", "c")
OFFICERS: Mapping[str, Sequence[str]] = {
    "operator": ("first", "second", "third", "fourth"),
    **{slug: (f"{slug}-1", f"{slug}-2") for slug in SLUGS},
}
KEYS = ("k1", "k2", "k3", "k4", "k5", "k6")
OPERATOR_KEYS = ("op1", "op2", "op3")
_A_YEAR: Final = 31_536_000
GENESIS = Event(
    0,
    START,
    kinds.GENESIS,
    {"key": "op1", "officers": ("first", "second"), "en": "Lives"},
    "op1",
)


def beginning() -> list[Event]:
    """A ledger with two departments and a second key of its operator."""

    def event(index: int, kind: int, facts: Mapping[str, Any]) -> Event:
        return Event(index, START, kind, facts, "op1", "first", "second")

    key = {"dept": "operator", "key": "op2", "scope": (), "from": START - _A_YEAR}
    departments = [
        {"id": slug, "en": f"{slug} of old", "officers": (f"{slug}-1",)} for slug in ("a", "b")
    ]
    return [
        GENESIS,
        event(1, kinds.KEY, key),
        event(2, kinds.DEPARTMENT, departments[0]),
        event(3, kinds.DEPARTMENT, departments[1]),
    ]


class Pretender:
    """Signs under another's key id."""

    def __init__(self, name: str) -> None:
        true, own = signer(name), signer(f"pretending {name}")
        self.suite, self.public, self.kid, self.sign = true.suite, true.public, true.kid, own.sign


@cache
def signer(name: str) -> Signer:
    return city.signer(f"life {name}")


def by(name: str, event: Event, slot: str) -> Signer:
    return Pretender(name) if event.forged == slot else signer(name)


def statement_of(event: Event) -> Statement:
    """The event as the operator would log it."""
    if event.kind == kinds.GENESIS:
        content = Content(kinds.GENESIS, facts=_genesis_facts(event))
    else:
        content = _change(event)
    raw = sign_statement(
        content,
        issuer=f"{ORIGIN}/operator",
        subject="A" * 22,
        issued_at=event.at,
        signer=by(event.operator, event, "operator"),
    )
    return parse_statement(raw)


def _change(event: Event) -> Content:
    source = event.proposed or event
    proposal = _proposal(source, event.fault)
    approved = proposal
    if event.fault == "altered":
        approved = _proposal(source._replace(at=source.at - 1), None)
    approval = sign_approval(
        parse_proposal(approved), at=source.at - 60, signer=by(source.approver, event, "approver")
    )
    return change_content(proposal, approval)


def _proposal(event: Event, fault: str | None) -> bytes:
    return sign_proposal(
        event.kind,
        facts_of(event),
        origin="other.example" if fault == "foreign" else ORIGIN,
        at=event.at - DAY,
        before=event.at - 1 if fault == "late" else event.at + DAY,
        nonce=city.seeded(f"nonce {event.index}", 16),
        signer=by(event.proposer, event, "proposer"),
    )


def facts_of(event: Event) -> dict[str, Any]:
    """The facts as the statement has them: names become keys, and are proven."""
    facts = dict(event.facts)
    forged = event.forged == "possession"
    if event.kind == kinds.DEPARTMENT:
        facts |= {"zh": "局", "uscc": "11330000MB0EXMPL0X"}
        facts["officers"] = _officers(facts["officers"], forged)
    elif event.kind == kinds.OFFICER:
        ((_, key, proof),) = _officers([facts["id"]], forged)
        facts |= {"key": key, "pop": proof}
    elif event.kind == kinds.KEY:
        key, proof = _possession(facts["dept"], facts["key"], forged)
        facts |= {"key": key, "pop": proof, "scope": list(facts["scope"])}
        if "replaces" in facts:
            facts["replaces"] = signer(facts["replaces"]).kid
    elif event.kind == kinds.KEY_CHANGED:
        facts["key"] = signer(facts["key"]).kid
    elif event.kind == kinds.WITNESSES:
        facts["policy"] = policy_text(facts.pop("quorum"))
    elif facts.get("act") == "rename":
        facts["zh"] = "新名"
    return facts


def policy_text(quorum: int) -> str:
    """Any `quorum` of three witnesses; nobody if it is 0."""
    names = ("x", "y", "z")
    keys = {
        name: NoteSigner(f"{name}.example", signer(f"witness {name}"), 0x04).key for name in names
    }
    lines = [f"witness {name} {keys[name].text()} https://{name}.example\n" for name in names]
    least = f"group g {quorum} x y z\nquorum g\n" if quorum else "quorum none\n"
    return "".join([*lines, least])


def _officers(names: Sequence[str], forged: bool) -> Sequence[list[Any]]:
    officers = {name: signer(name) for name in names}
    if not forged:
        return officer_facts(ORIGIN, officers)
    return [[name, *_possession(f"officer/{name}", name, True)] for name in names]


def _possession(of: str, name: str, forged: bool) -> tuple[bytes, bytes]:
    return possession(ORIGIN, of, Pretender(name) if forged else signer(name))


def _genesis_facts(event: Event) -> dict[str, Any]:
    operator = signer(event.facts["key"])
    return {
        "origin": ORIGIN,
        "log": NoteSigner(ORIGIN, signer("log")).key.text(),
        "key": cose_key_bytes(operator.suite, operator.public),
        "name_zh": "城",
        "name_en": event.facts["en"],
        "officers": _officers(event.facts["officers"], event.forged == "possession"),
    }


class Drawer:
    """Draws the next event of a life: mostly lawful, wrong in any way now and then."""

    def __init__(self, draw: st.DrawFn, twin: Twin) -> None:
        self._draw, self._twin = draw, twin

    def pick(self, values: Sequence[Any]) -> Any:
        return self._draw(st.sampled_from(values))

    def rarely(self, times: int = 12) -> bool:
        return self._draw(st.integers(0, times)) == times

    def event(self, *, wrong: bool = True) -> Event:
        twin = self._twin
        last = twin.events[-1]
        index = last.index + self.pick((1, 1, 2, 7))
        at = last.at + self.pick((0, 1, 60, 5_000))
        if wrong and self.rarely(30):
            index, at = self.pick(((last.index, at), (index, last.at - 1)))
        if wrong and len(twin.events) > 1 and self.rarely(20):
            old = self.pick(twin.events[1:])
            return old._replace(
                index=index, at=at, operator=self._operator(), proposed=old.proposed or old
            )
        names = ("department", "key", "key", "key", "key_act", "key_act", "key_act", "change")
        name = self.pick((*names, "officer", "officer_left", "witnesses"))
        kind, facts = getattr(self, f"_{name}")(index, at)
        event = Event(index, at, kind, facts, self._operator())
        proposer, approver = self._deciders(event)
        fault = self.pick(("foreign", "altered", "late")) if wrong and self.rarely(15) else None
        return event._replace(proposer=proposer, approver=approver, fault=fault)

    def forged(self, event: Event) -> Event:
        """The event with one signature that is not its signer's."""
        brings = event.kind in (kinds.DEPARTMENT, kinds.KEY, kinds.OFFICER)
        slots = ("operator", "proposer", "approver", "possession")
        return event._replace(forged=self.pick(slots if brings else slots[:3]))

    def _operators(self) -> list[str]:
        """The operator's keys that count now."""
        twin, last = self._twin, self._twin.events[-1]
        return [
            key
            for key in twin.all_keys()
            if twin.department_of(key) == "operator"
            and not twin.use(key, kinds.QUESTION, None, last.at)
            and not twin.standing(key, last.at, last.index + 1, False)[1]
        ]

    def _operator(self) -> str:
        known = [key for key in self._twin.all_keys() if key in OPERATOR_KEYS]
        if self.rarely(30):
            return str(self.pick((*KEYS, *OPERATOR_KEYS)))
        return str(self.pick(self._operators() or known))

    def _deciders(self, event: Event) -> tuple[str, str]:
        everyone = [name for names in OFFICERS.values() for name in names]
        if self.rarely(8):
            return self.pick(everyone), self.pick(everyone)
        if self.rarely(10):  # of any departments, all in office
            everyone = [name for of in OFFICERS for name in self._twin.in_office(of)]
            return self.pick(everyone), self.pick(everyone)
        operators = self._twin.in_office("operator")
        own = self._twin.in_office(self._twin.concerns(event)) or operators
        proposer = self.pick(own)
        others = [name for name in (*operators, *own) if name != proposer]
        pair = proposer, self.pick(others)
        return pair if self._draw(st.booleans()) else (pair[1], pair[0])

    def _slug(self) -> str:
        known = [slug for slug in SLUGS if self._twin.department(slug)]
        return str(self.pick(SLUGS if self.rarely() else known))

    def _known_key(self) -> str:
        """Seldom the operator's last one: little can happen after it."""
        if self.rarely():
            return str(self.pick((*KEYS, *OPERATOR_KEYS)))
        known = self._twin.all_keys()
        own = [key for key in known if key not in OPERATOR_KEYS]
        spare = len(self._operators()) > 1 and self.rarely(2)
        return str(self.pick(known if spare or not own or self.rarely(40) else own))

    def _department(self, index: int, at: int) -> tuple[int, dict[str, Any]]:
        new = [slug for slug in SLUGS if not self._twin.department(slug)]
        slug = self.pick(SLUGS if self.rarely(4) else new or SLUGS)
        return kinds.DEPARTMENT, {"id": slug, "en": f"{slug} of old", "officers": (f"{slug}-1",)}

    def _key(self, index: int, at: int) -> tuple[int, dict[str, Any]]:
        slug = "operator" if self.rarely(3) else self._slug()
        pool = OPERATOR_KEYS if slug == "operator" else KEYS
        unused = [key for key in pool if self._twin.enrolment(key) is None] or pool
        begin = at + self.pick((-10_000, -10_000, 0, 3))
        scope = () if slug == "operator" else self.pick((("T",), ("T", "U"), ("U",)))
        facts: dict[str, Any] = {"dept": slug, "scope": scope, "from": begin}
        facts["key"] = self.pick(pool) if self.rarely() else self.pick(unused)
        if self.rarely(3):
            facts["until"] = begin + self.pick((20_000, 10_500, -1))
        old = [key for key in self._twin.all_keys() if self._twin.department_of(key) == slug]
        if old and self.pick((True, False)):
            facts["replaces"] = self._known_key() if self.rarely() else self.pick(old)
            facts["overlap"] = max(begin, at) + self.pick((0, 2, 600, 600, 600, -1))
        return kinds.KEY, facts

    def _key_act(self, index: int, at: int) -> tuple[int, dict[str, Any]]:
        key, told = self._known_key(), {"suspend": "resume", "resume": "suspend"}
        acts = [event.facts.get("act") for event in self._twin.key_events(key)]
        usual = told.get(acts[-1] if acts else "resume", "resume")
        act = self.pick((usual, usual, usual, "suspend", "retire", "compromise", "compromise"))
        facts: dict[str, Any] = {"key": key, "act": act}
        if facts["act"] == "compromise":
            before = index - self.pick((0, 0, 1, 4, -1))
            facts["since"] = at - self.pick((0, 30, 6_000, -1))
            facts["before"] = max(0, before)
            told = [e.facts for e in self._twin.key_events(key) if "before" in e.facts]
            if told and self.pick((True, False)):  # about where it was told before
                facts["since"] = told[-1]["since"] - self.pick((0, 1, -1))
                facts["before"] = max(0, told[-1]["before"] - self.pick((0, 1, -1)))
            facts["count"] = self.pick((0, 0, 0, 1, facts["before"] + 1))
            facts["signed"] = self.pick((0, 0, 0, 1)).to_bytes(32, "big")
        return kinds.KEY_CHANGED, facts

    def _change(self, index: int, at: int) -> tuple[int, dict[str, Any]]:
        slug = "operator" if self.rarely() else self._slug()
        act = self.pick(("rename", "rename", "merge", "merge", "close"))
        facts: dict[str, Any] = {"id": slug, "act": act}
        if act == "rename":
            facts["en"] = f"renamed at {index}"
        if act == "merge":
            others = [other for other in SLUGS if self._twin.department(other) and other != slug]
            facts["into"] = self.pick((*SLUGS, "operator") if self.rarely(4) else others or SLUGS)
        return kinds.DEPARTMENT_CHANGED, facts

    def _officer(self, index: int, at: int) -> tuple[int, dict[str, Any]]:
        of = self.pick(SLUGS) if self.rarely(4) else "operator"
        return kinds.OFFICER, {"of": of, "id": self.pick(OFFICERS[of])}

    def _officer_left(self, index: int, at: int) -> tuple[int, dict[str, Any]]:
        return kinds.OFFICER_LEFT, {"id": self.pick(OFFICERS[self.pick(("operator", *SLUGS))])}

    def _witnesses(self, index: int, at: int) -> tuple[int, dict[str, Any]]:
        facts: dict[str, Any] = {"quorum": self.pick((0, 1, 2, 3))}
        if self.rarely(2):
            facts["override"] = "例外"
        return kinds.WITNESSES, facts
