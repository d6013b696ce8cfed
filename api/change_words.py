"""What a proposal would do, in plain words, so that nobody approves what they cannot read."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any
from unicodedata import category

from api.errors import ServiceError
from api.rules.days import china_time
from keys.errors import KeysError
from keys.names import kid as key_id
from keys.names import parse_cose_key
from verifier.authorities import OPERATOR, Authorities
from verifier.errors import Refused
from verifier.kinds import (
    CA,
    CA_WITHDRAWN,
    DEPARTMENT,
    DEPARTMENT_CHANGED,
    DOCUMENT_SCOPE,
    KEY,
    KEY_CHANGED,
    OFFICER,
    OFFICER_LEFT,
    WITNESSES,
)
from verifier.plural import noun
from verifier.policy import Policy, parse_policy
from verifier.policy_report import policy_words
from verifier.trust import TypeName

Words = tuple[str, str]
"""Chinese, English."""
Facts = Mapping[str, Any]
_ACTS: Mapping[str, Words] = {
    "suspend": ("暂停使用", "suspend"),
    "resume": ("恢复使用", "resume"),
    "retire": ("退役", "retire"),
    "compromise": ("宣告泄露", "declare compromised"),
}


class _Names:
    """Names as far as they are known: offline, slugs and codes stand for themselves."""

    def __init__(
        self,
        authorities: Authorities | None,
        types: Mapping[str, TypeName],
        issuers: Mapping[str, tuple[str, ...]],
    ) -> None:
        self._authorities = authorities
        self._types = types
        self._issuers = issuers

    def department(self, slug: object) -> Words:
        if slug == OPERATOR:
            return "账本运营者", "the ledger's operator"
        known = None
        if self._authorities is not None:
            issuer = f"{self._authorities.origin}/{slug}"
            known = self._authorities.departments.get(issuer)
        return (str(slug), str(slug)) if known is None else (known.zh, known.en)

    def key(self, kid: object) -> Words:
        """A key id with its department."""
        name = kid.hex() if isinstance(kid, bytes) else str(kid)
        known = None
        if self._authorities is not None and isinstance(kid, bytes):
            known = self._authorities.keys.get(kid)
        if known is None:
            return f"密钥 {name}", f"key {name}"
        zh, en = self.department(known.issuer.rpartition("/")[2])
        return f"{zh}的密钥 {name} ({known.suite.name})", f"key {name} ({known.suite.name}) of {en}"

    def policy(self) -> Policy | None:
        """The witness policy in force."""
        return None if self._authorities is None else self._authorities.policy

    def scope(self, codes: object) -> Words:
        listed = [str(code) for code in codes] if isinstance(codes, list) else []
        known = [self._types.get(code) for code in listed]
        zh = [code if name is None else name.zh for code, name in zip(listed, known, strict=True)]
        en = [code if name is None else name.en for code, name in zip(listed, known, strict=True)]
        if DOCUMENT_SCOPE in listed:
            at = listed.index(DOCUMENT_SCOPE)
            zh[at], en[at] = "自行签发的文件", "documents of its own"
        return "、".join(zh) or "无", ", ".join(en) or "none"

    def others(self, codes: object, slug: object) -> list[Words]:
        """Of each type that is another department's by the catalogue, whose it is: neither that
        of `slug` nor of one that was merged into it."""
        found = []
        for code in map(str, codes) if isinstance(codes, list) else ():
            owners = self._issuers.get(code, ())
            if not owners or slug in {*owners, *map(self._acting, owners)}:
                continue
            type_zh, type_en = self.scope([code])
            names = [self.department(owner) for owner in owners]
            whose_zh, whose_en = "、".join(zh for zh, _ in names), ", ".join(en for _, en in names)
            found.append((f"{type_zh}按目录属于{whose_zh}", f"{type_en} belongs to {whose_en}"))
        return found

    def _acting(self, slug: str) -> str:
        return slug if self._authorities is None else self._authorities.acting(slug)


def describe(
    kind: int,
    facts: Facts,
    *,
    authorities: Authorities | None = None,
    types: Mapping[str, TypeName] | None = None,
    issuers: Mapping[str, tuple[str, ...]] | None = None,
) -> Words:
    """(Chinese, English) of what a change would do, one line each. Facts that do not fit read as
    they are; characters that do not print (controls, changes of direction) as U+FFFD.

    `issuers` are the departments whose a type is by the catalogue (`City.type_issuers`).
    """
    try:
        zh, en = _WORDS[kind](facts, _Names(authorities, types or {}, issuers or {}))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError):
        zh, en = f"无法读懂的变更 {facts!r}"[:400], f"a change that cannot be read: {facts!r}"[:400]
    return _printable(zh), _printable(en)


def check_readable(kind: int, facts: Facts, *, authorities: Authorities) -> None:
    """The change can be put into words that print; else `ServiceError` change-unreadable."""
    try:
        words = _WORDS[kind](facts, _Names(authorities, {}, {}))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise ServiceError("change-unreadable", type(error).__name__) from error
    if any(_printable(text) != text for text in words):
        raise ServiceError("change-unreadable", "characters that do not print")


def _printable(text: str) -> str:
    """Blanks of any width are left: the ideographic space stands in names."""
    return "".join(
        char if char.isprintable() or category(char) == "Zs" else "\ufffd" for char in text
    )


def _department(facts: Facts, _: _Names) -> Words:
    officers = ", ".join(each[0] for each in facts["officers"])
    return (
        f"登记部门 {facts['zh']} ({facts['id']})，代码 {facts['uscc']}，首任经办人 {officers}",
        f"enrol {facts['en']} ({facts['id']}), code {facts['uscc']}, with the officers {officers}",
    )


def _key(facts: Facts, names: _Names) -> Words:
    zh, en = names.department(facts["dept"])
    kid, suite = _kid_of(facts["key"])
    scope_zh, scope_en = names.scope(facts["scope"])
    start = china_time(facts["from"])
    until_zh = f"至 {china_time(facts['until'])}" if "until" in facts else "起长期"
    until_en = f"until {china_time(facts['until'])}" if "until" in facts else "without end"
    zh = f"为{zh}登记密钥 {kid} ({suite})，自 {start} {until_zh}，可签 {scope_zh}"
    en = f"enrol key {kid} ({suite}) for {en}, from {start} {until_en}, to sign {scope_en}"
    if "replaces" in facts:
        old, overlap = facts["replaces"].hex(), china_time(facts["overlap"])
        zh += f"；替换密钥 {old}，旧密钥可用至 {overlap}"
        en += f"; it replaces key {old}, which signs until {overlap}"
    if "x5c" in facts:
        zh += f"；附证书链（{len(facts['x5c'])} 张）"
        length = len(facts["x5c"])
        en += f"; with a chain of {length} {noun(length, 'certificate')}"
    if others := names.others(facts["scope"], facts["dept"]):
        zh += "；注意，含其他部门的类型：" + "；".join(said for said, _ in others)
        en += "; NOTE, types of other departments by the catalogue: "
        en += "; ".join(said for _, said in others)
    return zh, en


def _key_changed(facts: Facts, names: _Names) -> Words:
    act_zh, act_en = _ACTS[facts["act"]]
    key_zh, key_en = names.key(facts["key"])
    zh, en = f"{act_zh}：{key_zh}", f"{act_en} {key_en}"
    if facts["act"] == "compromise":
        since, before, count = china_time(facts["since"]), facts["before"], facts["count"]
        zh += f"；自 {since} 起或自第 {before} 条起的签名一律无效，此前 {count} 条有效"
        en += (
            f"; nothing counts that it signed since {since} or that stands at or after entry "
            f"{before}; {count} {noun(count, 'entry before does', 'entries before do')}"
        )
    return zh, en


def _department_changed(facts: Facts, names: _Names) -> Words:
    slug, act = facts["id"], facts["act"]
    zh, en = names.department(slug)
    if act == "rename":
        return (
            f"部门更名：{zh} ({slug}) → {facts['zh']}",
            f"rename {en} ({slug}) to {facts['en']}",
        )
    if act == "merge":
        into_zh, into_en = names.department(facts["into"])
        return (
            f"部门合并：{zh} ({slug}) 并入 {into_zh} ({facts['into']})，其密钥全部退役",
            f"merge {en} ({slug}) into {into_en} ({facts['into']}); its keys retire",
        )
    if act == "close":
        return (
            f"撤销部门：{zh} ({slug})，其密钥全部退役",
            f"close {en} ({slug}); its keys retire",
        )
    raise ValueError(act)


def _officer(facts: Facts, names: _Names) -> Words:
    zh, en = names.department(facts["of"])
    kid, suite = _kid_of(facts["key"])
    return (
        f"登记经办人 {facts['id']}（{zh}），密钥 {kid} ({suite})",
        f"enrol the officer {facts['id']} of {en}, key {kid} ({suite})",
    )


def _officer_left(facts: Facts, _: _Names) -> Words:
    return f"经办人 {facts['id']} 离任", f"the officer {facts['id']} leaves office"


def _ca(facts: Facts, _: _Names) -> Words:
    name = sha256(facts["cert"]).hexdigest()
    return (
        f"认可认证机构 {facts['zh']}，根证书 SHA-256 {name}",
        f"recognise the certification authority {facts['en']}, certificate SHA-256 {name}",
    )


def _ca_withdrawn(facts: Facts, names: _Names) -> Words:
    name = facts["cert"].hex()
    return (
        f"不再认可认证机构，根证书 SHA-256 {name}",
        f"no longer recognise the certification authority of certificate SHA-256 {name}",
    )


def _witnesses(facts: Facts, names: _Names) -> Words:
    try:
        policy = parse_policy(facts["policy"])
    except Refused as error:
        raise ValueError(error.code) from error
    zh, en = policy_words(policy)
    before = names.policy()
    if before is not None and before.least() > policy.least():
        zh, en = f"{zh}（现为 {before.least()} 家）", f"{en}, where it was {before.least()}"
    if "override" not in facts:
        return f"见证策略：{zh}", f"witness policy: {en}"
    reason = facts["override"]
    return f"见证策略例外：{zh}。理由：{reason}", f"OVERRIDE of the witness policy: {en}: {reason}"


def _kid_of(cose_key: bytes) -> Words:
    """(key id, suite) of a COSE_Key."""
    try:
        suite, public = parse_cose_key(cose_key)
    except KeysError as error:
        return "?", error.code
    return key_id(suite, public).hex(), suite.name


_WORDS: Mapping[int, Callable[[Facts, _Names], Words]] = {
    DEPARTMENT: _department,
    KEY: _key,
    KEY_CHANGED: _key_changed,
    DEPARTMENT_CHANGED: _department_changed,
    OFFICER: _officer,
    OFFICER_LEFT: _officer_left,
    CA: _ca,
    CA_WITHDRAWN: _ca_withdrawn,
    WITNESSES: _witnesses,
}
