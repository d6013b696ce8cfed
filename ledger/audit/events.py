"""The life of keys and of the witness policy as an audit reports it, and who decided each step."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from keys.names import kid, parse_cose_key
from ledger.audit.publication import CHINA
from verifier.authorities import Authorities
from verifier.change import parse_change
from verifier.kinds import DEPARTMENT_CHANGED, GENESIS, KEY, KEY_CHANGED, WITNESSES
from verifier.logged_policy import LoggedPolicy
from verifier.statement import Statement

WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "enrolled": ("登记", "enrolled"),
    "rotated": ("轮换", "enrolled in place of another"),
    "suspend": ("暂停", "suspended"),
    "resume": ("恢复", "resumed"),
    "retire": ("退役", "retired"),
    "compromise": ("泄露", "compromised"),
    "rename": ("部门更名", "department renamed"),
    "merge": ("部门合并，密钥退役", "department merged, its keys retired"),
    "close": ("部门撤销，密钥退役", "department closed, its keys retired"),
    "witnesses": ("见证策略", "witness policy"),
    "override": ("见证策略例外", "witness policy overridden"),
}
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """One statement that took effect. `by` are the duty names of who proposed and who approved
    it, none for a genesis; `key` is the key id, None where all of a department's
    are meant, or the witnesses."""

    index: int
    at: int
    issuer: str
    act: str
    key: bytes | None
    by: tuple[str, ...]
    detail: str = ""

    def to_json(self) -> dict[str, object]:
        return {
            "index": self.index,
            "time": self.at,
            "act": self.act,
            "key": None if self.key is None else self.key.hex(),
            "by": list(self.by),
            "detail": self.detail,
        }


def event_of(statement: Statement, index: int, authorities: Authorities) -> KeyEvent | None:
    """What a statement that was just applied did to a key or the policy; None if it was about
    something else."""
    kind, at = statement.content.kind, statement.issued_at
    if kind == GENESIS:
        return KeyEvent(index, at, statement.issuer, "enrolled", statement.kid, ())
    if kind not in (KEY, KEY_CHANGED, DEPARTMENT_CHANGED, WITNESSES):
        return None
    by = authorities.decided_by(statement)
    if kind == WITNESSES:
        logged = authorities.register.policies[-1]
        act = "override" if logged.override else "witnesses"
        return KeyEvent(index, at, statement.issuer, act, None, by, _asked(logged))
    facts = parse_change(statement.content)[0].facts
    if kind == DEPARTMENT_CHANGED:
        issuer = authorities.register.issuer(facts["id"])
        detail = facts.get("into", facts.get("en", ""))
        return KeyEvent(index, at, issuer, facts["act"], None, by, detail)
    if kind == KEY:
        issuer = authorities.register.issuer(facts["dept"])
        new, old = kid(*parse_cose_key(facts["key"])), facts.get("replaces", b"").hex()
        return KeyEvent(index, at, issuer, "rotated" if old else "enrolled", new, by, old)
    key, act = authorities.keys[facts["key"]], facts["act"]
    detail = f"since {facts['since']}, #{facts['before']}" if act == "compromise" else ""
    return KeyEvent(index, at, key.issuer, act, key.kid, by, detail)


def _asked(logged: LoggedPolicy) -> str:
    """How few of which witnesses are enough, and the reason of an override."""
    names = ", ".join(logged.policy.parties())
    asked = f"≥ {logged.policy.least()}" + (f" ({names})" if names else "")
    return f"{asked}: {logged.override}" if logged.override else asked


def events_json(events: Iterable[KeyEvent]) -> dict[str, list[dict[str, object]]]:
    """By issuer."""
    found: dict[str, list[dict[str, object]]] = {}
    for event in events:
        found.setdefault(event.issuer, []).append(event.to_json())
    return dict(sorted(found.items()))


def render_events(events: Sequence[KeyEvent]) -> list[str]:
    """For each department the latest ten, as lines."""
    by_issuer: dict[str, list[KeyEvent]] = {}
    for event in events:
        by_issuer.setdefault(event.issuer, []).append(event)
    lines = ["密钥与见证大事 events of keys and witnesses"] if events else []
    for issuer, own in sorted(by_issuer.items()):
        lines.append(f"  {issuer}")
        if (earlier := len(own) - _SHOWN) > 0:
            lines.append(f"    … 此前 {earlier} 项 {earlier} before these")
        lines += [f"    {_line(event)}" for event in own[-_SHOWN:]]
    return lines


def _line(event: KeyEvent) -> str:
    zh, en = WORDS[event.act]
    parts = [
        f"#{event.index}",
        _day(event.at),
        "" if event.key is None else event.key.hex(),
        f"{zh} {en}",
        event.detail,
        " + ".join(event.by) or "创立 genesis",
    ]
    return "  ".join(filter(None, parts))


def _day(at: int) -> str:
    """The day in China; a statement's time is before `MAX_TIME`."""
    return (datetime.fromtimestamp(at, UTC) + timedelta(seconds=CHINA)).date().isoformat()
