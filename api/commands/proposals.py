"""`zhenglian change propose …`: one sub-command for each change of authority."""

import re
import ssl
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from api import change_facts
from api.change_facts import Facts
from api.changes import DAYS_OPEN
from api.city import City
from api.commands.changes import propose
from api.commands.officers import read_made
from api.commands.options import As, Days, Keys, Out
from api.errors import ServiceError
from api.keymaking import KeyToMake
from api.officers import read_card
from api.rules.codes import canonical_code
from api.rules.days import CHINA
from api.signed_lists import compromise_facts
from verifier import kinds
from verifier.errors import Refused
from verifier.policy import MAX_POLICY
from verifier.terminal import read_limited
from verifier.times import MAX_TIME

propose_app = typer.Typer(name="propose", help="提出变更 Propose a change", no_args_is_help=True)

Slug = Annotated[str, typer.Argument(help="部门代号，或 operator Slug of the department")]
Kid = Annotated[str, typer.Argument(help="密钥标识（16 位十六进制） Key id, 16 hex digits")]
Zh = Annotated[str, typer.Option("--zh", help="中文名称 Name in Chinese")]
En = Annotated[str, typer.Option("--en", help="英文名称 Name in English")]
Suite = Annotated[str, typer.Option(help="新密钥的算法 Suite of the key to make")]
Made = Annotated[Path | None, typer.Option(help="已生成的密钥（key make --out） A key made before")]
Chain = Annotated[
    Path | None, typer.Option(help="证书链，PEM 或 DER，本密钥的证书在前 Certificate chain")
]
Cert = Annotated[Path, typer.Argument(help="根证书，PEM 或 DER Certificate of the CA")]
_TIME_HELP = "如 2026-05-01T00:00+08:00；不写时区按北京时间 Without an offset, China's time"
Until = Annotated[str | None, typer.Option(help=_TIME_HELP)]
_POLICY_HELP = "见证策略文件（C2SP tlog-policy，不含 log 行） Policy file without log lines"
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@propose_app.command("department")
def department(
    slug: Slug,
    zh: Zh,
    en: En,
    uscc: Annotated[str, typer.Option(help="统一社会信用代码 Its 18-character code")],
    card: Annotated[
        list[Path],
        typer.Option(help="首任经办人登记卡，可多次 Card of an officer; repeatable"),
    ],
    officer: As,
    keys: Keys,
    out: Out = None,
    days: Days = DAYS_OPEN,
) -> None:
    """登记部门及其首任经办人 Enrol a department with its first officers."""
    cards = [read_card(path.read_text(encoding="utf-8")) for path in card]
    if any(each.of != slug for each in cards):
        raise ServiceError("officer-card-foreign", slug)
    facts = change_facts.department(slug, zh, en, canonical_code(uscc), cards)
    propose(kinds.DEPARTMENT, facts, officer=officer, keys=keys, out=out, days=days)


@propose_app.command("key")
def key(
    slug: Slug,
    officer: As,
    keys: Keys,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="可签类型，代码或简称，或 document；可多次；默认目录所列全部 Type: code or slug,"
            " or document"
        ),
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help=_TIME_HELP)] = None,
    until: Until = None,
    suite: Suite = "ed25519",
    made: Made = None,
    chain: Chain = None,
    out: Out = None,
    days: Days = DAYS_OPEN,
) -> None:
    """登记密钥；未给 --made 时在本机生成 Enrol a key; made here unless --made brings it."""

    begin, end = _time(start), _time(until)
    certificates = () if chain is None else read_chain(chain)

    def facts(city: City) -> Facts | KeyToMake:
        codes = change_facts.scope_codes(city, slug, scope)
        start = city.now() if begin is None else begin

        def of(cose_key: bytes, pop: bytes) -> Facts:
            return change_facts.key(
                slug, cose_key, pop, codes, start, until=end, chain=certificates
            )

        return _with_key(slug, suite, made, of)

    propose(kinds.KEY, facts, officer=officer, keys=keys, out=out, days=days)


@propose_app.command("rotate")
def rotate(
    slug: Slug,
    officer: As,
    keys: Keys,
    at: Annotated[
        str | None, typer.Option(help=f"启用时间，默认即刻 Begins at; now if absent. {_TIME_HELP}")
    ] = None,
    overlap: Annotated[
        str, typer.Option(help="旧密钥继续可用的时长 How long the old key still signs: 15m, 2h, 1d")
    ] = "15m",
    until: Until = None,
    replaces: Annotated[
        str | None, typer.Option(help="被替换的密钥；默认当前密钥 Key id; the present one")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="新密钥的算法，默认同旧密钥 Suite of the new key; the old one's"),
    ] = None,
    made: Made = None,
    chain: Chain = None,
    out: Out = None,
    days: Days = DAYS_OPEN,
) -> None:
    """以新密钥替换旧密钥，权限相同 Replace a key by a new one of the same scope."""
    start, end, seconds = _time(at), _time(until), parse_duration(overlap)
    if start is None and seconds == 0:
        raise ServiceError("rotation-overlap-missing")
    certificates = () if chain is None else read_chain(chain)

    def facts(city: City) -> Facts | KeyToMake:
        old = change_facts.signing_key(city, slug) if replaces is None else parse_kid(replaces)
        known = city.authorities.keys.get(old)
        if known is None:
            raise Refused("key-not-enrolled", old.hex())
        begin = city.now() if start is None else start

        def of(cose_key: bytes, pop: bytes) -> Facts:
            scope = sorted(known.scope)
            new = change_facts.key(slug, cose_key, pop, scope, begin, until=end, chain=certificates)
            return change_facts.rotation(new, old, seconds)

        return _with_key(slug, known.suite.name if suite is None else suite, made, of)

    propose(kinds.KEY, facts, officer=officer, keys=keys, out=out, days=days)


@propose_app.command("suspend")
def suspend(kid: Kid, officer: As, keys: Keys, out: Out = None, days: Days = DAYS_OPEN) -> None:
    """暂停使用密钥 Suspend a key."""
    facts = change_facts.key_changed(parse_kid(kid), "suspend")
    propose(kinds.KEY_CHANGED, facts, officer=officer, keys=keys, out=out, days=days)


@propose_app.command("resume")
def resume(kid: Kid, officer: As, keys: Keys, out: Out = None, days: Days = DAYS_OPEN) -> None:
    """恢复使用密钥 Let a suspended key sign again."""
    facts = change_facts.key_changed(parse_kid(kid), "resume")
    propose(kinds.KEY_CHANGED, facts, officer=officer, keys=keys, out=out, days=days)


@propose_app.command("retire")
def retire(kid: Kid, officer: As, keys: Keys, out: Out = None, days: Days = DAYS_OPEN) -> None:
    """密钥退役；以前的签名继续有效 Retire a key; what it signed before counts."""
    facts = change_facts.key_changed(parse_kid(kid), "retire")
    propose(kinds.KEY_CHANGED, facts, officer=officer, keys=keys, out=out, days=days)


@propose_app.command("compromise")
def compromise(
    kid: Kid,
    since: Annotated[str, typer.Option(help=f"泄露时间，{_TIME_HELP}")],
    officer: As,
    keys: Keys,
    out: Out = None,
    days: Days = DAYS_OPEN,
) -> None:
    """宣告密钥自某时起泄露，以前入账的继续有效 Say that others had a key since then."""
    told = parse_time(since)
    propose(
        kinds.KEY_CHANGED,
        lambda city: compromise_facts(city, parse_kid(kid), told),
        officer=officer,
        keys=keys,
        out=out,
        days=days,
    )


@propose_app.command("rename")
def rename(
    slug: Slug, zh: Zh, en: En, officer: As, keys: Keys, out: Out = None, days: Days = DAYS_OPEN
) -> None:
    """部门更名 Rename a department."""
    facts = change_facts.renamed(slug, zh, en)
    propose(kinds.DEPARTMENT_CHANGED, facts, officer=officer, keys=keys, out=out, days=days)


@propose_app.command("merge")
def merge(
    slug: Slug,
    into: Annotated[str, typer.Option(help="并入的部门 Department that takes its place")],
    officer: As,
    keys: Keys,
    out: Out = None,
    days: Days = DAYS_OPEN,
) -> None:
    """部门合并；其密钥全部退役 Merge a department into another; its keys retire."""
    facts = change_facts.merged(slug, into)
    propose(kinds.DEPARTMENT_CHANGED, facts, officer=officer, keys=keys, out=out, days=days)


@propose_app.command("close")
def close(slug: Slug, officer: As, keys: Keys, out: Out = None, days: Days = DAYS_OPEN) -> None:
    """撤销部门；其密钥全部退役 Close a department; its keys retire."""
    facts = change_facts.closed(slug)
    propose(kinds.DEPARTMENT_CHANGED, facts, officer=officer, keys=keys, out=out, days=days)


@propose_app.command("officer")
def enrol_officer(
    card: Annotated[Path, typer.Argument(help="登记卡 Card of the new officer")],
    officer: As,
    keys: Keys,
    out: Out = None,
    days: Days = DAYS_OPEN,
) -> None:
    """登记经办人 Enrol an officer."""
    facts = change_facts.officer(read_card(card.read_text(encoding="utf-8")))
    propose(kinds.OFFICER, facts, officer=officer, keys=keys, out=out, days=days)


@propose_app.command("officer-leaves")
def officer_leaves(
    name: Annotated[str, typer.Argument(help="离任经办人 Officer who leaves")],
    officer: As,
    keys: Keys,
    out: Out = None,
    days: Days = DAYS_OPEN,
) -> None:
    """经办人离任 An officer leaves office."""
    facts = change_facts.officer_left(name)
    propose(kinds.OFFICER_LEFT, facts, officer=officer, keys=keys, out=out, days=days)


@propose_app.command("ca")
def recognise_ca(
    cert: Cert,
    zh: Zh,
    en: En,
    officer: As,
    keys: Keys,
    out: Out = None,
    days: Days = DAYS_OPEN,
) -> None:
    """认可持证的电子认证机构 Recognise a licensed certification authority."""
    facts = change_facts.ca(read_chain(cert)[0], zh, en)
    propose(kinds.CA, facts, officer=officer, keys=keys, out=out, days=days)


@propose_app.command("ca-withdraw")
def withdraw_ca(
    cert: Cert,
    officer: As,
    keys: Keys,
    out: Out = None,
    days: Days = DAYS_OPEN,
) -> None:
    """不再认可认证机构 No longer recognise a certification authority."""
    facts = change_facts.ca_withdrawn(read_chain(cert)[0])
    propose(kinds.CA_WITHDRAWN, facts, officer=officer, keys=keys, out=out, days=days)


@propose_app.command("witnesses")
def set_witnesses(
    policy: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help=_POLICY_HELP, show_default=False)
    ],
    officer: As,
    keys: Keys,
    override: Annotated[
        str | None,
        typer.Option(help="例外的理由，所需见证方少于现行策略时 Reason, where fewer are asked"),
    ] = None,
    out: Out = None,
    days: Days = DAYS_OPEN,
) -> None:
    """设定见证策略，或以例外放宽 Set the witness policy, or override it with a reason."""
    facts = change_facts.witnesses(read_policy(policy), override)
    propose(kinds.WITNESSES, facts, officer=officer, keys=keys, out=out, days=days)


def _time(text: str | None) -> int | None:
    return None if text is None else parse_time(text)


def _with_key(
    slug: str, suite: str, made: Path | None, facts: Callable[[bytes, bytes], Facts]
) -> Facts | KeyToMake:
    """The facts of a key (COSE_Key, proof of possession) of a file, or of one to be made here."""
    if made is None:
        return KeyToMake(slug, suite, facts)
    department, cose_key, pop = read_made(made)
    if department != slug:
        raise ServiceError("request-invalid", f"{made.name}: {department[:40]}")
    return facts(cose_key, pop)


def parse_kid(text: str) -> bytes:
    """A key id as printed; `request-invalid`."""
    if not re.fullmatch(r"[0-9a-f]{16}", text):
        raise ServiceError("request-invalid", f"key id: {text[:40]}")
    return bytes.fromhex(text)


def parse_time(text: str) -> int:
    """Unix seconds of an ISO 8601 day or time; in China where no offset is given.

    Raises `code-date-invalid`, also of what is before 1970 or not before `MAX_TIME`.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ServiceError("code-date-invalid", text[:40]) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone(CHINA))
    seconds = int(moment.timestamp())
    if not 0 <= seconds < MAX_TIME:
        raise ServiceError("code-date-invalid", text[:40])
    return seconds


def parse_duration(text: str) -> int:
    """Seconds of `90s`, `15m`, `2h` or `1d`; `request-invalid`."""
    found = re.fullmatch(r"(0|[1-9][0-9]{0,8})([smhd])", text)
    if found is None:
        raise ServiceError("request-invalid", f"duration: {text[:40]}")
    return int(found[1]) * _UNITS[found[2]]


def read_policy(path: Path) -> str:
    """The text of a policy file, up to one byte more than it may have; `policy-malformed`."""
    try:
        return read_limited(path, MAX_POLICY).decode()
    except UnicodeDecodeError as error:
        raise Refused("policy-malformed", "not UTF-8") from error


def read_chain(path: Path) -> list[bytes]:
    """DER of the certificates in a PEM file, or of the one in a DER file."""
    data = path.read_bytes()
    blocks = re.findall(
        rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", data, re.DOTALL
    )
    try:
        return [ssl.PEM_cert_to_DER_cert(block.decode("ascii")) for block in blocks] or [data]
    except ValueError as error:
        raise ServiceError("request-invalid", path.name) from error
