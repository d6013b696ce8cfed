"""`zhenglian verify`: what it prints, in which colour, and with which exit status."""

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.city import FACE, NOW, ORIGIN, SYNCED_AT, TODAY, USE_UNTIL, City, signer
from tests.verifier.test_image import drawn, saved
from verifier import states
from verifier.cli import run
from verifier.codec import byte_string, cbor_encode
from verifier.judge import CLOCK_SKEW
from verifier.pack import sign_pack
from verifier.pack_update import make_update
from verifier.receipt import Receipt, sign_receipt
from verifier.report import age, cells, clock, plain, wrap

ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Counter:
    """A counter's machine: a folder with a pack, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.city = City()
        self.good = self.city.issue()
        self.revoked = self.city.issue()
        self.expired = self.city.issue(valid_until=TODAY - 1)
        self.city.set_state(self.revoked, states.REVOKED)
        self.pack = self.write("pack.cbor", self.city.pack())

    def write(self, name: str, content: str | bytes) -> str:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def run(self, *argv: str, stdin: bytes = b"", now: int = NOW, **how: Any) -> Done:
        out, err = io.StringIO(), io.StringIO()
        code = run(argv, io.BytesIO(stdin), out, err, now, **how)
        return Done(code, out.getvalue(), err.getvalue())

    def verify(self, content: str | bytes, *argv: str, **how: Any) -> Done:
        return self.run(self.write("shown", content), "--trust", self.pack, *argv, **how)

    def receipt(self, answer: str = "yes") -> bytes:
        receipt = Receipt(
            "A" * 22, "over-18", answer, f"{ORIGIN}/health", bytes(32), bytes(32), NOW, NOW + 300
        )
        return sign_receipt(receipt, issuer=f"{ORIGIN}/operator", signer=self.city.operator)


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path)


# --- codes -------------------------------------------------------------------------------------


def test_green(counter: Counter) -> None:
    done = counter.verify(counter.good.qr() + "\n")
    first, second, *rest = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert first.strip() == "有效：证照真实且当前有效"
    assert second.strip() == "Valid: genuine and in force"
    text = "\n".join(rest)
    for expected in (
        "营业执照 Business licence",
        *(str(value) for value in FACE.values()),
        "市场监督管理局 Market Supervision",
        "2026-12-16 → 2032-01-14",
        "1 组信息 1 group of fields",
        "✓  1  格式：完整且为本系统编码",
        "–  8  入账：已记入账本",
        "2027-01-15 15:00 (1 小时 0 分前 1 h 0 min ago)",
    ):
        assert expected in text
    assert "\x1b" not in done.out


def test_red_amber_and_their_exit_statuses(counter: Counter) -> None:
    city = counter.city
    cases: list[tuple[str | bytes, int, int, str]] = [
        (counter.good.qr(), NOW, 0, "有效：证照真实且当前有效"),
        (counter.revoked.qr(), NOW, 1, "证照已吊销"),
        (counter.expired.qr(), NOW, 1, "已过有效期"),
        (city.issue(by=signer("nobody")).qr(), NOW, 1, "签发密钥未登记"),
        ("https://example.org", NOW, 1, "不是证链二维码"),
        (counter.good.qr()[:-9], NOW, 1, "二维码内容不完整"),
        (counter.good.statement, NOW, 3, "签名真实，但未出示内容，无法确认证照属于谁"),
        (counter.good.qr(), USE_UNTIL + 1, 3, "签名真实，但离线核验包已过期，请同步后再核验"),
        (city.issue().qr(), NOW, 3, "签名真实，但无法确认当前状态，请联网核验"),
        (b"", NOW, 1, "不是证链二维码"),
        (b"%PDF-1.7", NOW, 1, "不是证链二维码"),
    ]
    for content, now, code, sentence in cases:
        done = counter.verify(content, now=now)
        assert (done.code, done.out.splitlines()[0].strip()) == (code, sentence)


def test_a_failed_check_says_why(counter: Counter) -> None:
    out = counter.verify(counter.expired.qr()).out
    assert "✗  7  有效期：今日在有效期内" in out
    assert "已过有效期 (2027-01-14)" in out


def test_where_the_record_stands(counter: Counter) -> None:
    out = counter.verify(counter.city.transparent(counter.good)).out
    assert f"{counter.good.index} / {len(counter.city.entries)}" in out
    assert "audit、archive、court" in out
    assert out.count("✓") == 11


def test_standard_input_pictures_and_byte_order_marks(counter: Counter) -> None:
    text = counter.good.qr()
    for data in (text.encode(), text.encode() + b"\r\n", b"\xef\xbb\xbf" + text.encode(),
                 saved(drawn(text)), saved(drawn(text), "JPEG")):  # fmt: skip
        assert counter.run("-", "--trust", counter.pack, stdin=data).code == 0
    shown = counter.run("-", "--trust", counter.pack, stdin=saved(drawn("https://example.org/")))
    assert shown.code == 1


def test_the_languages(counter: Counter) -> None:
    zh = counter.verify(counter.good.qr(), "--lang", "zh").out
    en = counter.verify(counter.good.qr(), "--lang", "en").out
    assert "Valid" not in zh
    assert "Business licence" not in zh
    assert "有效" not in en
    assert "营业执照" not in en
    assert "法定代表人" not in en


def test_colours_are_asked_for(counter: Counter) -> None:
    cases: list[tuple[str | bytes, str]] = [
        (counter.good.qr(), "42"),
        (counter.revoked.qr(), "41"),
        (counter.good.statement, "43"),
    ]
    for content, colour in cases:
        painted = counter.verify(content, colour=True).out
        assert painted.splitlines()[0].startswith("\x1b[1;")
        assert f";{colour}m" in painted.splitlines()[0]
        bare = [line.strip() for line in ANSI.sub("", painted).splitlines()]
        assert bare == [line.strip() for line in counter.verify(content).out.splitlines()]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
@pytest.mark.parametrize("lang", ["zh", "en", "both"])
def test_lines_fit_and_labels_align(counter: Counter, width: int, lang: str) -> None:
    city = counter.city
    shown: list[str | bytes] = [
        counter.good.qr(show=2),
        city.transparent(counter.revoked),
        city.pack(),
        counter.receipt(),
    ]
    for content in shown:
        out = counter.verify(content, "--lang", lang, width=width).out
        slack = 8 if width >= 80 else 40  # a check's name is never broken
        assert max(cells(line) for line in out.splitlines()) <= width + slack
    rows = counter.verify(counter.good.qr(), "--lang", lang, width=120).out.splitlines()
    starts = {cells(line[: line.index(str(FACE[name]))]) for name in ("uscc", "capital")
              for line in rows if str(FACE[name]) in line}  # fmt: skip
    assert len(starts) == 1


def test_signed_text_cannot_command_the_terminal(counter: Counter) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\u202egnp.exe\u009b31m\r\n有效"
    shown = counter.city.issue(face={"name": evil, "\x1b[1m": evil})
    counter.pack = counter.write("pack.cbor", counter.city.pack())
    for argv in ((), ("--json",)):
        out = counter.verify(shown.qr(), *argv).out
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", out)
    foreign = City("other.example").issue().qr()
    assert "\x1b" not in counter.verify(foreign).out


# --- JSON --------------------------------------------------------------------------------------


def test_json_is_the_verdict(counter: Counter) -> None:
    done = counter.verify(counter.revoked.qr(), "--json")
    assert done.code == 1
    assert (done.json["colour"], done.json["code"]) == ("red", "status-revoked")
    assert done.json["document"] == "code"
    assert len(done.json["checks"]) == 11
    assert done.json["licence"]["fields"][0]["value"] == FACE["name"]
    assert done.json["status"] == {"state": 14, "as_of": SYNCED_AT, "age_seconds": 3600}


def test_json_of_what_cannot_be_read(counter: Counter) -> None:
    done = counter.run("nowhere", "--trust", counter.pack, "--json")
    assert done.code == 2
    assert done.json["error"]["code"] == "file-unreadable"


# --- receipts and packs ------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "zh"), [("yes", "是"), ("no", "否"), ("unknown", "未知")])
def test_a_receipt(counter: Counter, answer: str, zh: str) -> None:
    done = counter.verify(counter.receipt(answer))
    assert done.code == 0
    assert done.out.splitlines()[0].strip() == f"核验回执真实有效，答复：{zh}"
    assert counter.verify(counter.receipt(answer), "--json").json["answer"] == answer


def test_a_receipt_of_another_time_or_signer(counter: Counter) -> None:
    raw = counter.receipt()
    assert counter.verify(raw, now=NOW + 301).code == 1
    assert counter.verify(raw, now=NOW - 301).code == 1
    assert counter.verify(raw[:-1] + bytes([raw[-1] ^ 1])).code == 1
    done = counter.verify(raw, "--json", now=NOW + 301)
    assert (done.json["document"], done.json["code"]) == ("receipt", "receipt-expired")
    counter.pack = counter.write("pack.cbor", counter.city.pack(use_until=NOW - 1))
    done = counter.verify(raw)
    assert (done.code, "离线核验包已过期" in done.out) == (3, True)


def test_a_pack_is_shown(counter: Counter) -> None:
    done = counter.run(counter.pack)
    assert done.code == 0
    for expected in ("离线核验包可用", ORIGIN, "示例市 Sample City", "卫生健康委"):
        assert expected in done.out
    for signing in counter.city.departments.values():
        assert signing.kid.hex() in done.out
    assert counter.run(counter.pack, now=USE_UNTIL + 1).code == 3
    assert counter.run(counter.pack, now=SYNCED_AT - CLOCK_SKEW).code == 0
    assert counter.run(counter.pack, now=SYNCED_AT - CLOCK_SKEW - 1).code == 3
    shown = counter.run(counter.pack, "--json").json
    assert (shown["document"], len(shown["keys"])) == ("trust-pack", 3)


def test_a_false_pack_is_red_when_shown_and_unusable_when_trusted(counter: Counter) -> None:
    forged = sign_pack(counter.city.pack_content(), signer("nobody"))
    done = counter.run(counter.write("forged", forged))
    assert (done.code, "pack-wrong-signer" in done.out) == (1, True)
    done = counter.run(counter.write("code", counter.good.qr()), "--trust",
                       counter.write("forged", forged))  # fmt: skip
    assert (done.code, "pack-wrong-signer" in done.err, done.out) == (2, True, "")


def test_a_pack_of_another_ledger_is_not_used(counter: Counter) -> None:
    theirs = City("other.example").log.key.text()
    ours = counter.city.log.key.text()
    assert counter.verify(counter.good.qr(), "--vkey", ours).code == 0
    done = counter.verify(counter.good.qr(), "--vkey", theirs)
    assert (done.code, "pack-other-ledger" in done.err) == (2, True)
    assert counter.run(counter.pack, "--vkey", theirs).code == 1


@pytest.mark.parametrize("vkey", ["garbage", "a.example+00000000+AQ", "a.example+00000000+!"])
def test_a_key_that_is_none_is_said_to_be_none_before_a_file_is_read(
    counter: Counter, vkey: str
) -> None:
    for file in ("nowhere", counter.pack):
        done = counter.run(file, "--vkey", vkey)
        assert (done.code, done.out) == (2, "")
        assert "note-key-malformed" in done.err


def test_the_refusal_of_a_pack_names_its_file(counter: Counter) -> None:
    code, theirs = counter.good.qr(), City("other.example").log.key.text()
    for name, data, *more in [("no.pack", b"no pack"), ("our.pack", counter.city.pack(), theirs)]:
        trust = counter.write(name, data)
        argv = ["--vkey", *more] if more else []
        done = counter.run(counter.write("code", code), "--trust", trust, *argv)
        assert (done.code, f"({trust}: " in done.err) == (2, True)


# --- other files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beside", "code"),
    [
        (b"\xd2\x84" + bytes(range(40)), "cose-receipt-malformed"),
        (b"\x93\x01\xfe random bytes", "cose-receipt-malformed"),
        (b"", "cose-receipt-malformed"),
        ("the pack", "cose-receipt-malformed"),
        ("a COSE receipt cut short", "cose-receipt-malformed"),
        ("another structure", "cose-receipt-structure"),
        ("a COSE receipt", ""),
    ],
)
def test_a_receipt_file_that_is_no_cose_receipt(
    counter: Counter, beside: str | bytes, code: str
) -> None:
    good = counter.city.receipt(counter.good.index)
    other = cbor_encode({1: -19, 395: 2})
    data = {
        "the pack": Path(counter.pack).read_bytes(),
        "a COSE receipt": good,
        "a COSE receipt cut short": good[:-1],
        "another structure": b"\xd2\x84" + byte_string(other) + b"\xa0\xf6\x41\x00",
    }.get(str(beside), beside)
    path = counter.write("receipt.cose", data)
    done = counter.verify(counter.good.qr(), "--receipt", path)
    if not code:
        assert (done.code, "✓  8" in done.out) == (0, True)
        return
    assert (done.code, done.out) == (2, "")
    assert f"[{code}]" in done.err
    assert path in done.err


def test_a_bare_checkpoint_is_called_one(counter: Counter) -> None:
    path = counter.write("checkpoint", counter.city.checkpoint())
    for more in ([], ["--trust", counter.pack]):
        done = counter.run(path, *more)
        assert (done.code, done.out) == (2, "")
        for expected in (path, "audit --since", "monitor", "mirror", "[checkpoint-alone]"):
            assert expected in done.err
    note = counter.write("note", counter.city.checkpoint().replace(b"\n", b"\nno size\n", 1))
    assert "trust-missing" in counter.run(note).err


# --- usage -------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_two(counter: Counter) -> None:
    code = counter.write("code", counter.good.qr())
    cut = counter.write("cut", Path(counter.pack).read_bytes()[:-1])
    empty = counter.write("empty.png", saved(drawn("x")).replace(b"IDAT", b"IDAX"))
    for argv, expected in [
        ([], "usage"),
        (["a", "b"], "usage"),
        ([code, "--lang", "fr"], "--lang"),
        ([code], "trust-missing"),
        ([code, "--trust", "nowhere"], "file-unreadable"),
        (["nowhere", "--trust", counter.pack], "file-unreadable"),
        ([code, "--trust", code], "不是离线核验包 · not a trust pack"),
        ([code, "--trust", code], "pack-not-a-pack"),
        ([code, "--trust", counter.write("nothing", b"")], "the file is empty"),
        (
            [code, "--trust", cut],
            "cut short",
        ),
        ([code, "--trust", counter.write("update", make_update(b"", b"", []))], "pack update PACK"),
        ([code, "--trust", counter.pack, "--now", "tomorrow"], "tomorrow"),
        ([code, "--trust", counter.pack, "--now", "9" * 20], "decimal"),
        ([empty, "--trust", counter.pack], "image-malformed"),
        ([str(counter.folder), "--trust", counter.pack], "file-unreadable"),
    ]:
        done = counter.run(*argv)
        assert (done.code, expected in done.err, done.out) == (2, True, ""), (argv, done.err)


def test_help_is_in_both_languages(counter: Counter) -> None:
    done = counter.run("--help")
    assert (done.code, done.err) == (0, "")
    assert "离线核验" in done.out
    assert "with no network" in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("time", "code"),
    [
        (str(NOW), 0),
        ("2027-01-15T16:00", 0),
        ("2027-01-15T08:00:00+00:00", 0),
        ("2027-01-15T08:00:00Z", 0),
        ("2027-01-20", 3),
        ("2032-01-15", 1),
    ],
)
def test_the_time_may_be_given(counter: Counter, time: str, code: int) -> None:
    assert counter.verify(counter.good.qr(), "--now", time, now=0).code == code


def test_the_module_runs_with_nothing_else(counter: Counter, repo: Path) -> None:
    code = counter.write("code", counter.good.qr())
    done = subprocess.run(
        [sys.executable, "-m", "verifier", code, "--trust", counter.pack, "--now", str(NOW)],
        cwd=repo,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[0].strip() == "有效：证照真实且当前有效"


# --- text --------------------------------------------------------------------------------------


def test_widths() -> None:
    assert (cells("证链"), cells("ab"), cells("e\u0301"), cells("（")) == (4, 2, 1, 2)
    assert wrap("示例市横江路658号4幢", 8) == ["示例市横", "江路658", "号4幢"]
    assert wrap("one two three", 7) == ["one two", "three"]
    assert wrap("x" * 10, 4) == ["xxxx", "xxxx", "xx"]
    assert wrap("", 4) == [""]


def test_plain_text() -> None:
    assert plain("a\x1bb\u202ec") == "a\ufffdb\ufffdc"
    assert plain(["一", 2, True]) == "一、2、是 yes"


def test_times_and_ages() -> None:
    assert clock(NOW) == "2027-01-15 16:00"
    assert clock(None) == clock(-1) == clock(1 << 40) == "—"
    assert age(-5) == ("0 分钟前", "0 min ago")
    assert age(3600 + 120) == ("1 小时 2 分前", "1 h 2 min ago")
    assert age(2 * 86_400 + 7200) == ("2 天 2 小时前", "2 d 2 h ago")


def test_documents_in_base64_are_read_as_the_service_writes_them(counter: Counter) -> None:
    statement = base64.b64encode(counter.good.statement) + b"\n"
    done = counter.verify(statement)
    assert (done.code, "Genuine" in done.out or "Valid" in done.out) == (3, True)
    cut = counter.verify(statement[:-9])
    assert (cut.code, "不是证链二维码" in cut.out) == (1, True)


def test_blanks_around_a_code_are_not_part_of_it(counter: Counter) -> None:
    assert counter.verify("  \t" + counter.good.qr() + " \r\n").code == 0
