"""What an audit reports: to machines as JSON, to people as lines in both languages."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ledger.audit.events import KeyEvent, events_json, render_events
from ledger.audit.findings import FINDINGS, Finding, Severity
from verifier.authorities import Department
from verifier.kinds import KINDS

_SHOWN_PER_CODE: Final = 10
_MARKS: Final = {Severity.BROKEN: "✗", Severity.RULE: "!", Severity.UNCHECKED: "–"}


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The outcome of one audit.

    `size` and `signed_root` are the checkpoint's, `root` what was rebuilt (None if it could not
    be). `trust` tells where the log's key came from: "given" or "first-use". `previous_size` is
    that of the older checkpoint compared with. `witnesses` are (name, Unix seconds). `counts` are
    statements by issuer and kind. `findings` lists at most 1,000 of each code, `totals` counts all
    of them, `by_issuer` by (code, issuer). `seconds` is the time it took, if a clock was given.
    `events` is what became of keys, in ledger order.
    """

    origin: str
    name_zh: str
    name_en: str
    log_key: str
    trust: str
    size: int
    signed_root: bytes
    root: bytes | None
    checkpoint: bytes
    previous_size: int | None
    witnesses: tuple[tuple[str, int], ...]
    tree_only: bool
    audited_at: int
    seconds: float | None
    signatures: int
    counts: Mapping[tuple[str, int], int]
    departments: Mapping[str, Department]
    findings: tuple[Finding, ...]
    totals: Mapping[str, int]
    by_issuer: Mapping[tuple[str, str], int] = field(default_factory=dict)
    events: tuple[KeyEvent, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing broken and no rule broken; what was not checked does not count."""
        return all(FINDINGS[code].severity is Severity.UNCHECKED for code in self.totals)

    def to_json(self) -> dict[str, object]:
        """For `json.dumps`. Hashes in hexadecimal, times in Unix seconds."""
        departments: dict[str, dict[str, object]] = {}
        for (issuer, kind), count in sorted(self.counts.items()):
            known = self.departments.get(issuer)
            entry = departments.setdefault(
                issuer,
                {
                    "zh": known.zh if known else None,
                    "en": known.en if known else None,
                    "kinds": {},
                    "findings": {},
                },
            )
            entry["kinds"][KINDS[kind].name] = count  # type: ignore[index]
        for (code, issuer), count in sorted(self.by_issuer.items()):
            if issuer in departments:
                departments[issuer]["findings"][code] = count  # type: ignore[index]
        return {
            "ok": self.ok,
            "origin": self.origin,
            "name": {"zh": self.name_zh, "en": self.name_en},
            "log_key": self.log_key,
            "trust": self.trust,
            "size": self.size,
            "signed_root": self.signed_root.hex(),
            "root": None if self.root is None else self.root.hex(),
            "previous_size": self.previous_size,
            "witnesses": [{"name": name, "time": time} for name, time in self.witnesses],
            "tree_only": self.tree_only,
            "audited_at": self.audited_at,
            "seconds": self.seconds,
            "signatures": self.signatures,
            "departments": departments,
            "keys": events_json(self.events),
            "totals": dict(self.totals),
            "findings": [finding.to_json() for finding in self.findings],
        }


def render(report: AuditReport) -> list[str]:
    """The report as lines of text, Chinese first.

    Names and details come from the log: what would steer a terminal is shown as its code point.
    """
    events = render_events(report.events)
    lines = [*_head(report), *_counts(report), *events, *_findings(report), _verdict(report)]
    return [_printable(line) for line in lines]


def _printable(line: str) -> str:
    if line.isprintable():
        return line
    return "".join([c if c.isprintable() else f"\\u{ord(c):04x}" for c in line])


def _head(report: AuditReport) -> list[str]:
    root = "—" if report.root is None else report.root.hex()
    city = f"{report.name_zh} {report.name_en}".strip()
    lines = [
        f"账本 log          {report.origin}" + (f" ({city})" if city else ""),
        f"账本密钥 log key  {report.log_key}",
        f"规模 size         {report.size}",
        f"重建的根 root     {root}",
    ]
    if report.previous_size is not None:
        lines.append(f"旧检查点 previous {report.previous_size}")
    if report.witnesses:
        lines.append(f"见证 witnesses    {', '.join(name for name, _ in report.witnesses)}")
    lines.append(f"签名 signatures   {report.signatures}")
    if report.seconds:
        rate = report.size / report.seconds
        lines.append(f"用时 time         {report.seconds:.1f} s, {rate:,.0f} 条/秒 entries/s")
    return lines


def _counts(report: AuditReport) -> list[str]:
    lines: list[str] = []
    by_issuer: dict[str, dict[int, int]] = {}
    for (issuer, kind), count in sorted(report.counts.items()):
        by_issuer.setdefault(issuer, {})[kind] = count
    for issuer, kinds in by_issuer.items():
        known = report.departments.get(issuer)
        name = f"{known.zh} {known.en}" if known else "未登记 not enrolled"
        lines.append(f"{issuer}  {name}")
        lines += [f"  {count:>9}  {KINDS[k].zh} {KINDS[k].name}" for k, count in kinds.items()]
    return lines


def _findings(report: AuditReport) -> list[str]:
    lines: list[str] = []
    by_code: dict[str, list[Finding]] = {}
    for finding in report.findings:
        by_code.setdefault(finding.code, []).append(finding)
    order = list(Severity)
    for code in sorted(by_code, key=lambda code: order.index(FINDINGS[code].severity)):
        words, total = FINDINGS[code], report.totals[code]
        lines.append(f"{_MARKS[words.severity]} {code} × {total}")
        lines += [f"    {words.zh}", f"    {words.en}"]
        shown = by_code[code][:_SHOWN_PER_CODE]
        lines += [f"      {line}" for line in map(where, shown) if line]
        if total > len(shown):
            lines.append(f"      … 另有 {total - len(shown)} 项 and {total - len(shown)} more")
        issuers = Counter(
            {issuer: n for (one, issuer), n in report.by_issuer.items() if one == code}
        )
        if len(issuers) > 1:
            parts = ", ".join(f"{issuer} {n}" for issuer, n in issuers.most_common())
            lines.append(f"      按部门 by department: {parts}")
    return lines


def where(finding: Finding) -> str:
    """Where a finding is, on one line: index, file, record, issuer, and what is known besides."""
    parts = [
        f"#{finding.index}" if finding.index is not None else "",
        finding.path or "",
        finding.record or "",
        finding.issuer or "",
        finding.detail,
    ]
    return "  ".join(filter(None, parts))


def _verdict(report: AuditReport) -> str:
    severities = {FINDINGS[code].severity for code in report.totals}
    if Severity.BROKEN in severities:
        return "结论：账本不可信 — the log is not what was signed"
    if Severity.RULE in severities:
        return "结论：账本完整，但有违反规则之处 — the log is whole, and rules were broken"
    if report.tree_only:
        return "结论：树完整 — the tree is whole"
    return "结论：账本完整，未发现违规 — the log is whole, and no rule was found broken"
