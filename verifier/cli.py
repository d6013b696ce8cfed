"""`zhenglian verify`: judge a code, a statement or a receipt against a trust pack, offline.

    zhenglian verify FILE|- --trust PACK [--json] [--lang zh|en|both] [--now TIME] [--vkey TEXT]

FILE is QR text, a picture of a code (PNG, JPEG, WebP), a statement, a receipt, or a trust pack,
which is then shown. Exit status: 0 green, 1 red, 3 amber, 2 wrong usage or nothing readable.
The exit status of a receipt says whether it is genuine, not what the answer is.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, TextIO

from keys.errors import KeysError
from verifier.codec import b64decode, parse_decimal
from verifier.cose import typ_of
from verifier.errors import Refused
from verifier.image import is_image, read_code
from verifier.judge import CLOCK_SKEW, judge
from verifier.pack import MAX_PACK, open_pack
from verifier.pack import TYP as PACK
from verifier.receipt import TYP as RECEIPT
from verifier.receipt import Receipt, open_receipt
from verifier.report import (
    BEIJING,
    BOTH,
    EN,
    ZH,
    Page,
    pack_page,
    plain,
    receipt_page,
    verdict_page,
)
from verifier.trust import Trust
from verifier.verdict import Colour
from verifier.words import SENTENCES

EXIT: Final = {Colour.GREEN: 0, Colour.RED: 1, Colour.AMBER: 3}
UNREADABLE: Final = 2
_BOM: Final = b"\xef\xbb\xbf"
_UNSHOWABLE: Final = {
    code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), *range(0x2028, 0x202F))
}


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
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            options = _parser().parse_args(argv)
    except SystemExit as asked:
        return asked.code if isinstance(asked.code, int) else UNREADABLE
    page = Page(options.lang, colour=colour, width=width)
    try:
        moment = now if options.now is None else options.now
        verdict, answer = _judge(options, stdin, moment, page)
    except (Refused, KeysError, OSError) as error:
        return _unreadable(error, options, stdout, stderr)
    if options.json:
        _write_json(answer, stdout)
    else:
        stdout.write("\n".join([*page.lines, ""]))
    return EXIT[verdict]


def main(argv: Sequence[str] | None = None) -> int:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    return run(
        sys.argv[1:] if argv is None else argv,
        sys.stdin.buffer,
        sys.stdout,
        sys.stderr,
        int(time.time()),
        colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
        width=min(120, shutil.get_terminal_size((100, 24)).columns),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zhenglian verify",
        description="离线核验证照二维码、签署文书或核验回执。"
        " Check a licence code, a statement or a receipt, with no network.",
        epilog="退出码 Exit status: 0 绿 green · 1 红 red · 3 黄 amber · 2 无法读取 unreadable",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="二维码文本、图片、文书、回执或核验包；- 为标准输入"
        " / QR text, picture, statement, receipt or trust pack; - is standard input",
    )
    parser.add_argument("--trust", type=Path, metavar="PACK", help="离线核验包 / the trust pack")
    parser.add_argument("--json", action="store_true", help="输出 JSON / write JSON")
    parser.add_argument("--lang", choices=(ZH, EN, BOTH), default=BOTH, help="语言 / language")
    parser.add_argument(
        "--now",
        type=_time,
        metavar="TIME",
        help="按此时间核验：Unix 秒或 ISO 8601，默认北京时间"
        " / judge as of this time: Unix seconds or ISO 8601, Beijing time unless it says",
    )
    parser.add_argument(
        "--vkey",
        metavar="TEXT",
        help="账本公钥；核验包不属于它则拒绝 / the log's vkey: a pack of another log is refused",
    )
    return parser


def _time(text: str) -> int:
    try:
        return parse_decimal(text, max_value=1 << 40) if text.isdigit() else _iso(text)
    except Refused as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"时间写法不对 / not a time: {text[:40]}") from error


def _iso(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=BEIJING)).timestamp())


def _judge(
    options: argparse.Namespace, stdin: BinaryIO, now: int, page: Page
) -> tuple[Colour, dict[str, Any]]:
    """Colour and JSON of whatever the file is; the page is filled for people."""
    payload = _read(options.file, stdin)
    typ = typ_of(payload)
    if typ == PACK:
        return _show_pack(payload, options.vkey, now, page)
    if options.trust is None:
        raise Refused("trust-missing")
    trust = open_pack(_limited(options.trust), log_key=options.vkey)
    if typ == RECEIPT:
        return _show_receipt(payload, trust, now, page)
    verdict = judge(payload, trust, now)
    verdict_page(verdict, page)
    return verdict.colour, {"document": "code", **verdict.to_json()}


def _read(name: str, stdin: BinaryIO) -> bytes:
    """The payload in a file: the text in a picture, text without its line end, or a document."""
    data = stdin.read(MAX_PACK + 1) if name == "-" else _limited(Path(name))
    if len(data) > MAX_PACK:
        raise Refused("too-large", f"at most {MAX_PACK >> 20} MiB")
    if is_image(data):
        return read_code(data).encode()
    if typ_of(data) is not None:
        return data
    text = data.removeprefix(_BOM).strip()  # a code neither begins nor ends with a blank
    return _from_base64(text) or text


def _from_base64(text: bytes) -> bytes | None:
    """A document in base64, as the service's answers carry it; None for anything else."""
    try:
        data = b64decode(text.decode("ascii"), max_bytes=MAX_PACK)
    except (Refused, UnicodeDecodeError):
        return None
    return data if typ_of(data) is not None else None


def _limited(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_PACK + 1)


def _show_pack(
    data: bytes, vkey: str | None, now: int, page: Page
) -> tuple[Colour, dict[str, Any]]:
    try:
        trust = open_pack(data, log_key=vkey)
    except (Refused, KeysError) as error:
        return _refused("trust-pack", error, page)
    colour = Colour.GREEN if trust.made_at - CLOCK_SKEW <= now <= trust.use_until else Colour.AMBER
    pack_page(trust, colour, now, page)
    keys = trust.authorities.keys.values()
    return colour, {
        "document": "trust-pack",
        "colour": colour.value,
        "origin": trust.origin,
        "name_zh": trust.authorities.name_zh,
        "name_en": trust.authorities.name_en,
        "log_key": trust.log_key.text(),
        "made_at": trust.made_at,
        "use_until": trust.use_until,
        "max_status_age": trust.max_status_age,
        "witnesses": [] if trust.policy is None else list(trust.policy.witnesses),
        "types": list(trust.types),
        "keys": [{"issuer": k.issuer, "kid": k.kid.hex(), "suite": k.suite.name} for k in keys],
    }


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
    return Colour.RED, {"document": document, "colour": Colour.RED.value, **_words(error)}


def _words(error: Refused | KeysError) -> dict[str, str]:
    return {"code": error.code, "zh": error.zh, "en": error.en, "detail": error.detail}


def _unreadable(
    error: Refused | KeysError | OSError,
    options: argparse.Namespace,
    stdout: TextIO,
    stderr: TextIO,
) -> int:
    """Nothing could be judged: exit status 2, and why."""
    if isinstance(error, OSError):
        name, reason = str(error.filename or options.file), error.strerror or str(error)
        words = {"code": "file-unreadable", "zh": "无法读取文件", "en": "cannot read the file"}
        words["detail"] = f"{name}: {reason}"
    else:
        words = _words(error)
    if options.json:
        _write_json({"error": words}, stdout)
    detail = f" ({plain(words['detail'])})" if words["detail"] else ""
    stderr.write(f"{words['zh']} · {words['en']}{detail} [{words['code']}]\n")
    return UNREADABLE


def _write_json(value: object, stdout: TextIO) -> None:
    """Readable Chinese, but no character that would command a terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    stdout.write(text.translate(_UNSHOWABLE) + "\n")
