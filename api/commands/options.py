"""Arguments and options that commands of several modules have: one meaning, one wording."""

from pathlib import Path
from typing import Annotated, Any

import typer


def existing_file(help: str) -> Any:
    """An option that names a file, which must be there."""
    return typer.Option(exists=True, dir_okay=False, help=help)


# reading a log

Source = Annotated[
    str, typer.Argument(help="网址、文件夹或归档 URL, folder or archive of a log's read side")
]
Vkey = Annotated[str | None, typer.Option(help="账本密钥 The log's key, as a C2SP verifier key")]
Processes = Annotated[
    int | None, typer.Option(min=1, max=256, help="进程数 Processes; all cores if absent")
]
Holidays = Annotated[
    list[Path] | None,
    existing_file("某年的节假日文件，可重复 Holidays of a year, as TOML; repeatable"),
]
AsJson = Annotated[bool, typer.Option("--json", help="输出 JSON Write JSON")]

# writing a log's files, and serving

Zipped = Annotated[
    bool,
    typer.Option("--gzip", help="条目包另存 .gz，供 nginx 直接发送 A .gz beside each bundle"),
]
Host = Annotated[str, typer.Option(help="监听地址 Address to listen on")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="端口 Port")]

# what officers sign

As = Annotated[str, typer.Option("--as", help="经办人代号 Duty name of the officer who signs")]
Keys = Annotated[
    Path, typer.Option("--keys", help="经办人自己的密钥文件夹 The officer's own key folder")
]
Out = Annotated[Path | None, typer.Option("--out", help="写入此文件 File to write")]
Days = Annotated[int, typer.Option(min=0, max=30, help="提案有效天数 Days before it lapses")]
