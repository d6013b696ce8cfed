"""What the verifier's commands share: files, times, and saying what failed."""

import argparse
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, TextIO

from keys.errors import KeysError, ZhenglianError
from verifier.codec import parse_decimal
from verifier.errors import Refused
from verifier.note import parse_vkey
from verifier.pack import MAX_PACK, Pack, read_pack
from verifier.report import BEIJING, BOTH, EN, ZH, plain
from verifier.verdict import Colour

EXIT: Final = {Colour.GREEN: 0, Colour.RED: 1, Colour.AMBER: 3}
UNREADABLE: Final = 2
TWO_HISTORIES: Final = 4
_UNSHOWABLE: Final = {
    code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), *range(0x2028, 0x202F))
}


def prepare_streams() -> tuple[bool, int]:
    """Output that no character can break; whether it may be coloured, and its width in cells."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return colour, min(120, shutil.get_terminal_size((100, 24)).columns)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """--json, --lang, --now and --vkey, which every command has."""
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
        type=_vkey,
        metavar="TEXT",
        help="账本公钥；核验包不属于它则拒绝 / the log's vkey: a pack of another log is refused",
    )


def _time(text: str) -> int:
    try:
        return parse_decimal(text, max_value=1 << 40) if text.isdigit() else _iso(text)
    except Refused as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"时间写法不对 / not a time: {text[:40]}") from error


def _vkey(text: str) -> str:
    try:
        return parse_vkey(text).text()
    except (Refused, KeysError) as error:
        raise argparse.ArgumentTypeError(f"{error.zh} / {error.en} [{error.code}]") from error


def _iso(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=BEIJING)).timestamp())


def read_limited(path: Path, limit: int = MAX_PACK) -> bytes:
    """A file, up to one byte more than the limit, which is a pack's unless given."""
    with path.open("rb") as file:
        return file.read(limit + 1)


@contextlib.contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """A refusal of what is in a file names the file."""
    try:
        yield
    except (Refused, KeysError) as error:
        detail = f"{path}: {error.detail}" if error.detail else str(path)
        raise type(error)(error.code, detail) from error


def read_pack_file(path: Path, *, log_key: str | None = None) -> Pack:
    """The trust pack in a file: `read_pack`, whose refusals then name the file. A `log_key` that
    is none is refused before the file is read (`note-key-malformed` …)."""
    if log_key is not None:
        parse_vkey(log_key)
    with naming(path):
        return read_pack(read_limited(path), log_key=log_key)


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file that is, at every moment, the old one or the new one, whole; durable."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # where folders cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def words_of(error: ZhenglianError) -> dict[str, str]:
    """A refusal for JSON."""
    return {"code": error.code, "zh": error.zh, "en": error.en, "detail": error.detail}


def say_unreadable(
    error: ZhenglianError | OSError,
    options: argparse.Namespace,
    stdout: TextIO,
    stderr: TextIO,
) -> int:
    """Nothing could be judged: exit status 2, and why."""
    if isinstance(error, OSError):
        name, reason = str(error.filename or options.file), error.strerror or str(error)
        words = {
            "code": "file-unreadable",
            "zh": "无法读写文件",
            "en": "cannot read or write a file",
        }
        words["detail"] = f"{name}: {reason}"
    else:
        words = words_of(error)
    if options.json:
        write_json({"error": words}, stdout)
    detail = f" ({plain(words['detail'])})" if words["detail"] else ""
    stderr.write(f"{words['zh']} · {words['en']}{detail} [{words['code']}]\n")
    return UNREADABLE


def write_json(value: object, stdout: TextIO) -> None:
    """Readable Chinese, but no character that would command a terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    stdout.write(text.translate(_UNSHOWABLE) + "\n")
