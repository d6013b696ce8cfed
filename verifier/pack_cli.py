"""`zhenglian pack show|update|verify`: what a counter does with its trust pack.

    pack show FILE                             whose it is, which keys, how old
    pack verify FILE [--since HELD]            every check, at once; whether it may follow another
    pack update HELD --from FILE|URL [--out]   put the next pack in the place of the one held

FILE may be an update where a pack held is named. A full pack of a ledger that has grown needs the
consistency proof of the service: `--proof` is the JSON of `/v1/log/consistency`. Exit status:
0 good, 1 refused, 3 good but expired (show, verify), 2 wrong usage or nothing readable. What is
refused changes no file.
"""

import argparse
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TextIO

from keys.errors import KeysError, ZhenglianError
from verifier.codec import b64decode
from verifier.errors import Refused
from verifier.merkle import HASH_SIZE
from verifier.pack import Pack, read_pack
from verifier.pack_form import is_update
from verifier.pack_report import (
    key_json,
    key_line,
    made_at,
    missing_rows,
    override_rows,
    pack_colour,
    pack_json,
    pack_page,
)
from verifier.pack_update import apply_update, check_successor, parse_update
from verifier.policy_report import policy_json, policy_rows
from verifier.report import Page, clock
from verifier.terminal import (
    EXIT,
    UNREADABLE,
    add_common_options,
    naming,
    read_limited,
    say_unreadable,
    words_of,
    write_json,
    write_whole,
)
from verifier.verdict import Colour

Proof = Sequence[bytes] | None


class PackSource(Protocol):
    """A service that packs come from. What it answers is checked; it raises `ZhenglianError` where
    it does not answer."""

    def update(self, held: bytes) -> bytes | None:
        """An update from the pack of this SHA-256; None where the service has it no more."""

    def pack(self) -> bytes:
        """The newest pack."""

    def consistency(self, old: int, new: int) -> Sequence[bytes]:
        """The proof between two sizes of the tree."""


Connect = Callable[[str], PackSource]


class Next(NamedTuple):
    """The pack that may take the place of the one held: checked, and its bytes. `applied`: it
    came as an update that was applied before."""

    held: Pack
    pack: Pack
    data: bytes
    received: int
    applied: bool = False


def run(
    argv: Sequence[str],
    stdout: TextIO,
    stderr: TextIO,
    now: int,
    *,
    colour: bool = False,
    width: int = 100,
    connect: Connect | None = None,
) -> int:
    """The command with everything it touches as arguments; returns the exit status.

    `connect` opens the service at an address; without it, packs come from files alone.
    """
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            options = _parser().parse_args(argv)
    except SystemExit as asked:
        return asked.code if isinstance(asked.code, int) else UNREADABLE
    page = Page(options.lang, colour=colour, width=width)
    moment = now if options.now is None else options.now
    try:
        status, answer = _COMMANDS[options.command](options, moment, page, connect)
    except (Refused, KeysError) as error:
        page.banner(Colour.RED, error.zh, f"{error.en} ({error.code})")
        if error.detail:
            page.rows([("详情", "Detail", error.detail)])
        status = EXIT[Colour.RED]
        answer = {"document": "trust-pack", "colour": Colour.RED.value, **words_of(error)}
    except (ZhenglianError, OSError) as error:
        return say_unreadable(error, options, stdout, stderr)
    if options.json:
        write_json(answer, stdout)
    else:
        stdout.write("\n".join([*page.lines, ""]))
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zhenglian pack",
        description="离线核验包：查看、核验、更新。 Trust packs: show, verify, update.",
        epilog="退出码 Exit status: 0 可用 good · 1 拒绝 refused · 3 已过期 expired"
        " · 2 无法读取 unreadable",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="show|verify|update")
    texts = {
        "show": "查看核验包：来源、密钥状态、时限 / whose it is, which keys, how old",
        "verify": "逐项核验全部签名与证明 / check every signature and proof in it",
        "update": "以新包替换现有的包，先核对再写入 / put the next pack in place of the one held",
    }
    made = {
        name: commands.add_parser(name, help=text, description=text, prog=f"zhenglian pack {name}")
        for name, text in texts.items()
    }
    for name in ("show", "verify"):
        made[name].add_argument("file", metavar="FILE", type=Path, help="核验包 / the pack")
    made["verify"].add_argument(
        "--since",
        metavar="HELD",
        type=Path,
        help="核对能否接续此包；FILE 可为其增量更新"
        " / whether it may follow this pack; FILE may be an update to it",
    )
    made["update"].add_argument("file", metavar="HELD", type=Path, help="现有的包 / the pack held")
    made["update"].add_argument(
        "--from",
        dest="source",
        metavar="FILE|URL",
        required=True,
        help="增量更新、完整的包，或服务地址 / an update, a full pack, or a service's address",
    )
    made["update"].add_argument(
        "--out", metavar="FILE", type=Path, help="写到此文件 / write here instead"
    )
    for name in ("verify", "update"):
        made[name].add_argument(
            "--proof",
            metavar="FILE",
            type=Path,
            help="一致性证明（/v1/log/consistency 的 JSON）"
            " / consistency proof, the JSON of /v1/log/consistency",
        )
    for command in made.values():
        add_common_options(command)
    return parser


def _show(
    options: argparse.Namespace, now: int, page: Page, connect: Connect | None
) -> tuple[int, dict[str, Any]]:
    pack = read_pack(read_limited(options.file), log_key=options.vkey, thorough=True)
    pack_page(pack, now, page)
    return EXIT[pack_colour(pack.trust, now)], pack_json(pack, now)


def _verify(
    options: argparse.Namespace, now: int, page: Page, connect: Connect | None
) -> tuple[int, dict[str, Any]]:
    data = read_limited(options.file)
    if options.since is None:
        pack = read_pack(data, log_key=options.vkey, thorough=True)
    else:
        pack = _follow(options.since, options.file, data, options).pack
    colour = pack_colour(pack.trust, now)
    if colour is Colour.GREEN and pack.missing:
        words = "核验包可用，但有密钥在本机无法核验", "Some of its keys cannot be checked here"
        page.banner(colour, *words)
    elif colour is Colour.GREEN:
        page.banner(colour, "核验包完整无误", "Every check of the pack passed")
    else:
        page.banner(colour, "核验包完整无误，但已过期", "Every check passed, but it has expired")
    page.rows(_summary(pack, now, page))
    return EXIT[colour], pack_json(pack, now)


def _update(
    options: argparse.Namespace, now: int, page: Page, connect: Connect | None
) -> tuple[int, dict[str, Any]]:
    if options.source.startswith(("http://", "https://")):
        if connect is None:
            raise Refused("pack-source-offline", options.source)
        found = _fetch(options.file, connect(options.source), options.vkey)
    else:
        source = Path(options.source)
        found = _follow(options.file, source, read_limited(source), options)
    target: Path = options.out or options.file
    changed = target != options.file or found.pack.digest != found.held.digest
    if changed:
        write_whole(target, found.data)
    old, new = found.held, found.pack
    if found.applied:
        page.banner(
            Colour.GREEN,
            "此更新已应用过，无需再做",
            "Nothing to do: the pack held is the one that this update leads to",
        )
    elif new.digest == old.digest:
        page.banner(
            Colour.GREEN, "已是最新，无需更新", "Nothing newer: the pack held is the newest"
        )
    else:
        page.banner(Colour.GREEN, "离线核验包已更新", "The trust pack was updated")
    rows = [("收到", "Received", f"{found.received:,} B"), *_summary(new, now, page)]
    page.rows(rows)
    keys = changed_keys(old, new)
    if keys:
        page.heading("密钥变化", "Changes of keys")
        authorities = new.trust.authorities
        page.rows(
            [
                (*_name(new, key.issuer), key_line(new.trust, key, now, page))
                for key in (authorities.keys[kid] for kid in keys)
            ]
        )
    policies = new.policies[len(old.policies) :]
    if policies:
        page.heading("见证策略变化", "Changes of the witness policy")
        page.rows(policy_rows(policies, page))
    return EXIT[Colour.GREEN], {
        "document": "trust-pack-update",
        "colour": Colour.GREEN.value,
        "code": "unchanged" if new.digest == old.digest else "updated",
        "origin": new.trust.origin,
        "file": str(target),
        "received_bytes": found.received,
        "from": _mark(old),
        "to": _mark(new),
        "policies": [policy_json(each) for each in policies],
        "keys": [
            key_json(new.trust, new.trust.authorities.keys[kid], now)
            for kid in changed_keys(old, new)
        ],
    }


_COMMANDS: Final[
    Mapping[
        str,
        Callable[[argparse.Namespace, int, Page, Connect | None], tuple[int, dict[str, Any]]],
    ]
] = {"show": _show, "verify": _verify, "update": _update}


def _follow(held: Path, path: Path, data: bytes, options: argparse.Namespace) -> Next:
    """The pack that `path` holds, full or an update, and that follows the one held."""
    whole, new, proof = read_limited(held), data, _read_proof(options.proof)
    with naming(held):
        base = read_pack(whole, log_key=options.vkey)
    with naming(path):
        if is_update(data):
            update = parse_update(data)
            if sha256(whole).digest() == update.result:
                return _checked(base, whole, None, len(data))._replace(applied=True)
            new, proof = apply_update(whole, update), update.consistency
        return _checked(base, new, proof, len(data))


def _fetch(held: Path, source: PackSource, vkey: str | None) -> Next:
    """The newest pack of a service: by an update where it knows the pack held, else whole."""
    whole = read_limited(held)
    with naming(held):
        base = read_pack(whole, log_key=vkey)
    data = source.update(base.digest)
    if data is not None:
        update = parse_update(data)
        return _checked(base, apply_update(whole, update), update.consistency, len(data))
    data = source.pack()
    new = read_pack(data, log_key=base.trust.log_key.text())
    proof: Proof = None
    if new.checkpoint.size > base.checkpoint.size:
        proof = source.consistency(base.checkpoint.size, new.checkpoint.size)
    return _checked(base, data, proof, len(data))


def _checked(base: Pack, new: bytes, proof: Proof, received: int) -> Next:
    pack = read_pack(new, log_key=base.trust.log_key.text(), thorough=True)
    check_successor(base, pack, proof)
    return Next(base, pack, new, received)


def _read_proof(path: Path | None) -> Proof:
    """The hashes in an answer of `/v1/log/consistency`."""
    if path is None:
        return None
    try:
        return proof_of_json(json.loads(read_limited(path)))
    except ValueError as error:
        raise Refused("proof-malformed", "not JSON") from error


def proof_of_json(answer: object) -> Sequence[bytes]:
    """The hashes of a consistency proof as the service answers it; `proof-malformed`."""
    hashes = answer.get("hashes") if isinstance(answer, dict) else None
    if not isinstance(hashes, list) or not all(type(text) is str for text in hashes):
        raise Refused("proof-malformed", "hashes")
    return [b64decode(text, max_bytes=HASH_SIZE) for text in hashes]


def changed_keys(old: Pack, new: Pack) -> list[bytes]:
    """Ids of the keys that the next pack brings, or of which it says something else."""
    before = old.trust.authorities.keys
    return [
        kid
        for kid, key in new.trust.authorities.keys.items()
        if kid not in before or before[kid] != key
    ]


def _summary(pack: Pack, now: int, page: Page) -> list[tuple[str, str, Any]]:
    trust = pack.trust
    return [
        ("账本", "Ledger", trust.origin),
        ("账本规模", "Ledger size", f"{pack.checkpoint.size:,}"),
        ("授权文书", "Statements of authority", len(pack.leaves)),
        ("制作时间 (北京)", "Made at (Beijing)", made_at(trust, now, page)),
        ("可用至 (北京)", "Use until (Beijing)", clock(trust.use_until)),
        ("文件大小", "Size", f"{pack.size:,} B"),
        ("文件指纹", "SHA-256", pack.digest.hex()),
        *override_rows(pack),
        *missing_rows(pack, page),
    ]


def _mark(pack: Pack) -> dict[str, Any]:
    return {
        "sha256": pack.digest.hex(),
        "bytes": pack.size,
        "made_at": pack.trust.made_at,
        "use_until": pack.trust.use_until,
        "size": pack.checkpoint.size,
    }


def _name(pack: Pack, issuer: str) -> tuple[str, str]:
    department = pack.trust.authorities.departments[issuer]
    return department.zh, department.en
