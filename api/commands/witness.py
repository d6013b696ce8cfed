"""`zhenglian witness …`: a small service that watches logs, and what its operator needs.

Everything of a witness is in one folder: its keys in custody, its passphrase, its state. It needs
no city and none of a city's settings.
"""

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from api.commands.options import Host, Port
from api.commands.serving import answer, listen
from api.custody import file_custody
from api.observe import log_as_json
from api.passphrase import make_passphrase, read_passphrase
from api.rules.days import china_time
from api.settings import Settings
from api.witness_folder import STATE, make_signers, member, open_signers
from ledger.stores.witness import WitnessState, create_state, open_state
from ledger.witness import Evidence, WitnessedLog
from ledger.witness.errors import WitnessSetupError
from ledger.witness.model import FORK
from verifier.codec import b64encode
from verifier.errors import Refused
from verifier.note import NoteSigner, VerifierKey, check_key_name, parse_vkey
from verifier.split_view import format_split_view, make_split_view

witness_commands = typer.Typer(
    name="witness",
    help="见证人：核对账本只增不改，并联署其检查点 A witness cosigns what logs only add to",
    no_args_is_help=True,
)
_console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)

PASSPHRASE = "ZHENGLIAN_WITNESS_PASSPHRASE"
_MAX_NAME = 255  # bytes: what an ML-DSA-44 cosignature has room for
_KEEP_ALIVE = 75  # seconds: logs come back every few

Folder = Annotated[
    Path, typer.Option(help="见证人的文件夹 Folder of the witness", show_default="var/witness")
]
_FOLDER = Path("var/witness")


@witness_commands.command("init")
def init_command(
    name: Annotated[
        str, typer.Argument(help="名称，形如网址而无协议 Name, a URL without its scheme")
    ],
    folder: Folder = _FOLDER,
) -> None:
    """建立见证人：生成密钥与状态文件 Make a witness: its keys and its state."""
    check_key_name(name)
    if "://" in name:
        raise WitnessSetupError("witness-name", name)
    if len(name.encode()) > _MAX_NAME:
        raise WitnessSetupError("witness-name", f"above {_MAX_NAME} bytes")
    if (folder / STATE).exists():
        raise WitnessSetupError("witness-state-exists", str(folder))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = _settings(folder)
    custody = file_custody(settings, make_passphrase(settings))
    there = {entry.name for entry in custody.list()}
    if there:  # keys whose state is gone: what they have cosigned is not known any more
        raise WitnessSetupError("witness-state-missing", str(folder))
    keys = [one.key for one in make_signers(custody, name)]
    create_state(folder / STATE, keys).close()
    _console.print(
        f"见证人已建立 witness made  {name}\n"
        f"  文件夹 folder  {folder}\n"
        "  状态文件不得从备份恢复：恢复旧状态的见证人可能联署两份历史\n"
        "  never restore the state from a backup: an old state would cosign a second history\n"
        f"  下一步 next    {_again('add-log <vkey>', folder)}\n"
        f"                 {_again('serve', folder)}\n"
        f"  公钥 its keys  {_again('key', folder)}"
    )


@witness_commands.command("key")
def key_command(
    folder: Folder = _FOLDER,
    url: Annotated[
        str, typer.Option(help="提交地址 Submission prefix, for the lines of a policy")
    ] = "",
) -> None:
    """显示见证人公钥，以及交给账本运营者的 tlog-policy 行 Its vkeys, and its policy lines."""
    with _state(folder) as state:
        _print_policy(state.own_keys(), url)


@witness_commands.command("add-log")
def add_log_command(
    vkeys: Annotated[
        list[str], typer.Argument(help="账本公钥，可给多个 The log's vkeys", metavar="VKEY…")
    ],
    folder: Folder = _FOLDER,
    origin: Annotated[
        str, typer.Option(help="账本名，默认为密钥名称 Origin, where it is not the keys' name")
    ] = "",
    every: Annotated[
        bool, typer.Option("--all", help="须每个密钥都签名 Every key must have signed")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="更换已在册账本的密钥 Change the keys of a log")
    ] = False,
) -> None:
    """见证一个账本；无须重启 Witness a log from now on; a running witness need not be restarted."""
    keys = tuple(map(parse_vkey, vkeys))
    if len({key.name for key in keys}) != 1:
        raise WitnessSetupError("witness-log-keys", ", ".join(key.name for key in keys))
    log = WitnessedLog(origin or keys[0].name, keys, len(keys) if every else 1)
    with _state(folder) as state:
        if log.origin in {key.name for key in state.own_keys()}:
            raise WitnessSetupError("witness-name", log.origin)
        state.add_log(log, replace=replace)
    _console.print(f"开始见证 witnessing  {log.origin}")


@witness_commands.command("drop-log")
def drop_log_command(
    origin: Annotated[str, typer.Argument(help="账本名 Origin of the log")],
    folder: Folder = _FOLDER,
) -> None:
    """不再见证一个账本；其记录保留 Witness a log no longer; what is on record of it stays."""
    with _state(folder) as state:
        state.drop_log(origin)
    _console.print(f"不再见证 no longer witnessing  {origin}")


@witness_commands.command("logs")
def logs_command(folder: Folder = _FOLDER) -> None:
    """列出所见证的账本及其公钥 The logs that are witnessed, with their keys."""
    with _state(folder) as state:
        for log in state.logs():
            for key in log.keys:
                need = f"{log.at_least}/{len(log.keys)}"
                sys.stdout.write(f"{log.origin}\t{need}\t{key.text()}\n")


@witness_commands.command("show")
def show_command(folder: Folder = _FOLDER) -> None:
    """每个账本最近联署的检查点 The latest checkpoint cosigned of each log."""
    out = Console(soft_wrap=True, markup=False, highlight=False)
    with _state(folder) as state:
        evidence = state.evidence()
        logs = state.logs()
        for log in logs:
            recorded = state.recorded(log.origin)
            out.print(log.origin)
            if recorded is None:
                out.print("  尚未联署 nothing cosigned yet")
            else:
                out.print(f"  规模 size      {recorded.size}")
                out.print(f"  树根 root      {b64encode(recorded.root)}")
                out.print(f"  联署 cosigned  {china_time(recorded.stamp)}")
            against = [one for one in evidence if one.origin == log.origin]
            if against:
                forks = sum(one.kind == FORK for one in against)
                out.print(f"  不符 misfits   {len(against)}，其中分叉 of them forks {forks}")
        if not logs:
            _console.print(f"尚无账本 no logs yet: {_again('add-log <vkey>', folder)}")


@witness_commands.command("evidence")
def evidence_command(
    folder: Folder = _FOLDER,
    out: Annotated[
        Path | None, typer.Option(help="写入此文件夹 Folder to write the evidence to")
    ] = None,
) -> None:
    """账本签署、却与记录不符的检查点 Checkpoints that a log signed and that do not fit."""
    screen = Console(soft_wrap=True, markup=False, highlight=False)
    with _state(folder) as state:
        logs = {log.origin: log for log in state.logs()}
        found = state.evidence()
        for number, one in enumerate(found, 1):
            screen.print(f"{number}  {one.origin}  规模 size {one.size}  {china_time(one.seen)}")
            if one.kind == FORK:
                screen.print("   分叉：账本签署了两份历史 a fork: the log signed two histories")
            else:
                screen.print(
                    "   一致性证明不成立，尚不能断定 a proof that does not hold; undecided"
                )
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                for path in _write(one, number, out, logs.get(one.origin), state.own_keys()):
                    screen.print(f"   {path}")
    if not found:
        _console.print("没有 none")
    elif out is None:
        _console.print("用 --out 写出文件 write files with --out")


@witness_commands.command("serve")
def serve_command(
    folder: Folder = _FOLDER,
    host: Host = "127.0.0.1",
    port: Port = 8093,
) -> None:
    """运行见证服务 (C2SP tlog-witness) Serve the witness."""
    from api.witness_app import witness_app

    log_as_json()
    with listen(host, port, setting="--port") as listener, _state(folder) as state:
        name = state.own_keys()[0].name
        signers = _signers(folder, name)
        if {signer.key for signer in signers} != set(state.own_keys()):
            raise WitnessSetupError("witness-state-foreign", str(folder))
        where = listener.getsockname()
        _console.print(
            f"见证人已就绪 witness ready  {name}\n"
            f"  地址 address  http://{where[0]}:{where[1]}\n"
            f"  账本 logs     {len(state.logs())}\n"
            "  按 Ctrl-C 停止 to stop"
        )
        answer(witness_app(state, signers, time.time), listener, keep_alive=_KEEP_ALIVE)


def _again(words: str, folder: Path) -> str:
    """A command of this witness, as its operator types it."""
    option = "" if folder == _FOLDER else f" --folder {shlex.quote(str(folder))}"
    return f"zhenglian witness {words}{option}"


def _settings(folder: Path) -> Settings:
    """What custody needs to know; the city's own settings are not read."""
    passphrase = os.environ.get(PASSPHRASE, "")
    return Settings.model_construct(data=folder, passphrase=passphrase)


@contextmanager
def _state(folder: Path) -> Iterator[WitnessState]:
    with closing(open_state(folder / STATE)) as state:
        yield state


def _signers(folder: Path, name: str) -> Sequence[NoteSigner]:
    settings = _settings(folder)
    custody = file_custody(settings, read_passphrase(settings, PASSPHRASE))
    return open_signers(custody, name)


def _print_policy(keys: Sequence[VerifierKey], url: str) -> None:
    """The vkeys, one a line, then lines for a policy: the witness counts when both keys signed."""
    name = keys[0].name
    sys.stdout.write("".join(f"{key.text()}\n" for key in keys))
    sys.stdout.flush()
    _console.print("交给账本运营者 for the log's operator (C2SP tlog-policy):")
    for key in keys:
        sys.stdout.write(" ".join(filter(None, ["witness", member(key), key.text(), url])) + "\n")
    sys.stdout.write(" ".join(["group", name, "all", *map(member, keys)]) + "\n")


def _write(
    one: Evidence,
    number: int,
    folder: Path,
    log: WitnessedLog | None,
    witnesses: Sequence[VerifierKey],
) -> Iterator[Path]:
    """The two notes; of a fork, also the file that `zhenglian verify` confirms."""
    for what, data in (("presented", one.note), ("recorded", one.against)):
        path = folder / f"{number}-{what}.txt"
        path.write_bytes(data)
        yield path
    keys = [key for key in log.keys if key.name == one.origin] if log else []
    if one.kind == FORK and keys:
        with contextlib.suppress(Refused):
            view = make_split_view((one.note, one.against), keys, one.hashes, witnesses)
            path = folder / f"{number}-split-view.txt"
            path.write_bytes(format_split_view(view))
            yield path
