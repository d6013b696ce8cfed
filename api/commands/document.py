"""`zhenglian document`: logging files that a department issues, by a key in custody here."""

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from api.change_facts import scope_codes
from api.commands.options import existing_file
from api.commands.run import opened
from api.documents import log_file
from api.errors import ServiceError
from api.receipts import Receipts
from verifier.qr import format_qr, parse_qr
from verifier.statement import Statement
from verifier.terminal import write_whole

document_app = typer.Typer(
    name="document",
    help="部门文件：登记摘要 Files that departments issue: logging their digests.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_console = Console(stderr=True)


@document_app.callback()
def document() -> None:
    """部门文件：登记摘要 Files that departments issue: logging their digests."""


@document_app.command("log")
def log(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="已签发的文件 The issued file")
    ],
    department: Annotated[str, typer.Option(help="签发部门 Department that issued it")],
    type_: Annotated[
        str | None, typer.Option("--type", help="所属证照类型，代码或简称 Type: code or slug")
    ] = None,
    replaces: Annotated[
        Path | None, existing_file("前一版的 .zl 文件 The .zl of the version before")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="输出文件夹，默认与文件同处 Folder to write to"),
    ] = None,
) -> None:
    """登记文件的加盐摘要，写出持有人保存的码与回执 Log a file's salted digest.

    Writes what the file's holder keeps: FILE.zl, the text of a code, and FILE.receipt.
    """
    folder = file.parent if out is None else out
    code, receipt = folder / f"{file.name}.zl", folder / f"{file.name}.receipt"
    for path in (code, receipt):
        if path.exists():
            raise ServiceError("document-kept-already", str(path))
    with file.open("rb") as opened_file:
        digest = hashlib.file_digest(opened_file, "sha256").hexdigest()
    fields = {"name": file.name, "sha256": digest, "size": file.stat().st_size}
    before = None if replaces is None else _statement(replaces)
    with closing(opened()) as city:
        type_code = None if type_ is None else scope_codes(city, department, [type_])[0]
        done = log_file(city, department, fields, type_code=type_code, replaces=before)
        found = Receipts(city).inclusion(done.logged.index)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(code, format_qr(done.statement, [done.disclosure]).encode() + b"\n")
        if found is not None:
            write_whole(receipt, found)
    kept = f"{code}" if found is None else f"{code}, {receipt}"
    _console.print(f"序号 index {done.logged.index}: {kept}", soft_wrap=True)
    if found is None:
        _console.print(
            "回执待见证方联署后获取 the receipt can be had once witnesses have cosigned: "
            f"/scitt/entries/{done.logged.leaf.hex()}",
            soft_wrap=True,
        )


def _statement(path: Path) -> Statement:
    return parse_qr(path.read_text(encoding="ascii", errors="replace").strip()).statement
