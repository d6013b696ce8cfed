"""`zhenglian monitor`: follow a log, and be the one who notices if it shows two histories.

    zhenglian monitor SOURCE --state FOLDER [--every SECONDS] [--witness URL …] [--pack PACK …]

Exit status: 0 nothing is amiss, 1 an alarm stands, 2 the log could not be read or followed. With
`--every` it keeps on, repeats what stands in every round, and exits so when it is interrupted.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

from api.commands.audit import workdays_after
from api.commands.options import AsJson, Holidays, Processes, Source, Vkey, existing_file
from api.commands.proposals import read_policy
from api.errors import ServiceError
from api.pack_source import HttpPackSource
from api.rules.workdays import load_calendar
from ledger.errors import LedgerError
from ledger.monitor.begin import locked
from ledger.monitor.errors import MonitorError
from ledger.monitor.history import Reading
from ledger.monitor.report import ALARM, notices, render_round, round_json
from ledger.monitor.round import Round
from ledger.monitor.run import Monitor
from ledger.monitor.views import View, pack_view, source_view, witness_view
from ledger.readside import HttpReadSide, open_source
from verifier.policy import Policy, parse_policy
from verifier.terminal import read_limited, read_pack_file, write_whole

FOUND: Final = 1
UNREAD: Final = 2
_ALARM_SECONDS: Final = 60


def monitor_command(
    source: Source,
    state: Annotated[
        Path, typer.Option(file_okay=False, help="监测文件夹：副本、告警、证据 What is remembered")
    ],
    vkey: Vkey = None,
    trust: Annotated[
        Path | None, existing_file("核验包，取其账本密钥 Trust pack: the log's key")
    ] = None,
    policy: Annotated[
        Path | None,
        existing_file(
            "见证策略文件，代替账本自己的 Witness policy (C2SP), in place of the log's own"
        ),
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option(help="见证人网址，可重复 A witness's monitoring address; repeatable"),
    ] = None,
    policy_witnesses: Annotated[
        bool,
        typer.Option(
            "--policy-witnesses",
            help="也问现行策略所列的见证人 Ask the witnesses of the policy in force too",
        ),
    ] = False,
    pack: Annotated[
        list[str] | None,
        typer.Option(help="要比对的核验包，文件或网址，可重复 A pack to compare; repeatable"),
    ] = None,
    other: Annotated[
        list[str] | None,
        typer.Option(help="同一账本的其他来源，可重复 Another copy of the log; repeatable"),
    ] = None,
    every: Annotated[
        float | None, typer.Option(min=1, help="每隔多少秒一轮 Seconds from round to round")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="只做一轮（默认）One round")] = False,
    tree_only: Annotated[
        bool,
        typer.Option("--tree-only", help="只看树，条目可为任意内容 The tree alone: any log"),
    ] = False,
    processes: Processes = None,
    calendar: Holidays = None,
    acknowledge: Annotated[
        bool,
        typer.Option(
            "--acknowledge",
            help="已知悉现有告警，不再计入（分叉除外） What stands was seen to; never a split view",
        ),
    ] = False,
    on_alarm: Annotated[
        Path | None,
        existing_file(
            "新告警时运行的程序，标准输入为 JSON Program run on new alarms, JSON on its input"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """监测账本：逐轮核对历史、规则与各处检查点 Follow a log; prove a second history."""
    if once and every is not None:
        raise typer.BadParameter("--once / --every")
    reading = Reading(
        workdays_after(load_calendar(*(calendar or ()))),
        tree_only,
        processes or os.cpu_count() or 1,
    )

    places = [
        *(pack_view(name, _pack(name)) for name in pack or ()),
        *(source_view(f"other {text}", open_source(text)) for text in other or ()),
    ]

    def views(origin: str, in_force: Policy | None) -> list[View]:
        urls = list(witness or ())
        if policy_witnesses and in_force is not None:
            urls += [party.url for party in in_force.witnesses.values() if party.url]
        asked = [witness_view(url, origin, HttpReadSide) for url in dict.fromkeys(urls)]
        return [*asked, *places]

    with locked(state):
        monitor = Monitor(
            state,
            open_source(source),
            reading,
            clock=time.time,
            put=write_whole,
            log_vkey=_key(vkey, trust),
            policy=None if policy is None else parse_policy(read_policy(policy)),
            views=views,
        )
        if acknowledge:
            monitor.acknowledge()
        say = _Says(as_json=as_json, on_alarm=on_alarm)
        done = say.round(monitor.round())
        if every is not None:
            done = _keep_on(monitor, say, every, done)
    raise typer.Exit(status(done))


def status(done: Round) -> int:
    """Of the command after this round."""
    if not done.ok:
        return FOUND
    return 0 if done.read else UNREAD


def keep_on(
    one_round: Callable[[], Round],
    every: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[Round | LedgerError]:
    """Rounds that begin `every` seconds after one another, or at once where one took longer; what
    the folder could not take is tried again with the next."""
    due = clock() + every
    while True:
        sleep(max(0.0, due - clock()))
        due = max(due, clock()) + every
        try:
            yield one_round()
        except MonitorError as error:
            if error.code != "monitor-write-failed":
                raise
            yield error


class _Says:
    """Tells rounds to people or machines, and the program that is to hear of new alarms."""

    def __init__(self, *, as_json: bool, on_alarm: Path | None) -> None:
        self._as_json, self._on_alarm = as_json, on_alarm
        self._told: frozenset[str] = frozenset()
        self._console = Console(highlight=False, soft_wrap=True)

    def round(self, done: Round) -> Round:
        if self._as_json:
            sys.stdout.write(json.dumps(round_json(done), ensure_ascii=False) + "\n")
            sys.stdout.flush()
        else:
            for line in render_round(done, self._told):
                style = "bold white on red" if line.startswith(ALARM) else None
                self._console.print(escape(line), style=style)
        self._told = frozenset(notices(done))
        if done.new and self._on_alarm is not None:
            self._run(self._on_alarm, json.dumps(round_json(done)))
        return done

    def trouble(self, error: LedgerError) -> None:
        sys.stderr.write(f"{error.zh} · {error.en} ({error.detail}) [{error.code}]\n")

    def _run(self, program: Path, text: str) -> None:
        try:
            subprocess.run(
                [str(program.resolve())], input=text, text=True, timeout=_ALARM_SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            sys.stderr.write(f"--on-alarm: {type(error).__name__} {error}\n")


def _keep_on(monitor: Monitor, say: _Says, every: float, done: Round) -> Round:
    with _terminated_as_interrupted():
        try:
            for one in keep_on(monitor.round, every, time.monotonic, time.sleep):
                if isinstance(one, Round):
                    done = say.round(one)
                else:
                    say.trouble(one)
        except KeyboardInterrupt:
            pass
    return done


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends the rounds as an interrupt does, with the status of the last one."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _key(vkey: str | None, trust: Path | None) -> str | None:
    """The key given, or that of a pack given; both must be one."""
    if trust is None:
        return vkey
    return read_pack_file(trust, log_key=vkey).trust.log_key.text()


def _pack(name: str) -> Callable[[], bytes]:
    """Reads a pack from a service or a file; trouble is a `LedgerError`, as of other places."""
    if name.startswith(("http://", "https://")):
        service = HttpPackSource(name)
        return _as_unread(service.pack)
    return _as_unread(lambda: read_limited(Path(name)))


def _as_unread(read: Callable[[], bytes]) -> Callable[[], bytes]:
    def fetch() -> bytes:
        try:
            return read()
        except (OSError, ServiceError) as error:
            raise LedgerError("ledger-read-failed", str(error)) from error

    return fetch
