"""A round for people, Chinese first, and for machines."""

from collections import Counter
from typing import Any, Final

from ledger.audit.findings import Finding
from ledger.audit.report import where
from ledger.monitor.findings import FINDINGS, OVERRIDDEN, finding_json
from ledger.monitor.round import Round
from verifier.report import clock, plain

_SHOWN = 10
_STANDING: Final = {OVERRIDDEN: "见证例外在行 override stands"}
ALARM = "!!!"


def round_json(done: Round) -> dict[str, Any]:
    """For `json.dumps`. Times in Unix seconds."""
    return {
        "ok": done.ok,
        "read": done.read,
        "round": done.number,
        "at": done.at,
        "origin": done.origin,
        "log_key": done.log_key,
        "trust": done.trust,
        "size": done.size,
        "new_entries": done.size - done.before,
        "places": [{"name": n, "size": size, "is": how} for n, size, how in done.views],
        "new": [finding_json(finding) for finding in done.new],
        "alarms": [
            {
                **finding_json(alarm.finding),
                "since": alarm.since,
                "acknowledged": alarm.acknowledged,
            }
            for alarm in done.alarms
        ],
        "notices": [finding_json(finding) for finding in done.notices],
        "standing": [finding_json(finding) for finding in done.standing],
    }


def render_round(done: Round, told: frozenset[str] = frozenset()) -> list[str]:
    """One line, then what was found; lines of alarms begin with `ALARM`. Notices whose text is in
    `told` were shown before and are left out."""
    lines = [_summary(done)]
    lines += [line for line in notices(done) if line not in told]
    if not done.ok:
        lines += _alarms(done)
    return lines


def notices(done: Round) -> list[str]:
    """What could not be checked, a line each."""
    return [plain(f"  – {_words(one)}  {where(one)}".rstrip()) for one in done.notices]


def _summary(done: Round) -> str:
    open_ = sum(not alarm.acknowledged for alarm in done.alarms)
    noted = len(done.alarms) - open_
    answered = sum(size is not None for _, size, _ in done.views)
    verdict = "读不到账本 log not read" if not done.read else "正常 ok"
    parts = [
        clock(done.at),
        f"第 {done.number} 轮 round",
        "告警 ALARM" if open_ else verdict,
        done.origin,
        f"规模 size {done.size} (+{done.size - done.before})",
        f"各处 places {answered}/{len(done.views)}",
        f"告警 alarms {open_}" + (f" (+{noted} 已知悉 noted)" if noted else ""),
        *(_STANDING[finding.code] for finding in done.standing),
    ]
    return plain("  ".join(parts))


def _alarms(done: Round) -> list[str]:
    """Those that are new in full, up to ten of each code; those that stand, by code."""
    lines = [f"{ALARM} 告警 ALARM  {done.origin}"]
    fresh = Counter(finding.code for finding in done.new)
    standing = Counter(one.finding.code for one in done.alarms if not one.acknowledged)
    for code, count in standing.items():
        since = min(one.since for one in done.alarms if one.finding.code == code)
        lines.append(
            f"{ALARM} {code} × {count}  自 since {clock(since)}"
            + (f"  新增 new {fresh[code]}" if fresh[code] else "")
        )
        lines += [f"{ALARM}   {FINDINGS[code].zh}", f"{ALARM}   {FINDINGS[code].en}"]
        shown = [one for one in done.new if one.code == code] or [
            one.finding for one in done.alarms if one.finding.code == code
        ]
        lines += [f"{ALARM}     {where(one)}" for one in shown[:_SHOWN]]
        if len(shown) > _SHOWN:
            lines.append(f"{ALARM}     … {len(shown) - _SHOWN}")
    return list(map(plain, lines))


def _words(finding: Finding) -> str:
    words = FINDINGS[finding.code]
    return f"{finding.code}  {words.zh} · {words.en}"
