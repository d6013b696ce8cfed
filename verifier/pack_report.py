"""A trust pack as text for people and as JSON: whose it is, which keys in which state, how old."""

from typing import Any, NamedTuple

from verifier.judge import CLOCK_SKEW
from verifier.keylife import EnrolledKey
from verifier.pack import Pack
from verifier.policy_report import policy_json, policy_rows, policy_words
from verifier.register import Department
from verifier.report import Page, age, clock
from verifier.status import StatusBook, StatusToken
from verifier.trust import Trust
from verifier.verdict import Colour

BANNERS = {
    Colour.GREEN: ("离线核验包可用", "The trust pack may be used"),
    Colour.AMBER: ("离线核验包已过期，请同步", "The trust pack has expired: synchronise"),
}


class KeyState(NamedTuple):
    """What a key may do at a moment; `code` is stable."""

    code: str
    zh: str
    en: str


def key_state(key: EnrolledKey, now: int) -> KeyState:
    """The state of a key at Unix time `now`; the worst that is true of it."""
    if key.compromise is not None:
        since = clock(key.compromise.since)
        return KeyState("compromised", f"已泄露（自 {since}）", f"compromised since {since}")
    if key.retired is not None:
        at = clock(key.retired.at)
        return KeyState("retired", f"已退役（{at}）", f"retired {at}")
    if key.is_suspended:
        at = clock(key.suspended_at[-1])
        return KeyState("suspended", f"已暂停（自 {at}）", f"suspended since {at}")
    if key.valid_until is not None and now > key.valid_until:
        return KeyState("expired", "已过期", "expired")
    if now < key.valid_from:
        start = clock(key.valid_from)
        return KeyState("not-yet", f"自 {start} 起用", f"from {start}")
    if key.valid_until is not None:
        end = clock(key.valid_until)
        return KeyState("in-force", f"在用（至 {end}）", f"in force until {end}")
    return KeyState("in-force", "在用", "in force")


def pack_colour(trust: Trust, now: int) -> Colour:
    """Green while the pack may give green answers."""
    return Colour.GREEN if trust.made_at - CLOCK_SKEW <= now <= trust.use_until else Colour.AMBER


def pack_page(pack: Pack, now: int, page: Page) -> None:
    """Whose it is, until when, which departments, keys and lists."""
    trust = pack.trust
    colour = pack_colour(trust, now)
    page.banner(colour, *BANNERS[colour])
    page.heading(trust.authorities.name_zh, trust.authorities.name_en)
    witnesses = "—" if trust.policy is None else page.say(*policy_words(trust.policy))
    page.rows(
        [
            ("账本", "Ledger", trust.origin),
            ("账本公钥", "Log key", trust.log_key.text()),
            ("账本规模", "Ledger size", f"{pack.checkpoint.size:,}"),
            ("制作时间 (北京)", "Made at (Beijing)", made_at(trust, now, page)),
            ("可用至 (北京)", "Use until (Beijing)", clock(trust.use_until)),
            ("状态最长时限", "Oldest status", f"{trust.max_status_age // 3600} h"),
            ("见证方", "Witnesses", witnesses),
            *override_rows(pack),
            ("授权文书", "Statements of authority", len(pack.leaves)),
            ("证照类型", "Licence types", len(trust.types)),
            ("文件大小", "Size", f"{pack.size:,} B"),
            ("文件指纹", "SHA-256", pack.digest.hex()),
            *missing_rows(pack, page),
        ]
    )
    if pack.policies:
        page.heading("见证策略", "Witness policies")
        page.rows(policy_rows(pack.policies, page))
    page.heading("部门、密钥与状态列表", "Departments, keys and status lists")
    rows: list[tuple[str, str, Any]] = []
    for department in trust.authorities.departments.values():
        lines = _department_lines(trust, department, now, page) or ["—"]
        rows.append((department.zh, department.en, lines[0]))
        rows += [("", "", line) for line in lines[1:]]
    page.rows(rows)


def missing_rows(pack: Pack, page: Page) -> list[tuple[str, str, Any]]:
    """What this machine would need to check the rest of the pack, if anything."""
    if not pack.missing:
        return []
    note = page.say(
        "其余核验通过；所涉密钥的证照在本机不会判为有效",
        "all else passed; no licence that rests on it is called valid on this machine",
    )
    return [("本机缺少", "Missing here", f"{', '.join(pack.missing)} · {note}")]


def override_rows(pack: Pack) -> list[tuple[str, str, Any]]:
    """Why fewer witnesses are asked than before, while an override is in force."""
    reason = pack.trust.authorities.policy_override
    return [("见证例外", "Override", reason)] if reason else []


def made_at(trust: Trust, now: int, page: Page) -> str:
    """When the pack was made, and how long ago."""
    return f"{clock(trust.made_at)} ({page.say(*age(now - trust.made_at))})"


def key_line(trust: Trust, key: EnrolledKey, now: int, page: Page) -> str:
    """Key id, suite and state; of a compromised key, whether its list is here."""
    state = key_state(key, now)
    line = f"{key.kid.hex()} {key.suite.name} · {page.say(state.zh, state.en)}"
    if key.compromise is None:
        return line
    listed = trust.signed_lists.get(key.kid)
    if listed is None:
        return f"{line} · {page.say('缺签发清单', 'its list is missing')}"
    count = listed.count
    return f"{line} · {page.say(f'泄露前签发 {count:,} 份', f'{count:,} signed before')}"


def _department_lines(trust: Trust, department: Department, now: int, page: Page) -> list[str]:
    authorities = trust.authorities
    lines = []
    if department.successor is not None:
        into = authorities.departments[department.successor]
        lines.append(page.say(f"已并入{into.zh}", f"merged into {into.en}"))
    elif department.ended is not None:
        lines.append(page.say("已撤销", "closed"))
    lines += [key_line(trust, key, now, page) for key in authorities.keys_of(department.issuer)]
    for token in _tokens(trust, department.issuer):
        what = page.say(f"状态列表 {token.list_number}", f"status list {token.list_number}")
        lines.append(f"{what} · {len(token.compressed):,} B · {clock(token.issued_at)}")
    return lines


def _tokens(trust: Trust, issuer: str) -> list[StatusToken]:
    book = trust.statuses
    tokens = book.tokens() if isinstance(book, StatusBook) else ()
    return [token for token in tokens if token.issuer == issuer]


def pack_json(pack: Pack, now: int) -> dict[str, Any]:
    """What a pack holds, for programs; times are Unix seconds, sizes bytes."""
    trust = pack.trust
    colour = pack_colour(trust, now)
    return {
        "document": "trust-pack",
        "colour": colour.value,
        "zh": BANNERS[colour][0],
        "en": BANNERS[colour][1],
        "sha256": pack.digest.hex(),
        "bytes": pack.size,
        "origin": trust.origin,
        "name_zh": trust.authorities.name_zh,
        "name_en": trust.authorities.name_en,
        "log_key": trust.log_key.text(),
        "checkpoint": {"size": pack.checkpoint.size, "root": pack.checkpoint.root.hex()},
        "made_at": trust.made_at,
        "use_until": trust.use_until,
        "age_seconds": max(0, now - trust.made_at),
        "max_status_age": trust.max_status_age,
        "statements": len(pack.leaves),
        "missing": list(pack.missing),
        "witnesses": [] if trust.policy is None else list(trust.policy.witnesses),
        "policies": [policy_json(each) for each in pack.policies],
        "override": trust.authorities.policy_override or None,
        "types": list(trust.types),
        "departments": [
            {
                "issuer": department.issuer,
                "zh": department.zh,
                "en": department.en,
                "successor": department.successor,
                "ended": department.ended is not None,
                "lists": [
                    {
                        "number": token.list_number,
                        "bytes": len(token.compressed),
                        "issued_at": token.issued_at,
                        "expires_at": token.expires_at,
                    }
                    for token in _tokens(trust, department.issuer)
                ],
            }
            for department in trust.authorities.departments.values()
        ],
        "keys": [key_json(trust, key, now) for key in trust.authorities.keys.values()],
    }


def key_json(trust: Trust, key: EnrolledKey, now: int) -> dict[str, Any]:
    """A key and its state."""
    state = key_state(key, now)
    listed = trust.signed_lists.get(key.kid)
    return {
        "issuer": key.issuer,
        "kid": key.kid.hex(),
        "suite": key.suite.name,
        "state": state.code,
        "zh": state.zh,
        "en": state.en,
        "scope": sorted(key.scope),
        "from": key.valid_from,
        "until": key.valid_until,
        "compromised_since": None if key.compromise is None else key.compromise.since,
        "signed_before": None if listed is None else listed.count,
    }
