"""The rules about keys and officers, slow and obvious: a plain list of all that took effect.

Every question is answered by walking the list from its start; nothing is kept besides it. Keys and
officers go by names here, signatures by whether they are good. Where several rules of one step of
the order in `verifier.authorities` are broken, `wrong` gives all their codes.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from verifier import kinds

OPERATOR_ONLY = {*range(1, 11), 48}


class Event(NamedTuple):
    """One statement of authority. `fault` tells what else is wrong with it, `forged` which of its
    signatures; a genesis has neither proposer nor approver."""

    index: int
    at: int
    kind: int
    facts: Mapping[str, Any]
    operator: str
    proposer: str = ""
    approver: str = ""
    fault: str | None = None
    forged: str | None = None
    proposed: "Event | None" = None
    """The event whose proposal this one repeats."""


class Twin:
    def __init__(self) -> None:
        self.events: list[Event] = []

    # --- what is there -----------------------------------------------------------------------

    def about(self, kind: int, name: str, value: object) -> Iterator[Event]:
        for event in self.events:
            if event.kind == kind and event.facts.get(name) == value:
                yield event

    def key_events(self, key: str) -> Iterator[Event]:
        """All that made a key what it is, after its enrolment; its department's end too."""
        for event in self.events:
            facts = event.facts
            ends = event.kind == kinds.DEPARTMENT_CHANGED and facts["act"] in ("merge", "close")
            if (
                (event.kind == kinds.KEY_CHANGED and facts["key"] == key)
                or (event.kind == kinds.KEY and facts.get("replaces") == key)
                or (ends and facts["id"] == self.department_of(key))
            ):
                enrolled = self.enrolment(key)
                if enrolled is not None and event.index > enrolled.index:
                    yield event

    def enrolment(self, key: str) -> Event | None:
        for event in self.events:
            if event.kind in (kinds.GENESIS, kinds.KEY) and event.facts["key"] == key:
                return event
        return None

    def department_of(self, key: str) -> str | None:
        event = self.enrolment(key)
        return None if event is None else event.facts.get("dept", "operator")

    def department(self, slug: str) -> Event | None:
        if slug == "operator":
            return self.events[0]
        return next(self.about(kinds.DEPARTMENT, "id", slug), None)

    def department_end(self, slug: str) -> Event | None:
        for event in self.about(kinds.DEPARTMENT_CHANGED, "id", slug):
            if event.facts["act"] in ("merge", "close"):
                return event
        return None

    def acting(self, slug: str) -> str:
        end = self.department_end(slug)
        if end is None or end.facts["act"] == "close":
            return slug
        return self.acting(end.facts["into"])

    def names(self, slug: str, at: int) -> str:
        """The English name at a time."""
        event = self.department(slug)
        assert event is not None
        name = event.facts["en"]
        for change in self.about(kinds.DEPARTMENT_CHANGED, "id", slug):
            if change.facts["act"] == "rename" and change.at <= at:
                name = change.facts["en"]
        return str(name)

    def officer(self, name: str) -> tuple[Event, str] | None:
        """(what brought the officer, the slug it belongs to)."""
        for event in self.events:
            if name in event.facts.get("officers", ()):
                return event, event.facts.get("id", "operator")
            if event.kind == kinds.OFFICER and event.facts["id"] == name:
                return event, event.facts["of"]
        return None

    def left(self, name: str) -> bool:
        return any(self.about(kinds.OFFICER_LEFT, "id", name))

    def in_office(self, of: str) -> list[str]:
        found = []
        for event in self.events:
            new = [*event.facts.get("officers", ())]
            if event.kind == kinds.OFFICER:
                new.append(event.facts["id"])
            for name in new:
                officer = self.officer(name)
                assert officer is not None
                if officer[1] == of and not self.left(name):
                    found.append(name)
        return found

    def all_keys(self) -> list[str]:
        return [e.facts["key"] for e in self.events if e.kind in (kinds.GENESIS, kinds.KEY)]

    # --- what a key may do -------------------------------------------------------------------

    def use(self, key: str, kind: int, type_code: str | None, at: int) -> set[str]:
        """Codes of what the key's scope and dates forbid."""
        enrolled, codes = self.enrolment(key), set()
        assert enrolled is not None
        facts = enrolled.facts
        if (self.department_of(key) == "operator") != (kind in OPERATOR_ONLY):
            codes.add("key-out-of-scope")
        if type_code is not None and type_code not in facts.get("scope", ()):
            codes.add("key-out-of-scope")
        ends = [facts["until"]] if "until" in facts else []
        ends += [e.facts["overlap"] for e in self.about(kinds.KEY, "replaces", key)]
        if at < facts.get("from", 0) or any(at > end for end in ends):
            codes.add("key-out-of-date")
        return codes

    def standing(
        self, key: str, at: int, index: int | None, listed: bool | None
    ) -> tuple[str, set[str]]:
        """The rule that lets an entry count, and the codes of all that forbid it."""
        enrolled, codes, rule = self.enrolment(key), set(), "key-in-force"
        assert enrolled is not None
        if index is not None and index <= enrolled.index:
            return rule, {"key-not-yet-enrolled"}
        suspended, by_now, retired, leaked = False, False, False, False
        for event in self.key_events(key):
            act = event.facts.get("act")
            by_then = event.index <= (index or 0) if index is not None else event.at < at
            if act == "suspend":
                suspended, by_now = suspended or by_then, True
            elif act == "resume":
                resumed = by_then or (index is None and event.at == at)
                suspended, by_now = suspended and not resumed, False
            elif act in ("retire", "merge", "close"):
                retired = True
                if by_then:
                    codes.add("key-retired")
            elif act == "compromise":
                leaked = True
                if at >= event.facts["since"]:
                    codes.add("key-compromised")
                if index is None and listed is not True:
                    codes.add("key-compromised")
                if index is not None and (index >= event.facts["before"] or listed is False):
                    codes.add("key-compromised")
        if suspended:
            codes.add("key-suspended")
        if by_now:
            rule = "key-before-suspension"
        if retired:
            rule = "key-before-retirement"
        if leaked:
            rule = "key-before-compromise"
        return rule, codes

    # --- what may happen next ----------------------------------------------------------------

    def wrong(self, event: Event) -> set[str]:
        """The codes of the first step of the order that the event breaks; none if it may be."""
        steps = (self._order, self._logged, self._decided, self._approved, self._rule)
        for step in (*steps, self._entitled, self._signed):
            codes = step(event)
            if codes:
                return codes
        return set()

    def _order(self, event: Event) -> set[str]:
        last = self.events[-1]
        codes = {"enrolment-malformed"} if event.index <= last.index else set()
        return codes | ({"change-too-late"} if event.at < last.at else set())

    def _logged(self, event: Event) -> set[str]:
        if self.department_of(event.operator) != "operator":
            return {"enrolment-not-by-operator"}
        codes = self.use(event.operator, event.kind, None, event.at)
        return codes or self.standing(event.operator, event.at, event.index, False)[1]

    def _decided(self, event: Event) -> set[str]:
        if event.fault == "foreign":
            return {"change-foreign"}
        codes = {"change-own-approval"} if event.proposer == event.approver else set()
        for name in (event.proposer, event.approver):
            if self.officer(name) is None:
                codes.add("officer-unknown")
            elif self.left(name):
                codes.add("officer-not-in-office")
        return codes

    def _approved(self, event: Event) -> set[str]:
        codes = set()
        if event.proposed is not None:
            codes.add("change-replayed")
            if not event.at <= event.proposed.at + 86_400:
                codes.add("change-too-late")
        if event.fault == "altered":
            codes.add("change-altered")
        if event.fault == "late":
            codes.add("change-too-late")
        return codes

    def _rule(self, event: Event) -> set[str]:
        rules: Mapping[int, Callable[[Event, Mapping[str, Any]], set[str]]] = {
            kinds.DEPARTMENT: self._department,
            kinds.KEY: self._key,
            kinds.KEY_CHANGED: self._key_changed,
            kinds.DEPARTMENT_CHANGED: self._department_changed,
            kinds.OFFICER: self._officer,
            kinds.OFFICER_LEFT: self._officer_left,
            kinds.WITNESSES: self._witnesses,
        }
        return rules[event.kind](event, event.facts)

    def _active(self, slug: str) -> set[str]:
        if self.department(slug) is None:
            return {"enrolment-unknown-department"}
        return {"department-ended"} if self.department_end(slug) else set()

    def _department(self, _event: Event, facts: Mapping[str, Any]) -> set[str]:
        known = self.department(facts["id"]) or any(map(self.officer, facts["officers"]))
        return {"enrolment-repeated"} if known else set()

    def _key(self, event: Event, facts: Mapping[str, Any]) -> set[str]:
        codes = self._active(facts["dept"])
        if self.enrolment(facts["key"]):
            codes.add("enrolment-repeated")
        if facts.get("until", facts["from"]) < facts["from"]:
            codes.add("enrolment-malformed")
        if "replaces" in facts:
            codes |= self._replaces(event, facts)
        return codes

    def _replaces(self, event: Event, facts: Mapping[str, Any]) -> set[str]:
        old = facts["replaces"]
        if self.enrolment(old) is None:
            return {"key-not-enrolled"}
        codes = set()
        if self.department_of(old) != facts["dept"]:
            codes.add("key-of-another")
        if any(self.about(kinds.KEY, "replaces", old)) or self._over(old):
            codes.add("key-change-impossible")
        if facts["overlap"] < max(facts["from"], event.at):
            codes.add("enrolment-malformed")
        return codes

    def _over(self, key: str) -> bool:
        ends = ("retire", "compromise", "merge", "close")
        return any(event.facts.get("act") in ends for event in self.key_events(key))

    def _key_changed(self, event: Event, facts: Mapping[str, Any]) -> set[str]:
        key, act = facts["key"], facts["act"]
        if self.enrolment(key) is None:
            return {"key-not-enrolled"}
        if act == "compromise":
            return self._compromise(event, facts)
        suspended = False
        for earlier in self.key_events(key):
            suspended = {"suspend": True, "resume": False}.get(earlier.facts.get("act"), suspended)
        wrong = self._over(key) or (act, suspended) in (("suspend", True), ("resume", False))
        return {"key-change-impossible"} if wrong else set()

    def _compromise(self, event: Event, facts: Mapping[str, Any]) -> set[str]:
        since, before = facts["since"], facts["before"]
        codes = set()
        if since > event.at or before > event.index or facts["count"] > before:
            codes.add("enrolment-malformed")
        for earlier in self.key_events(facts["key"]):
            if earlier.facts.get("act") != "compromise":
                continue
            later = since > earlier.facts["since"] or before > earlier.facts["before"]
            lists = [(each["count"], each["signed"]) for each in (earlier.facts, facts)]
            other = before == earlier.facts["before"] and lists[0] != lists[1]
            if later or other or lists[1][0] > lists[0][0]:
                codes.add("key-change-impossible")
        return codes

    def _department_changed(self, _event: Event, facts: Mapping[str, Any]) -> set[str]:
        slug, act = facts["id"], facts["act"]
        codes = self._active(slug)
        if act != "rename" and slug == "operator":
            codes.add("enrolment-malformed")
        if act == "merge":
            codes |= self._active(facts["into"])
            if facts["into"] in (slug, "operator"):
                codes.add("enrolment-malformed")
        return codes

    def _officer(self, _event: Event, facts: Mapping[str, Any]) -> set[str]:
        known = {"enrolment-repeated"} if self.officer(facts["id"]) else set()
        return known | self._active(facts["of"])

    def _officer_left(self, _event: Event, facts: Mapping[str, Any]) -> set[str]:
        officer = self.officer(facts["id"])
        if officer is None:
            return {"officer-unknown"}
        if self.left(facts["id"]):
            return {"officer-not-in-office"}
        few = officer[1] == "operator" and len(self.in_office("operator")) <= 2
        return {"officers-too-few"} if few else set()

    def quorum(self, size: int) -> Event | None:
        """The policy in force for a tree of this size; here it asks any `quorum` of three."""
        found = None
        for event in self.events:
            if event.kind == kinds.WITNESSES and event.index < size:
                found = event
        return found

    def _witnesses(self, event: Event, facts: Mapping[str, Any]) -> set[str]:
        asked, standing = facts["quorum"], self.quorum(event.index)
        before = standing.facts["quorum"] if standing else 0
        fewer = asked < before or not asked
        if "override" not in facts:
            return {"witnesses-override-missing"} if fewer else set()
        if standing is None:
            return {"witnesses-override-of-nothing"}
        set_before = [each.facts for each in self.events if each.kind == kinds.WITNESSES]
        usual = [each["quorum"] for each in set_before if "override" not in each]
        return set() if fewer or asked < usual[-1] else {"witnesses-override-needless"}

    def concerns(self, event: Event) -> str:
        """The department whose own officers may decide it, besides the operator's."""
        facts = event.facts
        if event.kind == kinds.KEY:
            return str(facts["dept"])
        if event.kind == kinds.KEY_CHANGED:
            return self.acting(self.department_of(facts["key"]) or "operator")
        if event.kind == kinds.OFFICER:
            return str(facts["of"])
        if event.kind == kinds.OFFICER_LEFT:
            officer = self.officer(facts["id"])
            return "operator" if officer is None else self.acting(officer[1])
        return "operator"

    def _entitled(self, event: Event) -> set[str]:
        concerns, of, codes = self.concerns(event), set(), set()
        for name in (event.proposer, event.approver):
            officer = self.officer(name)
            assert officer is not None
            of.add(officer[1])
        if of - {concerns, "operator"}:
            codes.add("officer-not-entitled")
        gives = event.kind == kinds.KEY or event.facts.get("act") == "resume"
        if gives and concerns not in of:
            codes.add("change-needs-own-officer")
        return codes

    def _signed(self, event: Event) -> set[str]:
        code = {
            "operator": "statement-bad-signature",
            "proposer": "change-bad-signature",
            "approver": "change-bad-signature",
            "possession": "enrolment-no-possession",
        }
        return {code[event.forged]} if event.forged else set()

    # --- what a key rests on -----------------------------------------------------------------

    def rests_on(self, key: str) -> set[int]:
        """The indices of all statements that a key of today rests on, however remotely."""
        found: set[int] = set()
        enrolled, slug = self.enrolment(key), self.department_of(key)
        assert enrolled is not None
        assert slug is not None
        own = [enrolled, *self.key_events(key)]
        for event in [*own, *self._department_events(slug)]:
            self._follow(event, found)
        return found

    def _department_events(self, slug: str) -> Iterator[Event]:
        """Of a department and of those it was merged into."""
        event = self.department(slug)
        assert event is not None
        yield event
        yield from self.about(kinds.DEPARTMENT_CHANGED, "id", slug)
        end = self.department_end(slug)
        if end is not None and end.facts["act"] == "merge":
            yield from self._department_events(end.facts["into"])

    def _follow(self, event: Event, found: set[int]) -> None:
        if event.index in found:
            return
        found.add(event.index)
        if event.kind == kinds.GENESIS:
            return
        past = Twin()
        past.events = [each for each in self.events if each.index < event.index]
        enrolled = past.enrolment(event.operator)
        assert enrolled is not None
        rests = [enrolled, *past.key_events(event.operator)]
        if event.kind in (kinds.KEY, kinds.OFFICER):
            slug = event.facts.get("dept", event.facts.get("of"))
            rests += past._department_events(slug)
        for name in (event.proposer, event.approver):
            officer = past.officer(name)
            assert officer is not None
            rests.append(officer[0])
        for each in rests:
            past._follow(each, found)
