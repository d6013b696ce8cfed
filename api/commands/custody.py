"""`zhenglian custody …`: what lies in custody, its passphrase, its backup. `zhenglian signer`."""

import contextlib
import grp
import os
import pwd
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from api.backup_gaps import gaps
from api.custody import FILE, city_custody, effort_of, file_custody, open_custody
from api.errors import ServiceError
from api.observe import log_warnings_only
from api.passphrase import BACKUP, NEW, FollowingFile, ask, find_passphrase, write_private
from api.settings import Settings
from api.signing.server import SignerServer, SigningLog, listening
from keys.custody import Custody, KeyEntry, SignerService
from keys.custody.backup import MAX_BACKUP, check_kind, make_backup, open_backup, restore
from keys.custody.rekey import change_passphrase
from keys.names import kid
from keys.suites import BY_NAME
from verifier.plural import noun

custody_app = typer.Typer(
    name="custody", help="密钥保管：清单、口令、备份 Custody of keys", no_args_is_help=True
)
_ELSEWHERE = """令牌中的密钥按厂商的办法备份；签名进程的，以其用户运行 zhenglian custody backup。
Keys on a token are backed up by its maker's means, those behind a signer by
`zhenglian custody backup` as the signer's user."""
_console = Console(stderr=True, soft_wrap=True, highlight=False)


@custody_app.command("list")
def list_command() -> None:
    """列出密钥：名称、算法、密钥标识 The keys in custody: name, suite, key id."""
    settings = Settings()
    files = file_custody(settings, "")
    custody = city_custody(settings, files)
    for entry in custody.list():
        _write(entry)
    if custody is not files:  # what only files hold
        for entry in files.list():
            if entry.suite not in BY_NAME:
                _write(entry)


@custody_app.command("passphrase")
def passphrase_command() -> None:
    """更换密钥文件的口令；中断后再次执行即可完成 Change the passphrase of all key files."""
    settings = Settings()
    old, file = find_passphrase(settings), FollowingFile(settings)
    unfinished = file.unfinished()
    if unfinished is not None:
        count = _change(settings, old, unfinished)
        file.finish()
        _console.print(f"上次更换已完成 the interrupted change is finished: {count}")
        old = unfinished
    new = ask(NEW, "新口令 New passphrase", twice=True)
    follows = file.prepare(old, new)
    count = _change(settings, old, new)
    if follows:
        file.finish()
    _console.print(f"已更换 changed: {count} 个密钥文件 {noun(count, 'key file')}")
    if not follows:
        _console.print("请更新 ZHENGLIAN_PASSPHRASE 后重启服务 Set ZHENGLIAN_PASSPHRASE, restart.")
    else:
        _console.print("请重启服务 Restart the service.")


@custody_app.command("backup")
def backup_command(
    file: Annotated[Path, typer.Argument(help="备份文件，不得已存在 File to write, a new one")],
) -> None:
    """备份全部密钥文件，另设口令 Back up all key files into one; other keys are named."""
    settings = Settings()
    custody = file_custody(settings, find_passphrase(settings))
    count = sum(1 for _ in custody.list())
    if not count:
        raise ServiceError("custody-nothing-to-back-up", str(settings.data / "custody"))
    passphrase = ask(BACKUP, "备份口令 Passphrase of the backup", twice=True)
    now = int(time.time())
    data = make_backup(custody, passphrase, made_at=now, effort=effort_of(settings))
    write_private(file, data)
    kept = len(open_backup(data, passphrase).entries)
    _console.print(f"{file}: {kept} 个密钥 {noun(kept, 'key')}")
    left_out = list(gaps(settings, custody, now))
    for gap in left_out:
        _console.print(f"不在备份中 not in this backup: {gap.what} · {gap.where}", markup=False)
    if left_out:
        _console.print(_ELSEWHERE)


@custody_app.command("restore")
def restore_command(
    file: Annotated[Path, typer.Argument(help="备份文件 Backup to restore from")],
) -> None:
    """从备份恢复缺少的密钥；不覆盖已有密钥 Restore the keys that are missing; replace none."""
    settings = Settings()
    with file.open("rb") as opened:
        data = opened.read(MAX_BACKUP + 1)
    check_kind(data)  # before a passphrase is asked for
    backup = open_backup(data, ask(BACKUP, "备份口令 Passphrase of the backup"))
    restored = restore(file_custody(settings, find_passphrase(settings)), backup)
    for entry in restored:
        _write(entry)
    kept = len(backup.entries) - len(restored)
    _console.print(f"已恢复 restored: {len(restored)}；原已存在 there already: {kept}")


def signer_command(
    path: Annotated[Path, typer.Option("--socket", help="Unix 套接字路径 Path of the socket")],
    no_create: Annotated[
        bool, typer.Option("--no-create", help="不允许生成密钥 Make no keys")
    ] = False,
    group: Annotated[
        str | None, typer.Option(help="可连接的用户组 Group that may reach the socket")
    ] = None,
    allow_user: Annotated[
        list[str] | None, typer.Option(help="可使用的其他用户，可多次 Another user; repeatable")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="签名日志 Log of what was signed; <data>/signer.log")
    ] = None,
) -> None:
    """运行签名进程，网络服务不持有密钥 Hold the keys for a service that does not."""
    log_warnings_only()
    settings = Settings()
    passphrase = find_passphrase(settings) if settings.custody == FILE else ""
    custody = open_custody(settings, file_custody(settings, passphrase))
    _try_first(custody)
    allowed = frozenset([os.geteuid(), *(_uid(user) for user in allow_user or ())])
    signed = SigningLog(log or settings.data / "signer.log", time.time)
    service = SignerService(custody, signed, may_create=not no_create)
    with (
        _until_terminated(),
        contextlib.closing(signed),
        listening(path, group=None if group is None else _gid(group)) as listener,
    ):
        _console.print(f"签名进程已就绪 signer ready  {path}", soft_wrap=True)
        SignerServer(listener, service, allowed).serve()


def _change(settings: Settings, old: str, new: str) -> int:
    return change_passphrase(settings.data / "custody", old, new, effort_of(settings))


def _try_first(custody: Custody) -> None:
    """A wrong passphrase or PIN shows at the start, not at the first licence."""
    for entry in custody.list():
        if entry.suite in BY_NAME:
            custody.open(entry.name)
            return


def _write(entry: KeyEntry) -> None:
    id_ = kid(BY_NAME[entry.suite], entry.public).hex() if entry.suite in BY_NAME else "-"
    sys.stdout.write(f"{entry.name}\t{entry.suite}\t{id_}\n")


def _uid(user: str) -> int:
    try:
        return int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise ServiceError("user-unknown", user[:40]) from error


def _gid(group: str) -> int:
    try:
        return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ServiceError("user-unknown", group[:40]) from error


@contextlib.contextmanager
def _until_terminated() -> Iterator[None]:
    """SIGTERM and Ctrl-C end the body in good order."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    with contextlib.suppress(KeyboardInterrupt):
        yield
