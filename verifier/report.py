"""Verdicts and receipts as text for people: Chinese first, aligned by cell width.

Everything that comes from outside passes `plain`, so that a signed name cannot move the cursor,
change colours or reverse the reading order of a terminal.
"""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from verifier.keylife import IN_FORCE
from verifier.plural import noun
from verifier.receipt import Receipt
from verifier.states import STATES
from verifier.verdict import Check, Colour, Outcome, SigningKey, Subject, Verdict
from verifier.words import CHECKS, SENTENCES

ZH, EN, BOTH = "zh", "en", "both"
BEIJING: Final = timezone(timedelta(hours=8))
ANSWERS: Final = {"yes": ("是", "yes"), "no": ("否", "no"), "unknown": ("未知", "unknown")}
_WIDE_ENOUGH: Final = 92
_ANSI: Final = {Colour.GREEN: "1;30;42", Colour.AMBER: "1;30;43", Colour.RED: "1;97;41"}
_MARKS: Final = {Outcome.PASSED: "✓", Outcome.FAILED: "✗", Outcome.UNCHECKED: "–"}
_MARK_ANSI: Final = {Outcome.PASSED: "32", Outcome.FAILED: "1;31", Outcome.UNCHECKED: "33"}
_TOKEN: Final = re.compile(r"[!-~\u00a0-\u10ff]+|\s+|.")
_LAST_TIME: Final = 253_402_300_799  # 9999-12-31T23:59:59Z


def plain(value: object) -> str:
    """Text that a terminal shows as it stands: control and format characters become U+FFFD."""
    if isinstance(value, bool):
        return "是 yes" if value else "否 no"
    if isinstance(value, list | tuple):
        return "、".join(map(plain, value))
    return "".join("\ufffd" if unicodedata.category(c)[0] == "C" else c for c in str(value))


def cells(text: str) -> int:
    """Columns a terminal takes for a text: two for wide characters, none for combining ones."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells, broken between words or anywhere in Chinese."""
    lines, line = [], ""
    for word in _TOKEN.findall(text):
        pieces = [word] if cells(word) <= width else list(word)
        for piece in pieces:
            if line and cells(line + piece) > width:
                lines.append(line.rstrip())
                line = ""
            if line or not piece.isspace():
                line += piece
    return [*lines, line.rstrip()]


def clock(time: int | None) -> str:
    """Unix seconds as a date and time in China, or a dash."""
    if time is None or not 0 <= time <= _LAST_TIME - 86_400:
        return "—"
    return datetime.fromtimestamp(time, UTC).astimezone(BEIJING).strftime("%Y-%m-%d %H:%M")


def age(seconds: int) -> tuple[str, str]:
    """How long ago, in both languages."""
    days, rest = divmod(max(0, seconds), 86_400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    if days:
        return f"{days} 天 {hours} 小时前", f"{days} d {hours} h ago"
    if hours:
        return f"{hours} 小时 {minutes} 分前", f"{hours} h {minutes} min ago"
    return f"{minutes} 分钟前", f"{minutes} min ago"


class Page:
    """Lines of text in one or both languages, at most `width` cells wide."""

    def __init__(self, lang: str, *, colour: bool, width: int) -> None:
        self.lang = lang
        self.colour = colour
        self.width = width
        self.lines: list[str] = []

    def say(self, zh: str, en: str) -> str:
        """Both, or the one that was asked for."""
        return {ZH: zh, EN: en}.get(self.lang) or f"{zh} {en}".strip()

    def paint(self, text: str, ansi: str) -> str:
        return f"\x1b[{ansi}m{text}\x1b[0m" if self.colour else text

    def banner(self, colour: Colour, zh: str, en: str) -> None:
        """The sentence that matters, in the colour of the verdict."""
        texts = {ZH: [zh], EN: [en]}.get(self.lang, [zh, en])
        lines = [line for text in texts for line in wrap(plain(text), self.width - 2)]
        widest = max(map(cells, lines))
        for line in lines:
            padded = f" {line} " + " " * (widest - cells(line))
            self.lines.append(self.paint(padded, _ANSI[colour]) if self.colour else line)

    def heading(self, zh: str, en: str) -> None:
        self.lines += ["", self.paint(self.say(plain(zh), plain(en)), "1")]

    def rows(self, rows: Sequence[tuple[str, str, Any]]) -> None:
        """Label and value, aligned; long values continue below themselves."""
        labels = [self.say(plain(zh), plain(en)) for zh, en, _ in rows]
        column = min(max(map(cells, labels), default=0), self.width * 3 // 5) + 4
        for label, (_, _, value) in zip(labels, rows, strict=True):
            start = "  " + label
            first, *others = wrap(plain(value), max(20, self.width - column))
            self.lines.append(start + " " * max(2, column - cells(start)) + first)
            self.lines += [" " * column + other for other in others]

    def check(self, check: Check, *, explain: bool = True) -> None:
        """One numbered check; one that did not pass says why, unless it was never reached."""
        zh, en = CHECKS[check.number]
        mark = self.paint(_MARKS[check.outcome], _MARK_ANSI[check.outcome])
        if self.lang == BOTH:
            short = en if self.width >= _WIDE_ENOUGH else en.partition(":")[0]
            text = zh + " " * max(2, 36 - cells(zh)) + short
        else:
            text = self.say(zh, en)
        self.lines.append(f"  {mark} {check.number:2d}  {text}")
        if not explain or check.outcome is Outcome.PASSED or check.code == "not-reached":
            return
        zh, en = SENTENCES[check.code]
        detail = f" ({plain(check.detail)})" if check.detail else ""
        for text in {ZH: [zh], EN: [en]}.get(self.lang, [zh, en]):
            arrow, detail = text + detail, ""
            self.lines += [
                self.paint(" " * 8 + line, "2") for line in wrap(arrow, max(20, self.width - 8))
            ]


def verdict_page(verdict: Verdict, page: Page) -> None:
    """The sentence, the licence, the checks, the place in the ledger, the age of the status."""
    page.banner(verdict.colour, verdict.zh, verdict.en)
    if verdict.subject is not None:
        _subject(verdict.subject, page)
    page.heading("核验项目", "Checks")
    said = ""
    for check in verdict.checks:
        page.check(check, explain=check.code != said)
        said = check.code
    rows: list[tuple[str, str, Any]] = []
    if verdict.key is not None:
        rows += _key(verdict.key, page)
    if verdict.record is not None:
        rows.append(("记录哈希", "Leaf hash", verdict.record.leaf.hex()))
        if verdict.record.index is not None:
            place = f"{verdict.record.index} / {verdict.record.size}"
            rows.append(("序号 / 账本规模", "Index / size", place))
        if verdict.record.witnesses:
            rows.append(("见证方", "Witnesses", list(verdict.record.witnesses)))
    if verdict.status_as_of is not None and verdict.status is not None:
        state = STATES[verdict.status]
        rows.append(("法律状态", "Legal state", page.say(state.zh, state.en)))
        ago = page.say(*age(verdict.judged_at - verdict.status_as_of))
        rows.append(
            ("状态时点 (北京)", "Status as of (Beijing)", f"{clock(verdict.status_as_of)} ({ago})")
        )
    rows.append(("核验时间 (北京)", "Checked at (Beijing)", clock(verdict.judged_at)))
    page.heading("账本与状态", "Ledger and status")
    page.rows(rows)


def _key(key: SigningKey, page: Page) -> list[tuple[str, str, Any]]:
    rows: list[tuple[str, str, Any]] = [
        ("签发密钥", "Signing key", f"{key.kid.hex()} ({key.suite})")
    ]
    if key.rule not in (None, IN_FORCE):
        rows.append(("适用规则", "What the key's life says", page.say(*SENTENCES[key.rule])))
    if key.certificate is not None:
        issuer = key.certificate.issuer if key.ca is None else page.say(*key.ca)
        ends = clock(key.certificate.not_after)
        rows.append(("密钥证书", "Certificate", f"{key.certificate.subject} ← {issuer} → {ends}"))
    return rows


def _subject(subject: Subject, page: Page) -> None:
    page.heading(subject.type_zh, subject.type_en)
    rows: list[tuple[str, str, Any]] = [(f.zh, f.en, f.value) for f in subject.fields]
    rows.append(("签发机关", "Issued by", page.say(subject.issuer_zh, subject.issuer_en)))
    if subject.successor is not None:
        rows.append(("该机关现为", "That department is now", page.say(*subject.successor)))
    rows.append(("签发时间 (北京)", "Issued at (Beijing)", clock(subject.issued_at)))
    if subject.valid_from is not None:
        until = subject.valid_until or page.say("长期", "no end date")
        rows.append(("有效期", "Validity", f"{subject.valid_from} → {until}"))
    if subject.undisclosed:
        rows.append(("未出示", "Not shown", page.say(*_groups(subject.undisclosed))))
    page.rows(rows)


def _groups(number: int) -> tuple[str, str]:
    return f"{number} 组信息", f"{number} {noun(number, 'group')} of fields"


def receipt_page(receipt: Receipt, colour: Colour, code: str, page: Page) -> None:
    """A receipt that the operator signed, and within its minutes."""
    zh, en = ANSWERS[receipt.answer]
    if colour is Colour.GREEN:
        page.banner(colour, f"核验回执真实有效，答复：{zh}", f"Genuine receipt; the answer is {en}")
    else:
        page.banner(colour, *SENTENCES[code])
    page.heading("核验回执", "Receipt")
    rows = [
        ("事项", "Predicate", receipt.predicate),
        ("答复", "Answer", page.say(zh, en)),
        ("提问单位", "Asked by", receipt.audience),
        ("编号", "Question", receipt.question_id),
        ("签发时间 (北京)", "Issued at (Beijing)", clock(receipt.issued_at)),
        ("有效至 (北京)", "Valid until (Beijing)", clock(receipt.expires_at)),
        ("提问记录哈希", "Leaf hash of the question", receipt.question.hex()),
    ]
    page.rows(rows)
