"""`zhenglian import`: many licences from one file, with progress, resumable."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.city import City
from api.commands.run import opened
from api.commands.stopping import stoppable
from api.errors import ServiceError
from api.imports.engine import Importer, open_source
from api.imports.jobs import DONE, STOPPED, Job, Jobs
from api.imports.mapfile import CheckedMap, read_map
from api.imports.reader import format_of
from api.imports.report import error_csv, report_json, report_text, write_private
from api.licences import Licences
from verifier.plural import noun

CLIENT = "command-line"
SOME_REFUSED = 1
"""Exit code of an import that is done and refused some rows; duplicates are not refusals."""
_console = Console(stderr=True)


def import_command(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV 或 NDJSON 文件 The file")
    ],
    map_file: Annotated[
        Path,
        typer.Option(
            "--map", exists=True, dir_okay=False, help="字段对照文件 Map file (docs/importing.md)"
        ),
    ],
    type_name: Annotated[
        str | None, typer.Option("--type", help="证照类型 Licence type: code or slug")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="只校验，不写入账本 Validate all, write nothing")
    ] = False,
    errors: Annotated[
        Path | None, typer.Option(help="错误文件 Error file; default FILE.errors.csv")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="报告 Report as JSON; default FILE.report.json")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="继续已开始的导入 Only go on with an import that was begun"),
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", help="结果所在目录 Folder for both; default: here")
    ] = None,
) -> None:
    """批量导入证照；可中断，重复执行即继续 Import licences; run again to go on after a stop."""
    with closing(opened()) as city:
        job = run_import(city, file, _map_text(map_file), type_name, dry_run, resume)
        folder = output or Path()
        folder.mkdir(parents=True, exist_ok=True)
        name = file.name + (".dry-run" if dry_run else "")
        error_file = errors or folder / f"{name}.errors.csv"
        report_file = report or folder / f"{name}.report.json"
        write_private(error_file, error_csv(Jobs(city).errors(job.id)))
        write_private(report_file, report_json(job))
    sys.stdout.write(report_text(job))
    sys.stdout.write(f"  错误文件 errors     {error_file}\n  报告 report         {report_file}\n")
    if job.state == STOPPED:
        sys.stdout.write("已停止；再次执行同一命令即可继续 stopped: the same command goes on\n")
        raise typer.Exit(130)
    if job.counts.get("refused"):
        raise typer.Exit(SOME_REFUSED)


def _map_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ServiceError("import-map-invalid", f"{path.name}: UTF-8") from error


def run_import(
    city: City,
    file: Path,
    map_text: str,
    type_name: str | None,
    dry_run: bool,
    resume: bool,
) -> Job:
    """Begins or goes on with the import of a file, with a bar on stderr."""
    checked = read_map(map_text, city.catalogue, type_name)
    city.signer(checked.type.issuer)  # without it no row could be signed
    source = open_source(file, format_of(file))
    jobs = Jobs(city)
    map_hash = sha256(map_text.encode()).digest()
    if resume and jobs.find(source.hash, map_hash, checked.type.code) is None:
        raise ServiceError("import-unknown", file.name)
    job = jobs.begin(
        client=CLIENT,
        department=checked.type.issuer,
        type_code=checked.type.code,
        file_name=file.name,
        file_hash=source.hash,
        map_text=map_text,
        map_hash=map_hash,
        dry_run=dry_run,
    )
    if job.state == DONE:
        _console.print("该文件已导入完毕，未再签发 this file was imported already: nothing to do")
        return job
    if job.position:
        rows = f"{job.position:,} {noun(job.position, 'row')}"
        _console.print(f"从第 {job.position:,} 行继续 going on after {rows}")
    importer = Importer(Licences(city), jobs, job, checked, source)
    with stoppable(_console) as importer.stop, _bar(importer, checked, job):
        return importer.run()


@contextmanager
def _bar(importer: Importer, checked: CheckedMap, job: Job) -> Iterator[None]:
    columns = (
        TextColumn(checked.type.zh),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console, disable=not _console.is_terminal) as progress:
        task = progress.add_task("import", total=None, completed=job.position, rate="")

        def show(done: int, total: int, _counts: Mapping[str, int]) -> None:
            speed = progress.tasks[0].speed
            rate = "" if not speed else f"{speed:,.0f} 行/秒 rows/s"
            progress.update(task, completed=done, total=total, rate=rate)

        importer.progress = show
        yield
