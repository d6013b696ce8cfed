"""`zhenglian pack show|update|verify`: what they say, what they write, and when they refuse to."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.city import BUSINESS, ISSUED_AT, NOW, ORIGIN, SYNCED_AT, USE_UNTIL, City, signer
from tests.verifier import twin
from tests.verifier.test_pack_update import LATER, Synced
from verifier import cli, kinds, pack_cli
from verifier.codec import b64encode
from verifier.pack import read_pack
from verifier.pack_update import make_update
from verifier.report import cells
from verifier.statement import Content


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Service:
    """A service with one pack, which knows some packs it gave out before."""

    def __init__(self, synced: Synced, *knows: bytes) -> None:
        self.synced = synced
        self.knows = knows
        self.asked: list[str] = []

    def update(self, held: bytes) -> bytes | None:
        self.asked.append("update")
        return self.synced.update() if held in self.knows else None

    def pack(self) -> bytes:
        self.asked.append("pack")
        return self.synced.new

    def consistency(self, old: int, new: int) -> Sequence[bytes]:
        self.asked.append(f"consistency {old} {new}")
        return twin.proof(old, self.synced.city.entries[:new])


@pytest.fixture(scope="module")
def synced() -> Synced:
    return Synced()


@pytest.fixture
def held(synced: Synced, tmp_path: Path) -> Path:
    path = tmp_path / "city.zlpack"
    path.write_bytes(synced.held)
    return path


def run(*argv: object, now: int = NOW, **how: Any) -> Done:
    out, err = io.StringIO(), io.StringIO()
    code = pack_cli.run([str(word) for word in argv], out, err, now, **how)
    return Done(code, out.getvalue(), err.getvalue())


def put(held: Path, name: str, data: bytes) -> Path:
    path = held.parent / name
    path.write_bytes(data)
    return path


# --- show, verify --------------------------------------------------------------------------------


def test_a_pack_is_shown(synced: Synced, held: Path) -> None:
    done = run("show", held, width=160)
    assert (done.code, done.err) == (0, "")
    pack = read_pack(synced.held)
    for expected in (
        "离线核验包可用",
        "The trust pack may be used",
        "示例市 Sample City",
        synced.city.log.key.text(),
        pack.digest.hex(),
        f"{len(synced.held):,} B",
        "卫生健康委 Health Commission",
        "2027-01-15 15:00",
        "1 小时 0 分前",
        "状态列表 0 status list 0",
    ):
        assert expected in done.out, expected
    assert run("show", held, now=USE_UNTIL + 1).code == 3
    assert "已过期" in run("show", held, now=USE_UNTIL + 1).out


def test_nothing_is_shown_that_was_not_checked(held: Path) -> None:
    """A hostile operator logs a new name under two signatures that no officer made."""
    city = City()
    renamed = {"id": "market", "act": "rename", "zh": "假局", "en": "Nobody"}
    content = Content(kinds.DEPARTMENT_CHANGED, facts=renamed)
    facts = city.decided(content, issued_at=ISSUED_AT, by=("first", "second")).facts
    approval = facts["approval"]
    forged = Content(
        kinds.DEPARTMENT_CHANGED,
        facts={**facts, "approval": approval[:-1] + bytes([approval[-1] ^ 1])},
    )
    city.enrolments.append(city.append(city.sign(forged, "operator")))
    done = run("show", put(held, "forged", city.pack()))
    assert (done.code, "change-bad-signature" in done.out) == (1, True)
    assert "Nobody" not in done.out


def test_the_same_is_shown_by_the_verifier_alone(held: Path) -> None:
    out, err = io.StringIO(), io.StringIO()
    assert cli.run(["pack", "show", str(held)], io.BytesIO(), out, err, NOW) == 0
    assert out.getvalue() == run("show", held).out


def test_a_pack_as_json(synced: Synced, held: Path) -> None:
    shown = run("show", held, "--json").json
    assert shown["colour"] == "green"
    assert (shown["sha256"], shown["bytes"]) == (
        read_pack(synced.held).digest.hex(),
        len(synced.held),
    )
    assert shown["checkpoint"]["size"] == synced.size
    assert shown["age_seconds"] == NOW - SYNCED_AT
    assert {key["state"] for key in shown["keys"]} == {"in-force"}
    lists = {each["issuer"]: len(each["lists"]) for each in shown["departments"]}
    assert lists == {f"{ORIGIN}/operator": 0, f"{ORIGIN}/market": 1, f"{ORIGIN}/health": 1}


def test_every_state_of_a_key_is_told(tmp_path: Path) -> None:
    city = City()
    keys = {name: signer(f"{name} key of the market") for name in (
        "leaked", "retired", "suspended", "resumed", "expired", "ends", "begins",
    )}  # fmt: skip
    dates = {
        "expired": {"until": NOW - 1}, "ends": {"until": NOW + 9}, "begins": {"from": NOW + 9},
    }  # fmt: skip
    for name, key in keys.items():
        city.enrol(city.key_content("market", key, [BUSINESS], **dates.get(name, {})))
    at = SYNCED_AT - 60
    city.issue(by=keys["leaked"])
    city.compromise(keys["leaked"], since=at - 60, told=at)
    city.change_key(keys["retired"], "retire", at)
    city.change_key(keys["suspended"], "suspend", at)
    city.change_key(keys["resumed"], "suspend", at)
    city.change_key(keys["resumed"], "resume", at)
    path = tmp_path / "pack"
    path.write_bytes(city.pack())
    shown = {key["kid"]: key for key in run("show", path, "--json").json["keys"]}
    states = {name: shown[key.kid.hex()]["state"] for name, key in keys.items()}
    assert states == {
        "leaked": "compromised", "retired": "retired", "suspended": "suspended",
        "resumed": "in-force", "expired": "expired", "ends": "in-force", "begins": "not-yet",
    }  # fmt: skip
    leaked = shown[keys["leaked"].kid.hex()]
    assert (leaked["compromised_since"], leaked["signed_before"]) == (at - 60, 1)
    text = run("show", path, "--lang", "zh", width=160).out
    for expected in ("已泄露（自 2027-01-15 14:58）", "泄露前签发 1 份", "已退役（", "已暂停（自",
                     "已过期", "在用（至", "起用"):  # fmt: skip
        assert expected in text, expected
    path.write_bytes(city.pack(signed_lists={}))
    assert "its list is missing" in run("show", path, "--lang", "en", width=160).out


@pytest.mark.parametrize("lang", ["zh", "en", "both"])
@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit(synced: Synced, held: Path, lang: str, width: int) -> None:
    update = put(held, "update", synced.update())
    for argv in (
        ("show", held),
        ("verify", held),
        ("update", held, "--from", update, "--out", held.parent / "out"),
    ):
        out = run(*argv, "--lang", lang, width=width).out
        assert max(map(cells, out.splitlines())) <= width + 8


def test_verify_makes_every_check(synced: Synced, held: Path) -> None:
    done = run("verify", held)
    assert (done.code, "核验包完整无误" in done.out) == (0, True)
    assert run("verify", held, now=USE_UNTIL + 1).code == 3
    token = synced.city.status_token("market")
    forged = synced.city.pack(statuses=[token[:-1] + bytes([token[-1] ^ 1])])
    path = put(held, "forged", forged)
    assert run("show", path).code == 1
    done = run("verify", path)
    assert (done.code, "status-wrong-signer" in done.out) == (1, True)
    assert run("verify", path, "--json").json["code"] == "status-wrong-signer"


def test_verify_against_the_pack_held(synced: Synced, held: Path) -> None:
    new, update = put(held, "new", synced.new), put(held, "update", synced.update())
    proof = put(held, "proof.json", proof_json(synced.consistency))
    other = put(held, "other", make_update(synced.new, synced.held + b" ", []))
    for argv, code in [
        ((update, "--since", held), None),
        ((new, "--since", held, "--proof", proof), None),
        ((new, "--since", held), "pack-consistency-missing"),
        ((held, "--since", new), "pack-older"),
        ((update, "--since", new), None),
        ((other, "--since", held), "pack-update-other-base"),
    ]:
        done = run("verify", *argv, "--json")
        assert (done.code, done.json.get("code")) == (0 if code is None else 1, code), argv
    assert held.read_bytes() == synced.held


def test_what_a_file_is_instead_is_said_in_plain_words(synced: Synced, held: Path) -> None:
    for data, code, words in [
        (synced.update(), "pack-is-an-update", "zhenglian pack update PACK --from FILE"),
        (b"", "pack-empty", "the file is empty"),
        (synced.held[:-1], "pack-cut-short", "cut short"),
        (b"no pack at all", "pack-not-a-pack", "not a trust pack"),
    ]:
        path = put(held, "given", data)
        for command in ("show", "verify"):
            done = run(command, path, "--lang", "en", width=160)
            assert (done.code, f"({code})" in done.out, words in done.out) == (1, True, True), code
        if code != "pack-is-an-update":
            assert run("update", held, "--from", path, "--json").json["code"] == code
    cut = put(held, "cut", synced.update()[:-1])
    assert run("update", held, "--from", cut, "--json").json["code"] == "pack-cut-short"
    assert held.read_bytes() == synced.held


def test_the_file_that_is_refused_is_named(synced: Synced, held: Path) -> None:
    new, none = put(held, "new", synced.new), put(held, "none", b"no pack at all")
    for argv, named in [
        (("verify", new, "--since", none), none),
        (("verify", none, "--since", held), none),
        (("update", none, "--from", new), none),
        (("update", held, "--from", none), none),
        (("update", held, "--from", new), new),  # without the proof of consistency
    ]:
        answer = run(*argv, "--json").json
        assert answer["detail"].startswith(f"{named}"), argv
    assert held.read_bytes() == synced.held


def proof_json(hashes: Sequence[bytes]) -> bytes:
    return json.dumps({"old": 1, "new": 2, "hashes": [b64encode(h) for h in hashes]}).encode()


def test_witness_policies_are_told(tmp_path: Path) -> None:
    """Each with its day and who decided it; an override in a row of its own."""
    city = City()
    held = tmp_path / "held"
    held.write_bytes(city.pack())
    size = len(city.entries)
    done = run("show", held, width=200)
    assert f"#{size - 1}" in done.out
    assert "至少 2 家见证方联署：audit、archive、court" in done.out
    assert "first + second" in done.out
    assert "OVERRIDE" not in done.out
    city.set_witnesses("quorum none\n", override='机房断电""', issued_at=ISSUED_AT)
    new = city.pack(made_at=LATER, checkpoint=city.checkpoint(witnesses=0))
    (tmp_path / "new").write_bytes(new)
    proof = tmp_path / "proof.json"
    proof.write_bytes(proof_json(twin.proof(size, city.entries)))
    argv = ("update", held, "--from", tmp_path / "new", "--proof", proof)
    done = run(*argv, "--out", tmp_path / "out", width=200)
    assert done.code == 0
    for expected in ("见证例外 Override", "见证策略变化 Changes of the witness policy",
                     "2026-12-16 16:00 (UTC+8)", "first + second", "机房断电"):  # fmt: skip
        assert expected in done.out, expected
    told = run(*argv, "--json").json["policies"]
    assert told == [
        {
            "index": size,
            "at": ISSUED_AT,
            "by": ["first", "second"],
            "override": '机房断电""',
            "least": 0,
            "text": "quorum none\n",
        }
    ]
    shown = run("show", held, "--json").json
    assert shown["override"] == '机房断电""'
    assert [each["least"] for each in shown["policies"]] == [2, 0]


# --- update --------------------------------------------------------------------------------------


def test_an_update_from_a_file(synced: Synced, held: Path) -> None:
    update = put(held, "update", synced.update())
    done = run("update", held, "--from", update)
    assert (done.code, done.err) == (0, "")
    assert held.read_bytes() == synced.new
    for expected in ("离线核验包已更新", f"{len(synced.update()):,} B", "密钥变化",
                     signer("a new key").kid.hex()):  # fmt: skip
        assert expected in done.out
    assert sorted(path.name for path in held.parent.iterdir()) == ["city.zlpack", "update"]


def test_an_update_that_was_applied_before(synced: Synced, held: Path) -> None:
    """It is said to be, and to be good; an update of a third pack is still refused."""
    update, out = put(held, "update", synced.update()), held.parent / "out.zlpack"
    assert run("update", held, "--from", update).code == 0
    again = run("update", held, "--from", update)
    assert (again.code, "The trust pack was updated" in again.out) == (0, False)
    assert "the pack held is the one that this update leads to" in again.out
    assert held.read_bytes() == synced.new
    done = run("update", held, "--from", update, "--out", out, "--json")
    assert (done.code, done.json["code"], out.read_bytes()) == (0, "unchanged", synced.new)
    other = put(held, "other", make_update(synced.held, synced.held + b" ", []))
    done = run("update", held, "--from", other, "--json")
    assert (done.code, done.json["code"]) == (1, "pack-update-other-base")
    token = synced.city.status_token("market")
    forged = synced.city.pack(made_at=LATER, statuses=[token[:-1] + bytes([token[-1] ^ 1])])
    held.write_bytes(forged)  # what is held is checked, though it is not replaced
    leads = put(held, "leads", make_update(synced.held, forged, synced.consistency))
    done = run("update", held, "--from", leads, "--json")
    assert (done.code, done.json["code"]) == (1, "status-wrong-signer")


def test_an_update_to_another_file_leaves_the_one_held(synced: Synced, held: Path) -> None:
    update, out = put(held, "update", synced.update()), held.parent / "out.zlpack"
    answer = run("update", held, "--from", update, "--out", out, "--json").json
    assert (held.read_bytes(), out.read_bytes()) == (synced.held, synced.new)
    assert (answer["code"], answer["received_bytes"]) == ("updated", len(synced.update()))
    assert (answer["from"]["size"], answer["to"]["size"]) == (
        synced.size,
        len(synced.city.entries),
    )
    assert [key["kid"] for key in answer["keys"]] == [signer("a new key").kid.hex()]


def test_a_full_pack_from_a_file_brings_its_proof(synced: Synced, held: Path) -> None:
    new = put(held, "new", synced.new)
    done = run("update", held, "--from", new, "--json")
    assert (done.code, done.json["code"]) == (1, "pack-consistency-missing")
    assert f"old={synced.size}" in done.json["detail"]
    assert held.read_bytes() == synced.held
    for data in (b"x", b"[]", b'{"hashes": "x"}', b'{"hashes": [5]}'):
        bad = put(held, "proof.json", data)
        done = run("update", held, "--from", new, "--proof", bad, "--json")
        assert (done.code, done.json["code"]) == (1, "proof-malformed")
    proof = put(held, "proof.json", proof_json(synced.consistency))
    assert run("update", held, "--from", new, "--proof", proof).code == 0
    assert held.read_bytes() == synced.new


def test_nothing_newer(synced: Synced, held: Path) -> None:
    done = run("update", held, "--from", held, "--json")
    assert (done.code, done.json["code"]) == (0, "unchanged")
    assert "已是最新" in run("update", held, "--from", held).out


def test_an_update_from_a_service(synced: Synced, held: Path) -> None:
    digest = read_pack(synced.held).digest
    service = Service(synced, digest)
    asked: list[str] = []

    def connect(url: str) -> Service:
        asked.append(url)
        return service

    url = "https://ledger.example"
    done = run("update", held, "--from", url, connect=connect)
    assert (done.code, asked, service.asked) == (0, [url], ["update"])
    assert held.read_bytes() == synced.new


def test_a_service_that_forgot_the_pack_sends_a_whole_one(synced: Synced, held: Path) -> None:
    service = Service(synced)
    done = run("update", held, "--from", "http://x", "--json", connect=lambda url: service)
    assert (done.code, done.json["received_bytes"]) == (0, len(synced.new))
    sizes = f"{synced.size} {len(synced.city.entries)}"
    assert service.asked == ["update", "pack", f"consistency {sizes}"]
    assert held.read_bytes() == synced.new
    again = run("update", held, "--from", "http://x", "--json", connect=lambda url: service)
    assert again.json["code"] == "unchanged"
    assert service.asked[3:] == ["update", "pack"]


def test_every_refusal_keeps_the_old_file(synced: Synced, held: Path) -> None:
    class Lying(Service):
        def consistency(self, old: int, new: int) -> Sequence[bytes]:
            return [bytes(32)] * 5

    class Foreign(Service):
        def pack(self) -> bytes:
            return City("other.example").pack(made_at=LATER)

    class Older(Service):
        def pack(self) -> bytes:
            return City().pack(made_at=SYNCED_AT)

    class Broken(Service):
        def update(self, held: bytes) -> bytes | None:
            return self.synced.update().replace(b"zl-u", b"zl-v")

    cases = [
        (Lying, "pack-inconsistent"),
        (Foreign, "pack-other-ledger"),
        (Older, "pack-older"),
        (Broken, "pack-update-malformed"),
    ]
    for kind, code in cases:
        service = kind(synced)
        done = run("update", held, "--from", "http://x", "--json", connect=lambda _, s=service: s)
        assert (done.code, done.json["code"]) == (1, code)
        assert held.read_bytes() == synced.held
        assert [path.name for path in held.parent.iterdir()] == ["city.zlpack"]


def test_a_pack_whose_slow_checks_fail_is_not_taken(synced: Synced, held: Path) -> None:
    """A counter puts these checks off; so they are made before it gets the pack."""
    token = synced.city.status_token("market")
    forged = synced.city.pack(made_at=LATER, statuses=[token[:-1] + bytes([token[-1] ^ 1])])
    proof = put(held, "proof.json", proof_json(synced.consistency))
    new = put(held, "new", forged)
    done = run("update", held, "--from", new, "--proof", proof, "--json")
    assert (done.code, done.json["code"]) == (1, "status-wrong-signer")
    assert held.read_bytes() == synced.held


def test_the_verifier_alone_has_no_network(held: Path) -> None:
    done = run("update", held, "--from", "https://ledger.example")
    assert (done.code, "pack-source-offline" in done.out) == (1, True)


def test_a_file_that_cannot_be_written_is_said(
    synced: Synced, held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = put(held, "update", synced.update())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    done = run("update", held, "--from", update)
    assert (done.code, "file-unreadable" in done.err) == (2, True)
    assert held.read_bytes() == synced.held
    assert sorted(path.name for path in held.parent.iterdir()) == ["city.zlpack", "update"]


def test_wrong_ways(held: Path) -> None:
    cases: list[tuple[list[object], str]] = [
        ([], "usage"),
        (["dance"], "usage"),
        (["show"], "usage"),
        (["update", held], "--from"),
        (["show", "nowhere"], "file-unreadable"),
        (["update", "nowhere", "--from", held], "file-unreadable"),
        (["update", held, "--from", "nowhere"], "file-unreadable"),
    ]
    for argv, expected in cases:
        done = run(*argv)
        assert (done.code, expected in done.err) == (2, True), (argv, done.err)
    theirs = City("other.example").log.key.text()
    ways: list[list[object]] = [["show", held], ["verify", held], ["update", held, "--from", held]]
    for way in ways:
        assert run(*way, "--vkey", theirs, "--json").json["code"] == "pack-other-ledger"


def test_a_service_that_does_not_answer_is_unreadable(held: Path) -> None:
    def connect(url: str) -> Service:
        raise OSError(111, "Connection refused", url)

    done = run("update", held, "--from", "http://127.0.0.1:9", connect=connect)
    assert (done.code, "Connection refused" in done.err) == (2, True)


def test_help_is_in_both_languages() -> None:
    done = run("--help")
    assert done.code == 0
    assert "离线核验包" in done.out
    assert "Trust packs" in done.out
