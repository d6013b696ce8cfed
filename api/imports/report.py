"""What an import did: a report for people and for programs, and the error file."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from api.errors import ServiceError
from api.imports.jobs import Job, RowFault
from keys.errors import KeysError
from ledger.errors import LedgerError
from verifier.errors import Refused
from verifier.states import BY_NAME

COLUMNS = ("row", "field", "code", "reason_zh", "reason_en", "detail")
"""Of the error file. `row` is the line on which the row begins, from 1; no value is repeated."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def error_csv(faults: Iterable[RowFault]) -> str:
    """The error file, with a byte-order mark for spreadsheets, which would guess otherwise."""
    out = io.StringIO()
    out.write("\ufeff")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for fault in faults:
        zh, en = words(fault.code)
        writer.writerow((fault.line, fault.field, fault.code, zh, en, _inert(fault.detail)))
    return out.getvalue()


def _inert(text: str) -> str:
    """No spreadsheet takes it for a formula."""
    return "'" + text if text.startswith(_FORMULA) else text


def words(code: str) -> tuple[str, str]:
    """Both languages of an error code of any floor."""
    for table in (ServiceError, LedgerError, Refused, KeysError):
        if code in table.WORDS:
            return table.WORDS[code]
    return code, code


def report(job: Job) -> dict[str, Any]:
    """The report as JSON. `refused_by_code` counts rows, a row of several faults under each."""
    counts = job.counts
    seconds = round(job.work_ms / 1000, 3)
    read = counts.get("read", 0)
    refused = _part(counts, "refused ")
    duplicates = refused.pop("import-row-duplicate", 0)
    return {
        "id": job.id,
        "state": job.state,
        "fault": job.fault,
        "dry_run": job.dry_run,
        "type": job.type_code,
        "file": job.file_name,
        "sha256": job.file_hash.hex(),
        "rows": {"total": job.total, "taken": job.position, "read": read},
        "skipped": counts.get("skipped", 0),
        "issued": counts.get("issued", 0),
        "renewed": counts.get("renewed", 0),
        "ended": _part(counts, "ended "),
        "duplicates": duplicates,
        "refused": counts.get("refused", 0),
        "refused_by_code": refused,
        "seconds": seconds,
        "rows_per_second": round(read / seconds, 1) if seconds else None,
    }


def report_json(job: Job) -> str:
    return json.dumps(report(job), ensure_ascii=False, indent=2) + "\n"


def report_text(job: Job) -> str:
    """The report for people, Chinese first."""
    found = report(job)
    would = "（试运行，未写入账本 dry run, nothing written）" if job.dry_run else ""
    lines = [
        f"导入 import {found['id']} · {found['file']} · {_STATE[job.state]}{would}",
        f"  读取 rows read     {found['rows']['read']:>9,} / {job.total:,}",
        f"  跳过 skipped       {found['skipped']:>9,}",
        f"  新发 issued        {found['issued']:>9,}",
        f"  延续 renewed       {found['renewed']:>9,}",
    ]
    for name, count in found["ended"].items():
        state = BY_NAME[name]
        lines.append(f"  {state.zh} {state.name:<14} {count:>9,}")
    lines += [
        f"  重复 duplicates    {found['duplicates']:>9,}",
        f"  退回 refused       {found['refused']:>9,}",
    ]
    for code, count in found["refused_by_code"].items():
        zh, en = words(code)
        lines.append(f"    {count:>9,}  {zh} {en} [{code}]")
    if found["fault"]:
        zh, en = words(found["fault"])
        lines.append(f"  中断原因 failed: {zh} {en} [{found['fault']}]")
    rate = found["rows_per_second"]
    lines.append(f"  用时 seconds       {found['seconds']:>9.1f}  ({rate or 0:,.0f} 行/秒 rows/s)")
    return "\n".join(lines) + "\n"


_STATE = {
    "running": "进行中 running",
    "stopped": "已停止，可继续 stopped, may go on",
    "done": "完成 done",
    "failed": "中断，可继续 failed, may go on",
}


def _part(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    """Counts under a prefix, the largest first."""
    found = {name.removeprefix(prefix): n for name, n in counts.items() if name.startswith(prefix)}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner reads: what a row was refused for is nobody else's."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8", newline="")
