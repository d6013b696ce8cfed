"""`zhenglian pack`: making packs here, and what counters do with theirs (`verifier.pack_cli`)."""

import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from api.commands.options import existing_file
from api.commands.run import opened
from api.pack_source import HttpPackSource
from api.packs import make_pack, make_shelf, update_from
from verifier import pack_cli
from verifier.terminal import prepare_streams, read_limited, read_pack_file, write_whole

app = typer.Typer(
    help="离线核验包：生成、查看、更新、核验 Trust packs: make, show, update, verify.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_console = Console(stderr=True)
_AS_GIVEN: Final = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command("make")
def make(
    out: Annotated[
        Path, typer.Argument(help="输出文件；- 为标准输出 Output file; - is standard output")
    ],
    since: Annotated[
        Path | None,
        existing_file(
            "柜台现有的包：生成其增量更新 The pack a counter holds: makes an update from it"
        ),
    ] = None,
) -> None:
    """生成离线核验包，或其增量更新 Make a trust pack for counters, or an update of one."""
    with closing(opened()) as city:
        data = make_pack(city)
        make_shelf(city).put(data, city.now())
        if since is not None:
            read_pack_file(since, log_key=city.trust().log_key.text())
            data = update_from(city, read_limited(since), data)
    if str(out) == "-":
        sys.stdout.buffer.write(data)
    else:
        write_whole(out, data)
        _console.print(f"{out}: {len(data):,} bytes", soft_wrap=True)


@app.command("show", context_settings=_AS_GIVEN, add_help_option=False)
def show(context: typer.Context) -> None:
    """查看核验包：来源、密钥状态、时限 Show whose it is, which keys in which state, how old."""
    _as_given("show", context)


@app.command("update", context_settings=_AS_GIVEN, add_help_option=False)
def update(context: typer.Context) -> None:
    """从服务或文件更新现有的包 Update the pack held from a service or a file, after every check."""
    _as_given("update", context)


@app.command("verify", context_settings=_AS_GIVEN, add_help_option=False)
def verify(context: typer.Context) -> None:
    """核验包中全部签名与证明 Verify every signature and proof in a pack."""
    _as_given("verify", context)


def _as_given(name: str, context: typer.Context) -> None:
    colour, width = prepare_streams()
    raise typer.Exit(
        pack_cli.run(
            [name, *context.args],
            sys.stdout,
            sys.stderr,
            int(time.time()),
            colour=colour,
            width=width,
            connect=HttpPackSource,
        )
    )
