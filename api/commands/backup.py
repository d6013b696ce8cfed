"""`zhenglian backup …`: the city's database in one file, and back. `zhenglian ledger check`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as Bar

from api.backup import STANDARD, check_backup, check_database, make_backup, restore_backup
from api.settings import Settings
from ledger.backup.inspection import Backup, Inspected
from ledger.backup.make import Progress
from verifier.plural import noun
from verifier.report import BEIJING

backup_app = typer.Typer(
    name="backup",
    help="备份与恢复数据库，SQLite 与 PostgreSQL 通用 Back up and restore the database",
    no_args_is_help=True,
)
ledger_app = typer.Typer(name="ledger", help="账本数据库 The ledger's database")
ledger_app.callback()(lambda: None)

FAULTS = 1
_ENDS = """
备份止于 {size} 条，最后一条 {last}；此后入账的内容不在其中。
The backup ends at {size} {entries}, the last of {last}; what was logged later is not in it.

接下来 Next:"""
_KEYS = """恢复密钥。 Restore the keys:
zhenglian custody restore FILE"""
_AFTER = (
    """确认旧数据库不再使用：两处各自入账即成分叉，无法补救。
Make sure that the old database is not used again: two that append are a fork.""",
    """向见证人、镜像、审计方、柜台查询：有人见过多于 {size} 条的检查点吗？
有则不要启动，另找更新的备份。
Ask witnesses, mirrors, auditors and counters: has anyone seen a checkpoint of more than
{size} {entries}? Then do not start, and look for a newer backup.""",
    """没有则启动，再用别处保存的检查点审计。
If not, start, and audit against a checkpoint kept elsewhere:
zhenglian serve
zhenglian audit URL --since CHECKPOINT""",
)
_console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
_File = Annotated[
    Path, typer.Argument(help="备份文件；- 为标准输入 The backup; - is standard input")
]


@backup_app.command("make")
def make_command(
    file: Annotated[
        Path,
        typer.Argument(help="新文件；- 为标准输出 File to write, a new one; - is standard output"),
    ],
) -> None:
    """备份数据库，服务不必停 Back up the database while the service runs; keys are not in it."""
    with _progress("备份 backing up") as progress:
        made = make_backup(Settings(), file, made_at=int(time.time()), progress=progress)
    _console.print(f"已备份 backed up: {'' if file == STANDARD else file}")
    _say(made)
    _console.print("密钥另行备份 keys are backed up apart: zhenglian custody backup FILE")


@backup_app.command("check")
def check_command(
    file: _File,
    vkey: Annotated[
        str | None, typer.Option(help="账本公钥；不符则拒绝 The log's vkey, which it must have")
    ] = None,
) -> None:
    """核查备份：摘要、行数、树、检查点签名 Check digest, rows, tree and signatures of a backup."""
    with _progress("核查 checking") as progress:
        checked = check_backup(file, vkey, progress)
    _console.print(f"备份完好 the backup is whole: {'' if file == STANDARD else file}")
    _say(checked)
    if vkey is None and checked.inspected.log_key is not None:
        _console.print(f"账本公钥 the log's key, to compare: {checked.inspected.log_key.text()}")


@backup_app.command("restore")
def restore_command(file: _File) -> None:
    """恢复到设置所指的空数据库 Restore into the database of the settings, which must be empty."""
    with _progress("恢复 restoring") as progress:
        restored, has_keys = restore_backup(Settings(), file, progress)
    _console.print("已恢复 restored")
    _say(restored)
    last = _time(restored.inspected.last_ms)
    size = restored.inspected.contents.size
    words = {"size": f"{size:,}", "entries": noun(size, "entry", "entries"), "last": last}
    _console.print(_ENDS.format(**words))
    steps = _AFTER if has_keys else (_KEYS, *_AFTER)
    for number, step in enumerate(steps, 1):
        _console.print(f"  {number}. " + step.format(**words).replace("\n", "\n     "))


@ledger_app.command("check")
def ledger_check_command() -> None:
    """只读核查数据库：条目、叶哈希、数据块、账本头、检查点 Check the live database, read-only."""
    with _progress("核查 checking") as progress:
        found, faults = check_database(Settings(), progress)
    for fault in faults:
        detail = f" ({fault.detail})" if fault.detail else ""
        _console.print(f"✗ {fault.zh} {fault.en}{detail} [{fault.code}]")
    if found is not None:
        _describe(found)
    if faults:
        count = len(faults)
        _console.print(
            f"发现 {count} 处不符；停止服务，保留此数据库备查，另库恢复备份。\n"
            f"{count} {noun(count, 'fault')}: stop the service, keep this database for the inquiry,"
            " restore a backup into another."
        )
        raise typer.Exit(FAULTS)
    _console.print("数据库前后一致 the database is consistent")


def _say(backup: Backup) -> None:
    _describe(backup.inspected)
    contents = backup.inspected.contents
    _console.print(
        f"  制作 made         {_time(contents.made_at * 1000)}, {contents.engine}\n"
        f"  大小 size         {backup.size:,} bytes\n"
        f"  摘要 SHA-256      {backup.digest.hex()}"
    )


def _describe(found: Inspected) -> None:
    contents, rows = found.contents, sum(found.rows.values())
    sizes = ", ".join(f"{checkpoint.size:,}" for checkpoint in found.checkpoints)
    _console.print(
        f"  账本 log          {contents.origin}\n"
        f"  条目 entries      {contents.size:,}, 最后 last {_time(found.last_ms)}\n"
        f"  全部行 rows       {rows:,}\n"
        f"  根 root           {contents.root.hex()}\n"
        f"  检查点 checkpoint {sizes}"
    )


def _time(milliseconds: int | None) -> str:
    """China Standard Time, ISO 8601."""
    if milliseconds is None:
        return "-"
    return datetime.fromtimestamp(milliseconds // 1000, UTC).astimezone(BEIJING).isoformat()


@contextmanager
def _progress(words: str) -> Iterator[Progress]:
    with Bar(console=_console, transient=True, disable=not _console.is_terminal) as bar:
        task = bar.add_task(words, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
