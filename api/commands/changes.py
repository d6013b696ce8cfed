"""`zhenglian change …`: proposing, approving and following changes of authority.

Each officer signs with a key of their own. Where that key is not on the city's machine, `--out`
writes what was signed to a file, and `submit` brings it in.
"""

import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from api.change_facts import Facts
from api.change_words import describe
from api.changes import DAYS_OPEN, STATE_ZH, STATES, Change, ChangeDesk
from api.city import City
from api.commands.officers import officer_signer
from api.commands.options import As, Keys, Out
from api.commands.run import opened
from api.errors import ServiceError
from api.keymaking import KeyToMake, key_for
from api.principals import Principal, Role
from api.rules.days import china_time
from api.settings import Settings
from verifier.change import (
    APPROVAL,
    NONCE_SIZE,
    Proposal,
    parse_approval,
    parse_proposal,
    sign_approval,
    sign_proposal,
)
from verifier.cose import typ_of
from verifier.kinds import KINDS

_MAX_FILE = 65_536
_console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)

change_app = typer.Typer(
    name="change",
    help="权限变更：一人提案，另一人批准 Changes of authority: one proposes, another approves",
    no_args_is_help=True,
)

Id = Annotated[str, typer.Argument(help="变更标识 Id of the change")]


@change_app.command("approve")
def approve_command(
    change: Annotated[str, typer.Argument(help="变更标识或提案文件 Id of the change, or a file")],
    officer: As,
    keys: Keys,
    out: Out = None,
    yes: Annotated[bool, typer.Option("--yes", help="不再询问 Do not ask")] = False,
) -> None:
    """批准他人的提案；先用文字说明其内容 Approve another's proposal, after it was put in words."""
    path = Path(change)
    raw = _read(path) if path.is_file() else None
    if raw is not None and out is not None:  # away from the city
        proposal = parse_proposal(raw)
        _confirm(proposal, None, yes)
        signer = officer_signer(keys, officer)
        out.write_bytes(sign_approval(proposal, at=int(time.time()), signer=signer))
        _console.print(f"批准书 approval: {out}")
        return
    with closing(opened()) as city:
        desk = ChangeDesk(city)
        row = desk.change(change) if raw is None else desk.propose(raw)
        proposal = parse_proposal(row.proposal)
        _confirm(proposal, city, yes)
        signed = sign_approval(proposal, at=city.now(), signer=officer_signer(keys, officer))
        if out is not None:
            out.write_bytes(signed)
            return
        _tell(city, desk.approve(row.id, signed), words=False)


@change_app.command("submit")
def submit_command(
    file: Annotated[Path, typer.Argument(help="提案或批准书 A proposal, or an approval")],
) -> None:
    """提交在别处签好的提案或批准书 Bring in a proposal or an approval that was signed elsewhere."""
    raw = _read(file)
    with closing(opened()) as city:
        desk = ChangeDesk(city)
        if typ_of(raw) == APPROVAL:
            _tell(city, desk.approve(parse_approval(raw).digest.hex(), raw))
        else:
            _tell(city, desk.propose(raw))


@change_app.command("list")
def list_command(
    state: Annotated[
        str | None, typer.Option(help="open, logged, withdrawn, lapsed 之一 One of these states")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="最多几项 At most so many")] = 50,
) -> None:
    """列出变更，新的在前 Changes, the newest first."""
    if state is not None and state not in STATES:
        raise ServiceError("request-invalid", f"state: {', '.join(STATES)}")
    with closing(opened()) as city:
        desk = ChangeDesk(city)
        for row in desk.changes(state=state, limit=limit):
            now = desk.state_of(row)
            zh, en = _words(parse_proposal(row.proposal), city)
            sys.stdout.write(f"{row.id}  {STATE_ZH[now]} {now}  {row.proposer}  {zh} · {en}\n")


@change_app.command("show")
def show_command(change: Id, out: Out = None) -> None:
    """说明一项变更；--out 写出提案，供他处批准 One change in words; --out writes the proposal."""
    with closing(opened()) as city:
        row = ChangeDesk(city).change(change)
        if out is not None:
            out.write_bytes(row.proposal)
        _tell(city, row)


@change_app.command("withdraw")
def withdraw_command(change: Id) -> None:
    """撤回尚未批准的提案 Withdraw a proposal that is still open."""
    caller = Principal("command-line", "command line", None, frozenset({Role.OPERATOR}))
    with closing(opened()) as city:
        desk = ChangeDesk(city)
        desk.withdraw(caller, change)
        _tell(city, desk.change(change))


def propose(
    kind: int,
    facts: Callable[[City], Facts | KeyToMake] | Facts,
    *,
    officer: str,
    keys: Path,
    out: Path | None,
    days: int = DAYS_OPEN,
) -> None:
    """Signs a proposal and brings it in, or writes it to a file. Facts that are a function are
    asked of the city, and may name a key that has to be made; the others need none."""
    if out is not None and not callable(facts):
        now, signer = int(time.time()), officer_signer(keys, officer)
        raw = sign_proposal(
            kind,
            facts,
            origin=Settings().origin,
            at=now,
            before=now + days * 86_400,
            nonce=os.urandom(NONCE_SIZE),
            signer=signer,
        )
        out.write_bytes(raw)
        _written(out, parse_proposal(raw), None)
        return
    with closing(opened()) as city:
        desk = ChangeDesk(city)
        said = facts(city) if callable(facts) else facts
        signer = officer_signer(keys, officer)

        def draft(facts: Facts) -> bytes:
            return desk.draft(kind, facts, signer, days=days)

        if isinstance(said, KeyToMake):
            with key_for(city, said, lambda tried: desk.check(parse_proposal(draft(tried)))) as new:
                row = _bring(desk, raw := draft(new), out)
        else:
            row = _bring(desk, raw := draft(said), out)
        if out is not None:
            _written(out, parse_proposal(raw), city)
        if row is not None:
            _tell(city, row)


def _bring(desk: ChangeDesk, raw: bytes, out: Path | None) -> Change | None:
    """To the desk; or to a file, once the desk would take it."""
    if out is None:
        return desk.propose(raw)
    desk.check(parse_proposal(raw))
    out.write_bytes(raw)
    return None


def _written(out: Path, proposal: Proposal, city: City | None) -> None:
    _console.print(f"提案 proposal: {out} · {proposal.origin}\n  {_both(proposal, city)}")


def _confirm(proposal: Proposal, city: City | None, yes: bool) -> None:
    """Puts a proposal in words, and asks."""
    kind = KINDS[proposal.kind]
    _console.print(f"{kind.zh} {kind.name} · {proposal.origin}\n  {_both(proposal, city)}")
    _console.print(f"  提案于 proposed {china_time(proposal.proposed_at)}")
    _console.print(f"  须在此前批准 approve by {china_time(proposal.before)}")
    if not yes and not typer.confirm("批准？Approve?", err=True):
        raise typer.Exit(1)


def _tell(city: City, row: Change, *, words: bool = True) -> None:
    """The id on standard output, the rest in words."""
    state = ChangeDesk(city).state_of(row)
    if words:
        _console.print(_both(parse_proposal(row.proposal), city))
    _console.print(f"  {STATE_ZH[state]} {state} · 提案人 proposed by {row.proposer}")
    if row.approver is not None:
        _console.print(f"  批准人 approved by {row.approver} · 条目 entry {row.idx}")
    sys.stdout.write(f"{row.id}\n")


def _both(proposal: Proposal, city: City | None) -> str:
    return "\n  ".join(_words(proposal, city))


def _words(proposal: Proposal, city: City | None) -> tuple[str, str]:
    if city is None:
        return describe(proposal.kind, proposal.facts)
    return describe(
        proposal.kind,
        proposal.facts,
        authorities=city.roll.known.authorities,
        types=city.type_names,
        issuers=city.type_issuers,
    )


def _read(path: Path) -> bytes:
    """`file-failed` through `OSError`; a file that is no proposal is refused by its parser."""
    with path.open("rb") as file:
        return file.read(_MAX_FILE)
