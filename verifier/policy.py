"""Which logs and how many witnesses make a checkpoint count (C2SP tlog-policy).

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<k> <name> …
    quorum <name>|none

Names are defined before they are used and belong to one group at most, so no witness counts
twice. Everything fails closed: what is not understood is refused, what is not signed is missing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from verifier.checkpoint import parse_checkpoint
from verifier.codec import parse_decimal
from verifier.errors import Refused
from verifier.note import TYPES, Note, VerifierKey, parse_vkey, verify_signatures

MAX_POLICY = 256 << 10
MAX_DEFINITIONS = 48
NONE = "none"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BLANKS = re.compile(r"[ \t]+")


class Party(NamedTuple):
    """A log or a witness: its key, and where to reach it ("" if the policy does not say)."""

    key: VerifierKey
    url: str

    @property
    def address(self) -> str:
        """The URL, so that two spellings of one compare alike."""
        return self.url.rstrip("/").lower()


class Group(NamedTuple):
    """Counts as witnessing when at least `threshold` of its members do."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy. `groups` are in order of definition: members come before their group."""

    logs: tuple[Party, ...]
    witnesses: Mapping[str, Party]
    groups: Mapping[str, Group]
    quorum: str

    def check(self, note: Note) -> list[tuple[str, int]]:
        """The witnesses (by their name in the policy) that cosigned, with the time in Unix seconds.

        1. The text is a checkpoint (`checkpoint-malformed` …).
        2. No signature of a listed log or witness fails (`note-bad-signature`).
        3. A listed log signed it, under the checkpoint's origin (`policy-log-missing`); where the
           policy lists no log, the caller checks the log.
        4. The witnesses meet the quorum (`policy-quorum-not-met`).

        Timestamps are the witnesses' word; they are not compared with a clock here.
        """
        cosigned = self.cosigned(note)
        if not self.is_met_by(set(cosigned)):  # 4
            raise Refused("policy-quorum-not-met", f"{len(cosigned)} of {len(self.witnesses)}")
        return list(cosigned.items())

    def cosigned(self, note: Note) -> dict[str, int]:
        """Steps 1 to 3 of `check`, and what it returns, whether or not they are enough."""
        origin = parse_checkpoint(note.text).origin  # 1
        keys = [party.key for party in (*self.logs, *self.witnesses.values())]
        signed = dict(verify_signatures(note, keys, at_least=0))  # 2
        if self.logs and not any(  # 3
            log.key in signed and log.key.name == origin for log in self.logs
        ):
            raise Refused("policy-log-missing", origin[:64])
        return {
            name: signed[witness.key]
            for name, witness in self.witnesses.items()
            if witness.key in signed
        }

    def is_met_by(self, names: set[str]) -> bool:
        """Whether cosignatures of these witnesses are a quorum. It verifies nothing."""
        met = names & self.witnesses.keys()
        for name, group in self.groups.items():
            if sum(member in met for member in group.members) >= group.threshold:
                met.add(name)
        return self.quorum == NONE or self.quorum in met

    def least(self) -> int:
        """How few parties can meet the quorum; 0 for `quorum none`."""
        parties = self.parties()
        fewest = {NONE: 0, **dict.fromkeys([*self.witnesses, *parties], 1)}
        for name, group in self.groups.items():  # members are in no other group
            if name not in parties:
                costs = sorted(fewest[each] for each in group.members)
                fewest[name] = sum(costs[: group.threshold])
        return fewest[self.quorum]

    def parties(self) -> list[str]:
        """The witnesses by name; several keys of one address in a group of their own are one party,
        by the name of the group."""
        party = {}
        for name, group in self.groups.items():
            urls = {
                self.witnesses[each].address for each in group.members if each in self.witnesses
            }
            if len(urls) == 1 and "" not in urls and self.witnesses.keys() >= set(group.members):
                party.update(dict.fromkeys(group.members, name))
        return list(dict.fromkeys(party.get(name, name) for name in self.witnesses))

    def text(self) -> str:
        """The policy in plain form; `parse_policy` reads the same policy from it."""
        lines = [_line("log", log.key.text(), log.url) for log in self.logs]
        lines += [_line("witness", n, w.key.text(), w.url) for n, w in self.witnesses.items()]
        lines += [_line("group", n, str(g.threshold), *g.members) for n, g in self.groups.items()]
        return "".join([*lines, _line("quorum", self.quorum)])


def parse_policy(text: str) -> Policy:
    """Read a policy file of at most 256 KiB and 48 logs, 48 witnesses and 48 groups.

    Every line ends in a newline, the last one too: a file cut short is not another policy.
    Refused: `policy-malformed` with the number of the line, `too-large`, and what a key is refused
    for (`parse_vkey`).
    """
    if len(text) > MAX_POLICY:
        raise Refused("too-large", "policy")
    if not text.endswith("\n") or _CONTROL.search(text):
        raise Refused("policy-malformed", "control character, or no newline at the end")
    parser = _Parser()
    for number, line in enumerate(text.split("\n")[:-1], 1):
        words = _BLANKS.split(line.strip(" \t"))
        if words[0] and not words[0].startswith("#"):
            parser.where = f"line {number}"
            parser.line(words[0], words[1:])
    if parser.quorum is None:
        raise Refused("policy-malformed", "no quorum line")
    return Policy(tuple(parser.logs), parser.witnesses, parser.groups, parser.quorum)


class _Parser:
    def __init__(self) -> None:
        self.where = ""
        self.logs: list[Party] = []
        self.witnesses: dict[str, Party] = {}
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._grouped: set[str] = set()

    def line(self, keyword: str, words: list[str]) -> None:
        match keyword, words:
            case "log", [vkey, *url] if len(url) <= 1:
                self.logs.append(self._party(vkey, url, self.logs))
            case "witness", [name, vkey, *url] if len(url) <= 1:
                witness = self._party(vkey, url, list(self.witnesses.values()))
                if not TYPES[witness.key.type].stamped:
                    raise self._refused("not a key for cosignatures")
                self.witnesses[self._new(name)] = witness
            case "group", [name, threshold, *members] if members:
                self.groups[self._new(name)] = self._group(threshold, members)
            case "quorum", [name] if self.quorum is None:
                if name != NONE:
                    self._defined(name)
                self.quorum = name
            case _:
                raise self._refused(f"unknown, repeated or incomplete: {keyword[:24]}")
        if max(len(self.logs), len(self.witnesses), len(self.groups)) > MAX_DEFINITIONS:
            raise Refused("too-large", f"more than {MAX_DEFINITIONS} definitions of one kind")

    def _party(self, vkey: str, url: list[str], others: list[Party]) -> Party:
        key = parse_vkey(vkey)
        if any(other.key.public == key.public for other in others):
            raise self._refused("the same key twice")
        return Party(key, "".join(url))

    def _group(self, threshold: str, members: list[str]) -> Group:
        for member in members:
            self._defined(member)
            if member in self._grouped:
                raise self._refused(f"in a group twice: {member[:24]}")
            self._grouped.add(member)
        words = {"any": 1, "all": len(members)}
        least = words[threshold] if threshold in words else parse_decimal(threshold)
        if not 1 <= least <= len(members):
            raise self._refused(f"threshold {least} of {len(members)}")
        return Group(least, tuple(members))

    def _new(self, name: str) -> str:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise self._refused(f"name taken: {name[:24]}")
        return name

    def _defined(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise self._refused(f"not defined above: {name[:24]}")

    def _refused(self, detail: str) -> Refused:
        return Refused("policy-malformed", f"{self.where}: {detail}")


def _line(*words: str) -> str:
    return " ".join(filter(None, words)) + "\n"
