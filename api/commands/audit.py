"""`zhenglian audit`: rebuild a log from what it publishes, and name what is wrong with it.

    zhenglian audit URL|DIR|ARCHIVE [--trust PACK | --vkey TEXT] [--since CHECKPOINT] [--json]

Who must have cosigned is what the ledger's own statements say; `--policy` is for logs of others.

Exit status: 0 clean, 1 something was found, 2 the audit could not be made.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.commands.options import AsJson, Holidays, Processes, Source, Vkey, existing_file
from api.commands.proposals import read_policy
from api.errors import ServiceError
from api.rules.workdays import Calendar, add_workdays, load_calendar
from ledger.audit.findings import FINDINGS, Severity
from ledger.audit.report import AuditReport, render
from ledger.audit.run import audit
from ledger.readside import open_source
from verifier.note import MAX_NOTE_SIZE
from verifier.pack import Pack
from verifier.policy import parse_policy
from verifier.terminal import read_limited, read_pack_file

FOUND = 1
_STYLES = {Severity.BROKEN: "red", Severity.RULE: "yellow", Severity.UNCHECKED: "dim"}


def audit_command(
    source: Source,
    trust: Annotated[
        Path | None,
        existing_file(
            "离线核验包：密钥、检查点，并核对有无遗漏 Trust pack: key, checkpoint; complete?"
        ),
    ] = None,
    vkey: Vkey = None,
    since: Annotated[
        Path | None, existing_file("以前保存的检查点，核查未被改写 An older checkpoint of this log")
    ] = None,
    policy: Annotated[
        Path | None,
        existing_file(
            "见证策略（C2SP），代替账本自身所载 Witness policy in place of the ledger's own"
        ),
    ] = None,
    save_checkpoint: Annotated[
        Path | None,
        typer.Option(help="通过后保存检查点，供下次 --since Keep the checkpoint for next time"),
    ] = None,
    tree_only: Annotated[
        bool,
        typer.Option("--tree-only", help="只核查树，条目可为任意内容 The tree alone: any log"),
    ] = False,
    processes: Processes = None,
    calendar: Holidays = None,
    as_json: AsJson = False,
) -> None:
    """审计账本：重建根，核对每个签名与流程 Audit a log from its public read side alone."""
    pack = None if trust is None else read_pack_file(trust, log_key=vkey)
    demanded = None if policy is None else parse_policy(read_policy(policy))
    console = Console(stderr=True)
    with Progress(
        TextColumn("审计 auditing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=None)
        report = audit(
            open_source(source),
            workdays_after=workdays_after(load_calendar(*(calendar or ()))),
            now=int(time.time()),
            log_vkey=vkey if pack is None else pack.trust.log_key.text(),
            previous=_older(pack) if since is None else read_limited(since, MAX_NOTE_SIZE),
            policy=demanded,
            pack=pack,
            tree_only=tree_only,
            processes=processes or os.cpu_count() or 1,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            clock=time.monotonic,
        )
    _write(report, as_json=as_json)
    if save_checkpoint is not None and report.ok:
        save_checkpoint.write_bytes(report.checkpoint)
    raise typer.Exit(0 if report.ok else FOUND)


def workdays_after(calendar: Calendar) -> Callable[[date, int], date | None]:
    """The audit's view of a calendar: None where a year is missing."""

    def after(day: date, count: int) -> date | None:
        try:
            return add_workdays(day, count, calendar)
        except (ServiceError, OverflowError):
            return None

    return after


def _older(pack: Pack | None) -> bytes | None:
    """A checkpoint that the log must not have gone back on."""
    return None if pack is None else pack.trust.checkpoint


def _write(report: AuditReport, *, as_json: bool) -> None:
    if as_json:
        json.dump(report.to_json(), sys.stdout, ensure_ascii=False, indent=2)
        sys.stdout.write("\n")
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in render(report):
        code = line[2:].partition(" ")[0]
        style = _STYLES[FINDINGS[code].severity] if code in FINDINGS else None
        console.print(escape(line), style=style)
