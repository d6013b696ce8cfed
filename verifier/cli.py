"""`zhenglian verify`: judge a code, a statement or a receipt against a trust pack, offline.

    zhenglian verify FILE|- --trust PACK [--receipt FILE] [--json] [--lang zh|en|both] [--now TIME]
                     [--vkey TEXT]

FILE is QR text, a picture of a code (PNG, JPEG, WebP), a statement, a receipt, a trust pack, which
is then shown, or evidence that a log signed two histories (`verifier.split_view`), for which the
log's key is enough. Exit status: 0 green, 1 red, 3 amber, 2 wrong usage or nothing readable,
4 the log did sign two histories.
The exit status of a receipt says whether it is genuine, not what the answer is.

`zhenglian-verify pack show|update|verify` is `verifier.pack_cli`; a file of that name is `./pack`.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

from keys.errors import KeysError
from verifier import pack_cli
from verifier.checkpoint import is_checkpoint
from verifier.codec import b64decode
from verifier.cose import typ_of
from verifier.cose_receipt import is_receipt, parse_receipt
from verifier.errors import Refused
from verifier.image import is_image, read_code
from verifier.judge import judge
from verifier.note import VerifierKey, parse_vkey
from verifier.pack import MAX_PACK, read_pack
from verifier.pack import TYP as PACK
from verifier.pack_report import pack_colour, pack_json, pack_page
from verifier.receipt import TYP as RECEIPT
from verifier.receipt import Receipt, open_receipt
from verifier.report import Page, receipt_page, verdict_page
from verifier.split_report import split_view_json, split_view_page
from verifier.split_view import check_split_view, is_split_view, parse_split_view
from verifier.terminal import (
    EXIT,
    TWO_HISTORIES,
    UNREADABLE,
    add_common_options,
    naming,
    prepare_streams,
    read_limited,
    read_pack_file,
    say_unreadable,
    words_of,
    write_json,
)
from verifier.trust import Trust
from verifier.verdict import Colour
from verifier.words import SENTENCES

_BOM: Final = b"\xef\xbb\xbf"
_AS_THEY_STAND: Final = (is_receipt, is_split_view, is_checkpoint)


def run(
    argv: Sequence[str],
    stdin: BinaryIO,
    stdout: TextIO,
    stderr: TextIO,
    now: int,
    *,
    colour: bool = False,
    width: int = 100,
) -> int:
    """The command with everything it touches as arguments; returns the exit status."""
    if argv and argv[0] == "pack":
        return pack_cli.run(argv[1:], stdout, stderr, now, colour=colour, width=width)
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            options = _parser().parse_args(argv)
    except SystemExit as asked:
        return asked.code if isinstance(asked.code, int) else UNREADABLE
    page = Page(options.lang, colour=colour, width=width)
    try:
        moment = now if options.now is None else options.now
        status, answer = _judge(options, stdin, moment, page)
    except (Refused, KeysError, OSError) as error:
        return say_unreadable(error, options, stdout, stderr)
    if options.json:
        write_json(answer, stdout)
    else:
        stdout.write("\n".join([*page.lines, ""]))
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """The console script."""
    colour, width = prepare_streams()
    return run(
        sys.argv[1:] if argv is None else argv,
        sys.stdin.buffer,
        sys.stdout,
        sys.stderr,
        int(time.time()),
        colour=colour,
        width=width,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zhenglian verify",
        description="离线核验证照二维码、签署文书或核验回执。"
        " Check a licence code, a statement or a receipt, with no network.",
        epilog="退出码 Exit status: 0 绿 green · 1 红 red · 3 黄 amber · 2 无法读取 unreadable"
        " · 4 账本签署了两套历史 the log signed two histories",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="二维码文本、图片、文书、回执、核验包或分叉证据；- 为标准输入 / QR text, picture,"
        " statement, receipt, trust pack or split-view evidence; - is standard input",
    )
    parser.add_argument("--trust", type=Path, metavar="PACK", help="离线核验包 / the trust pack")
    parser.add_argument(
        "--receipt",
        type=Path,
        metavar="FILE",
        help="FILE 的入账回执 (COSE, RFC 9942) / the COSE receipt of what FILE shows",
    )
    add_common_options(parser)
    return parser


def _judge(
    options: argparse.Namespace, stdin: BinaryIO, now: int, page: Page
) -> tuple[int, dict[str, Any]]:
    """Exit status and JSON of whatever the file is; the page is filled for people."""
    payload = _read(options.file, stdin)
    if is_split_view(payload):
        return _show_split_view(payload, options, page)
    colour, answer = _colour(options, payload, stdin, now, page)
    return EXIT[colour], answer


def _colour(
    options: argparse.Namespace, payload: bytes, stdin: BinaryIO, now: int, page: Page
) -> tuple[Colour, dict[str, Any]]:
    typ = typ_of(payload)
    if typ == PACK:
        return _show_pack(payload, options.vkey, now, page)
    if is_checkpoint(payload):
        raise Refused("checkpoint-alone", options.file)
    if options.trust is None:
        raise Refused("trust-missing")
    trust = read_pack_file(options.trust, log_key=options.vkey).trust
    if typ == RECEIPT:
        return _show_receipt(payload, trust, now, page)
    if is_receipt(payload):
        raise Refused("cose-receipt-alone")
    receipt = None if options.receipt is None else _read_receipt(str(options.receipt), stdin)
    verdict = judge(payload, trust, now, receipt=receipt)
    verdict_page(verdict, page)
    return verdict.colour, {"document": "code", **verdict.to_json()}


def _read(name: str, stdin: BinaryIO) -> bytes:
    """The payload in a file: the text in a picture, text without its line end, or a document."""
    data = stdin.read(MAX_PACK + 1) if name == "-" else read_limited(Path(name))
    if len(data) > MAX_PACK:
        raise Refused("too-large", f"at most {MAX_PACK >> 20} MiB")
    if is_image(data):
        return read_code(data).encode()
    if typ_of(data) is not None or any(known(data) for known in _AS_THEY_STAND):
        return data
    text = data.removeprefix(_BOM).strip()  # a code neither begins nor ends with a blank
    return _from_base64(text) or text


def _read_receipt(name: str, stdin: BinaryIO) -> bytes:
    """The COSE receipt in a file, of any log; whatever else it may be is refused."""
    data = _read(name, stdin)
    with naming(name):
        if not is_receipt(data):
            raise Refused("cose-receipt-malformed")
        return parse_receipt(data).raw


def _from_base64(text: bytes) -> bytes | None:
    """A document in base64, as the service's answers carry it; None for anything else."""
    try:
        data = b64decode(text.decode("ascii"), max_bytes=MAX_PACK)
    except (Refused, UnicodeDecodeError):
        return None
    return data if typ_of(data) is not None or is_receipt(data) else None


def _show_split_view(
    data: bytes, options: argparse.Namespace, page: Page
) -> tuple[int, dict[str, Any]]:
    """Under the key given, that of the pack given, or else the one that the file names."""
    trusted = None if options.vkey is None else parse_vkey(options.vkey)
    witnesses: list[VerifierKey] = []
    if options.trust is not None:
        trust = read_pack_file(options.trust, log_key=options.vkey).trust
        trusted = trust.log_key
        if trust.policy is not None:
            witnesses = [party.key for party in trust.policy.witnesses.values()]
    try:
        found = check_split_view(parse_split_view(data), trusted, witnesses)
    except (Refused, KeysError) as error:
        colour, answer = _refused("split-view", error, page)
        return EXIT[colour], answer
    split_view_page(found, page)
    return TWO_HISTORIES, split_view_json(found)


def _show_pack(
    data: bytes, vkey: str | None, now: int, page: Page
) -> tuple[Colour, dict[str, Any]]:
    try:
        pack = read_pack(data, log_key=vkey)
    except (Refused, KeysError) as error:
        return _refused("trust-pack", error, page)
    pack_page(pack, now, page)
    return pack_colour(pack.trust, now), pack_json(pack, now)


def _show_receipt(data: bytes, trust: Trust, now: int, page: Page) -> tuple[Colour, dict[str, Any]]:
    try:
        receipt: Receipt = open_receipt(data, trust, now)
    except (Refused, KeysError) as error:
        return _refused("receipt", error, page)
    late = now > trust.use_until
    colour, code = (Colour.AMBER, "trust-expired") if late else (Colour.GREEN, "passed")
    receipt_page(receipt, colour, code, page)
    zh, en = SENTENCES[code]
    return colour, {
        "document": "receipt",
        "colour": colour.value,
        "code": code,
        "zh": zh,
        "en": en,
        "predicate": receipt.predicate,
        "answer": receipt.answer,
        "audience": receipt.audience,
        "question_id": receipt.question_id,
        "issued_at": receipt.issued_at,
        "expires_at": receipt.expires_at,
        "question": receipt.question.hex(),
        "asked": receipt.asked.hex(),
    }


def _refused(
    document: str, error: Refused | KeysError, page: Page
) -> tuple[Colour, dict[str, Any]]:
    """A document that is not what it claims to be: red, with the words of its code."""
    page.banner(Colour.RED, error.zh, f"{error.en} ({error.code})")
    return Colour.RED, {"document": document, "colour": Colour.RED.value, **words_of(error)}
