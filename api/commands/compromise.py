"""`zhenglian key affected` and `key resign`: what a leaked key signed, and issuing it anew."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from api.affected import STEPS, Affected, Step, affected, affected_json, compromised_key
from api.city import City
from api.commands.options import existing_file
from api.commands.run import opened
from api.commands.stopping import stoppable
from api.errors import ServiceError
from api.imports.report import words
from api.licences import Licences
from api.resign import Outcome, Resigner
from api.rules.days import CHINA
from verifier.authorities import EnrolledKey
from verifier.kinds import KINDS, LICENCE
from verifier.plural import noun
from verifier.states import BY_NAME

CLIENT: Final = "command-line"
SOME_LEFT: Final = 1
"""Exit code where an entry could not be dealt with."""
COLUMNS: Final = (
    "record_id", "index", "issued_at", "kind", "type", "state", "own", "successor", "step",
    "step_zh",
)  # fmt: skip
Kid = Annotated[str, typer.Argument(help="密钥标识 Id of the compromised key, 16 hex digits")]
_RECORD: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_STYLES: Final = {Step.FOREIGN: "red", Step.RESIGN: "bold", Step.CONFIRM: "bold"}
_console = Console(stderr=True)
_PHASES: Final = {
    "recorded": "已记录",
    "published": "公示中",
    "corrected": "已更正",
    "disputed": "异议中",
    "published-disputed": "公示中（异议）",
    "ended": "已结束",
}


def affected_command(
    kid: Kid,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="全部写入 CSV 文件 Write all of it as CSV")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="全部写入 JSON 文件 Write all of it as JSON")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="屏幕上列出的条数 Entries on the screen")] = 40,
) -> None:
    """列出泄露密钥签发、不再有效的文书 List what a compromised key signed that does not count."""
    with closing(opened()) as city, closing(_Files(csv_file, json_file)) as files:
        key = compromised_key(city, _kid(kid))
        shown, steps, kinds = list[Affected](), Counter[Step](), Counter[int]()
        with _progress(city, "查找 looking") as looked:
            for entry in affected(city, key, looked):
                files.write(entry)
                steps[entry.step] += 1
                kinds[entry.kind] += 1
                if len(shown) < rows:
                    shown.append(entry)
        console = Console(highlight=False)
        console.print(_heading(city, key), soft_wrap=True)
        if shown:
            console.print(_table(city, shown))
        _print_counts(console, steps, kinds, len(shown))
        if steps[Step.RESIGN] or steps[Step.CONFIRM]:
            console.print(
                f"登记新密钥后换发 once a new key is enrolled:  zhenglian key resign {kid.lower()}",
                soft_wrap=True,
            )


def resign_command(
    kid: Kid,
    records: Annotated[
        Path | None,
        existing_file(
            "只办理清单所列：每行一个记录号，或 affected 的 CSV "
            "Only these: one record id a line, or the CSV of `affected`"
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="只清点，不写入账本 Count, write nothing")
    ] = False,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", help="新旧证照对照写入 CSV 文件 Write old and new record ids as CSV"),
    ] = None,
) -> None:
    """用新密钥批量换发；可中断，重复执行即继续 Issue anew in bulk; run again to go on."""
    wanted = None if records is None else _read_records(records)
    with closing(opened()) as city:
        resigner = Resigner(
            Licences(city), _kid(kid), client=CLIENT, records=wanted, dry_run=dry_run
        )
        with _progress(city, "换发 issuing") as looked, stoppable(_console) as stop:
            outcome = resigner.run(lambda done: looked(done.next or city.ledger.size), stop)
        _write_pairs(csv_file, outcome)
        _print_outcome(Console(highlight=False), city, resigner.key, outcome, dry_run)
    if outcome.next is not None:
        raise typer.Exit(130)
    if outcome.left:
        raise typer.Exit(SOME_LEFT)


def _kid(text: str) -> bytes:
    try:
        kid = bytes.fromhex(text)
    except ValueError:
        kid = b""
    if len(kid) != 8:
        raise ServiceError("request-invalid", f"KID: {text[:40]}")
    return kid


# what is printed


def _heading(city: City, key: EnrolledKey) -> str:
    department, compromise = city.authorities.departments[key.issuer], key.compromise
    since = "" if compromise is None else f"{_local(compromise.since)} 起 since"
    before = "" if compromise is None else f"第 {compromise.before:,} 条起 from entry"
    return (
        f"\n[bold]{escape(department.zh)}[/] {escape(department.en)} · "
        f"密钥 key {key.kid.hex()} ({key.suite.name})\n已泄露 compromised: {since}；{before}\n"
    )


def _table(city: City, entries: list[Affected]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("序号\nindex", justify="right", no_wrap=True)
    table.add_column("所署时间\nsigned, it says", no_wrap=True)
    table.add_column("文书\nwhat", overflow="fold")
    table.add_column("现状\nstate", overflow="fold", min_width=4)
    table.add_column("记录号\nrecord", no_wrap=True)
    table.add_column("办理\nto do", overflow="fold")
    for entry in entries:
        table.add_row(
            f"{entry.index:,}",
            _local(entry.issued_at),
            escape(_what(city, entry)),
            _state(entry),
            entry.record_id,
            STEPS[entry.step][0],
            style=_STYLES.get(entry.step, "dim"),
        )
    return table


def _what(city: City, entry: Affected) -> str:
    """The type of a licence; of an act, its kind besides."""
    type_ = city.type_names.get(entry.type_code or "")
    name = (entry.type_code or "") if type_ is None else type_.zh
    return name if entry.kind == LICENCE else f"{name} {KINDS[entry.kind].zh}".strip()


def _state(entry: Affected) -> str:
    if entry.state is None:
        return "—"
    legal = BY_NAME.get(entry.state)
    return _PHASES[entry.state] if legal is None else legal.zh


def _print_counts(console: Console, steps: Counter[Step], kinds: Counter[int], shown: int) -> None:
    total = steps.total()
    if total > shown:
        console.print(
            f"… 另有 {total - shown:,} 条未列出，用 --csv 取得全部 more: --csv writes all of them\n"
        )
    by_kind = "，".join(f"{KINDS[kind].zh} {count:,}" for kind, count in sorted(kinds.items()))
    entries = noun(total, "entry", "entries")
    console.print(f"[bold]共 {total:,} 条 {entries}[/]" + (f"：{by_kind}" if total else ""))
    _print_steps(console, steps)


def _print_steps(console: Console, steps: Counter[Step]) -> None:
    for step, (zh, en) in STEPS.items():
        if steps[step]:
            console.print(f"  {steps[step]:>9,}  {zh} {en}", soft_wrap=True)


def _print_outcome(
    console: Console, city: City, key: EnrolledKey, outcome: Outcome, dry_run: bool
) -> None:
    console.print(_heading(city, key), soft_wrap=True)
    if dry_run:
        console.print("试运行，未写入账本 dry run, nothing written. 清点 what was found:")
        _print_steps(console, outcome.counts)
    else:
        console.print(f"  {len(outcome.resigned):>9,}  已换发新证 issued anew")
        console.print(f"  {len(outcome.confirmed):>9,}  已重新签署 acts signed again")
        rest = Counter(outcome.counts)
        del rest[Step.RESIGN], rest[Step.CONFIRM]
        _print_steps(console, rest)
    for code, count in Counter(left.code for left in outcome.left).most_common():
        zh, en = words(code)
        console.print(f"  {count:>9,}  未能办理 not done: {zh} {en} \\[{code}]", soft_wrap=True)
    if outcome.next is not None:
        console.print("已停止；再次执行同一命令即可继续 stopped: the same command goes on")


def _local(seconds: int) -> str:
    """In China, to the minute."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC) + CHINA:%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError):
        return str(seconds)


@contextmanager
def _progress(city: City, what: str) -> Iterator[Any]:
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=_console, transient=True) as progress:
        task = progress.add_task("", total=city.ledger.size)
        yield lambda index: progress.update(task, completed=index)


# files


def _private(path: Path) -> TextIO:
    """A new file that only its owner reads."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return os.fdopen(descriptor, "w", encoding="utf-8", newline="")


class _Files:
    """Writes every entry to the files that are wanted."""

    def __init__(self, csv_file: Path | None, json_file: Path | None) -> None:
        self._stack = ExitStack()
        self._rows = self._array = None
        if csv_file is not None:
            file = self._stack.enter_context(_private(csv_file))
            file.write("\ufeff")  # for spreadsheets, which would guess otherwise
            self._rows = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\r\n")
            self._rows.writeheader()
        if json_file is not None:
            self._array = self._stack.enter_context(_private(json_file))
            self._array.write("[")
            self._stack.callback(self._array.write, "\n]\n")
            self._between = "\n"

    def write(self, entry: Affected) -> None:
        shown = affected_json(entry)
        if self._rows is not None:
            self._rows.writerow(shown)
        if self._array is not None:
            self._array.write(self._between + json.dumps(shown, ensure_ascii=False))
            self._between = ",\n"

    def close(self) -> None:
        self._stack.close()


def _write_pairs(path: Path | None, outcome: Outcome) -> None:
    if path is None:
        return
    with _private(path) as file:
        file.write("\ufeff")
        rows = csv.writer(file, lineterminator="\r\n")
        rows.writerow(("old", "new", "index"))
        rows.writerows((each.old, each.new, each.index) for each in outcome.resigned)


def _read_records(path: Path) -> list[str]:
    """The first cell of every line; a line that names columns is passed over."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        cell = line.partition(",")[0].strip()
        if not cell or (number == 1 and cell == COLUMNS[0]):
            continue
        if not _RECORD.fullmatch(cell):
            raise ServiceError("resign-list-malformed", f"{path.name}: {number}")
        found.append(cell)
    return found
