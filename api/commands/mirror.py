"""`zhenglian mirror`: keep a copy of somebody's log, and serve it.

    zhenglian mirror SOURCE FOLDER --vkey KEY [--vkey KEY2] [--policy FILE] | --pack FILE
    zhenglian mirror serve FOLDER

Neither needs a city. Exit status of the first: 0 the mirror is up to date, 2 it was refused.
"""

import contextlib
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

from api.commands.options import Host, Port, Source, Zipped, existing_file
from api.commands.proposals import read_policy
from api.commands.serving import answer, listen
from api.errors import ServiceError
from api.observe import log_as_json
from keys.errors import ZhenglianError
from ledger.mirror import DELAYS, READERS, Mirrored, mirror
from ledger.mirror_trust import Demands
from ledger.readside import ReadSide, open_source
from verifier.note import VerifierKey, parse_vkey
from verifier.plural import noun
from verifier.policy import Policy, parse_policy
from verifier.terminal import read_pack_file

_FATAL: Final = frozenset({"mirror-forked", "mirror-damaged", "ledger-export-foreign"})
"""What no later attempt mends: a person has to look."""
_console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)


class _CopyUnlessNamed(TyperGroup):
    """`mirror SOURCE FOLDER` is `mirror copy SOURCE FOLDER`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["copy", *args]
        return super().parse_args(ctx, args)


mirror_commands = typer.Typer(
    name="mirror",
    cls=_CopyUnlessNamed,
    help="账本镜像：复制并持续更新他人的账本，只读提供 Copy a log, keep it up to date, serve it",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@mirror_commands.command("copy")
def copy_command(
    source: Source,
    folder: Annotated[
        Path, typer.Argument(help="镜像文件夹，可容多个账本 Folder of the mirror, for any number")
    ],
    vkey: Annotated[
        list[str] | None,
        typer.Option(
            help="账本公钥，可重复（Ed25519 与 ML-DSA-44）Its vkey; repeat it for the second key"
        ),
    ] = None,
    policy: Annotated[Path | None, existing_file("见证策略 Witness policy (C2SP)")] = None,
    pack: Annotated[
        Path | None,
        existing_file("离线核验包：公钥、见证策略、检查点 Trust pack: keys, policy, a checkpoint"),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(
            "--every", min=1, help="每隔多少秒更新一次 Seconds between updates", show_default=False
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="只更新一次（默认）Once, which is the default")
    ] = False,
    zipped: Zipped = False,
    readers: Annotated[
        int, typer.Option(min=1, max=64, help="同时读取数 Requests at a time")
    ] = READERS,
) -> None:
    """复制账本（`copy` 可省略）：先核验，后替换检查点 Copy a log: checked, then believed."""
    if once and every is not None:
        raise ServiceError("mirror-once-or-every")
    demands = demands_of(vkey or [], policy, pack)
    read = open_source(source)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            try:
                _report(_copy(read, folder, demands, zipped=zipped, readers=readers))
            except ZhenglianError as error:
                if every is None or error.code in _FATAL:
                    raise
                _console.print(f"{error.zh} {error.en} ({error.detail}) [{error.code}]")
            if every is None:
                return
            time.sleep(every)


@mirror_commands.command("serve")
def serve_command(
    folder: Annotated[
        Path,
        typer.Argument(
            exists=True, file_okay=False, help="镜像或导出的文件夹 Mirrored or exported folder"
        ),
    ],
    host: Host = "127.0.0.1",
    port: Port = 8094,
) -> None:
    """只读提供镜像 (C2SP tlog-tiles) Serve a mirror, or an exported log, read-only."""
    from api.mirror_app import head_of, logs_in, mirror_app

    log_as_json()
    with listen(host, port, setting="--port") as listener:
        where = f"http://{host}:{listener.getsockname()[1]}"
        for name, log in logs_in(folder).items():
            head = head_of(log)
            sys.stdout.write(f"{where}/{name}  {head.size}  {head.origin}\n")
        _console.print(f"镜像已就绪 ready  {where}/")
        sys.stdout.flush()
        answer(mirror_app(folder), listener)


def demands_of(vkeys: list[str], policy: Path | None, pack: Path | None) -> Demands:
    """What a checkpoint must bear, from a command's arguments.

    The keys are those given, else the pack's, else those of the policy's first log; a policy file
    goes before the pack's policy. `mirror-no-key` if nothing names one, `mirror-log-keys` for keys
    of several names, or more than two.
    """
    keys = [parse_vkey(text) for text in vkeys]
    stated: Policy | None = None
    known: bytes | None = None
    if pack is not None:
        trust = read_pack_file(pack, log_key=keys[0].text() if keys else None).trust
        stated, known = trust.policy, trust.checkpoint
        second = trust.authorities.log_pq_key
        keys = keys if len(keys) > 1 else [trust.log_key, *([second] if second else [])]
    if policy is not None:
        stated = parse_policy(read_policy(policy))
        keys = keys or _first_log(stated)
    if not keys:
        raise ServiceError("mirror-no-key")
    if len(keys) > 2 or len({key.name for key in keys}) > 1 or len(set(keys)) < len(keys):
        raise ServiceError("mirror-log-keys", ", ".join(key.text()[:64] for key in keys))
    return Demands(keys[0], keys[1] if len(keys) > 1 else None, stated, known)


def _first_log(policy: Policy) -> list[VerifierKey]:
    keys = [log.key for log in policy.logs]
    return [key for key in keys if key.name == keys[0].name]


def _copy(
    read: ReadSide, folder: Path, demands: Demands, *, zipped: bool, readers: int
) -> Mirrored:
    with Progress(
        TextColumn("镜像 mirroring"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=_console,
        transient=True,
        disable=not _console.is_terminal,
    ) as bar:
        task = bar.add_task("", total=None)
        return mirror(
            read,
            folder,
            demands,
            sleep=_say_and_sleep,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            readers=readers,
            zipped=zipped,
        )


def _say_and_sleep(seconds: float) -> None:
    """Before a read is repeated; said at the first of the repetitions of each."""
    if seconds == DELAYS[0]:
        _console.print(
            f"一次读取未成，重试中，至多 {sum(DELAYS):g} 秒 "
            f"a read failed: trying again for up to {sum(DELAYS):g} s"
        )
    time.sleep(seconds)


def _report(done: Mirrored) -> None:
    _console.print(
        f"{done.origin}: {done.before} → {done.size} 条 {noun(done.size, 'entry', 'entries')}, "
        f"{done.fetched} 个文件 {noun(done.fetched, 'file')}  {done.folder}"
    )
