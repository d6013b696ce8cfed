"""`zhenglian officer`, `key` and `change`: a city of real officers, from the command line alone."""

import json
import ssl
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner, Result

from api.city import City
from api.cli import app
from api.commands.officers import read_made
from api.commands.proposals import parse_duration, parse_kid, parse_time, read_chain
from api.errors import ServiceError
from api.founding import open_city
from api.officers import read_card
from api.routes.directory import key_json
from keys.errors import ZhenglianError
from keys.names import parse_cose_key
from tests.api.service import PASSPHRASE, settings_of
from tests.city import signer as city_signer
from tests.verifier.certificates import NEW_KEY, Made, root
from verifier.note import COSIGNATURE, make_vkey
from verifier.times import MAX_TIME

ORIGIN = "officers.zhenglian.example"
USCC = "11339900MB9900013Q"
ONE, TWO = ("--as", "chief-1", "--keys", "one"), ("--as", "chief-2", "--keys", "two")
ARCHIVES = ("--as", "archives-1", "--keys", "archives")


def run(*words: object, answer: str = "") -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], input=answer)


def done(*words: object, answer: str = "") -> str:
    """What a command that succeeds writes to standard output."""
    result = run(*words, answer=answer)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout.strip()


def refused(*words: object) -> str:
    """The code of a command's refusal."""
    result = run(*words)
    assert isinstance(result.exception, ZhenglianError), (result.output, result.exception)
    return result.exception.code


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the operator's two officers, each with a key folder, and their city."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DATA": str(tmp_path / "var"),
        "DATABASE": "",
        "ORIGIN": ORIGIN,
        "PASSPHRASE": PASSPHRASE,
        "OFFICER_PASSPHRASE": "an officer's own",
    }.items():
        monkeypatch.setenv(f"ZHENGLIAN_{name}", value)
    done("officer", "new", "chief-1", "--of", "operator", "--keys", "one")
    done("officer", "new", "chief-2", "--of", "operator", "--keys", "two", "--suite", "es256")
    done("found", "--officer", "one/chief-1.card", "--officer", "two/chief-2.card")
    return tmp_path


def city_of(shell: Path) -> City:
    return open_city(settings_of(shell / "var", origin=ORIGIN))


def approved(*words: object) -> str:
    """The id of a change proposed by chief-1 and approved by chief-2."""
    change = done("change", "propose", *words, *ONE)
    assert done("change", "approve", change, *TWO, "--yes") == change
    return change


@pytest.fixture
def archives(shell: Path) -> Path:
    """The same with a department and a key of it."""
    done("officer", "new", "archives-1", "--of", "archives", "--keys", "archives")
    approved(
        *("department", "archives", "--zh", "档案局", "--en", "Archives", "--uscc", USCC),
        *("--card", "archives/archives-1.card"),
    )
    change = done("change", "propose", "key", "archives", "--scope", "YZSX", *ARCHIVES)
    done("change", "approve", change, *TWO, "--yes")
    return shell


def kid_of(shell: Path, slug: str = "archives") -> str:
    with closing(city_of(shell)) as city:
        return city.signer(slug).kid.hex()


# officers


def test_an_officers_key_stays_in_its_folder(shell: Path) -> None:
    card = read_card((shell / "one" / "chief-1.card").read_text())
    assert (card.id, card.of, card.origin) == ("chief-1", "operator", ORIGIN)
    assert not list((shell / "var").rglob("chief*"))
    assert (shell / "one" / "chief-1.zlkey").stat().st_mode & 0o077 == 0
    again = done("officer", "card", "chief-1", "--of", "operator", "--keys", "one")
    assert read_card(again).key == card.key
    listed = done("officer", "list").splitlines()
    assert [line.split()[:2] for line in listed] == [
        ["chief-1", "operator"],
        ["chief-2", "operator"],
    ]


def test_officers_that_cannot_be(shell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = ("officer", "new")
    assert refused(*new, "chief-1", "--of", "operator", "--keys", "one") == "key-exists"
    assert refused(*new, "张三", "--of", "operator", "--keys", "x") == "officer-name-invalid"
    assert refused(*new, "chief-3", "--of", "A", "--keys", "x") == "officer-name-invalid"
    assert not (shell / "x").exists()
    monkeypatch.setenv("ZHENGLIAN_OFFICER_PASSPHRASE", "another")
    card = ("officer", "card", "chief-1", "--of", "operator", "--keys", "one")
    assert refused(*card) == "key-wrong-passphrase"
    monkeypatch.delenv("ZHENGLIAN_OFFICER_PASSPHRASE")
    assert refused(*card) == "passphrase-missing"


CARD = {"format": "zhenglian-officer-1", "key": "", "pop": "", "origin": "", "id": "", "of": ""}


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        {},
        {**CARD, "format": "zhenglian-officer-2"},
        {name: value for name, value in CARD.items() if name != "of"},
        {**CARD, "more": 1},
        {**CARD, "key": "!"},
        {**CARD, "origin": 1},
    ],
)
def test_cards_that_are_none(fields: object) -> None:
    assert read_card(json.dumps(CARD)).id == ""
    with pytest.raises(ServiceError, match="officer-card-malformed"):
        read_card(json.dumps(fields))


# changes


def test_a_department_its_key_and_their_life(archives: Path) -> None:
    kid = kid_of(archives)
    assert f"{kid}  archives" in done("key", "list")
    for act, state in (("suspend", "suspended"), ("resume", "in-force"), ("retire", "retired")):
        change = done("change", "propose", act, kid, *ARCHIVES)
        assert "待批准 open" in run("change", "show", change).output
        done("change", "approve", change, *TWO, "--yes")
        (line,) = [line for line in done("key", "list").splitlines() if line.startswith(kid)]
        assert f" {state} " in line
    listed = done("change", "list", "--state", "logged").splitlines()
    assert len(listed) == 5
    assert all("已入账 logged" in line for line in listed)
    assert done("change", "list", "--state", "open") == ""
    assert refused("change", "list", "--state", "lost") == "request-invalid"


def test_what_is_approved_is_put_in_words_and_asked(archives: Path) -> None:
    kid = kid_of(archives)
    change = done("change", "propose", "suspend", kid, *ARCHIVES)
    no = run("change", "approve", change, *TWO, answer="n\n")
    assert no.exit_code == 1
    assert "暂停使用：档案局的密钥" in no.output
    assert f"suspend key {kid} (ed25519) of Archives" in no.output
    assert "Approve?" in no.output
    assert "open" in run("change", "show", change).output
    yes = run("change", "approve", change, *TWO, answer="y\n")
    assert yes.exit_code == 0, yes.output
    assert "批准人 approved by chief-2" in yes.output


def test_one_officer_alone(archives: Path) -> None:
    change = done("change", "propose", "suspend", kid_of(archives), *ONE)
    assert refused("change", "approve", change, *ONE, "--yes") == "change-own-approval"
    assert refused("change", "approve", "0" * 64, *TWO, "--yes") == "change-unknown"
    done("change", "withdraw", change)
    assert refused("change", "approve", change, *TWO, "--yes") == "change-not-open"


def test_a_rotation(archives: Path) -> None:
    old = kid_of(archives)
    when = ("--at", "2030-01-01T00:00+08:00", "--overlap", "2h")
    change = done("change", "propose", "rotate", "archives", *when, *ARCHIVES)
    shown = run("change", "show", change).output
    assert f"替换密钥 {old}，旧密钥可用至 2030-01-01T02:00:00+08:00" in shown
    done("change", "approve", change, *TWO, "--yes")
    with closing(city_of(archives)) as city:
        assert city.signer("archives").kid.hex() == old
        new = city.signer("archives", parse_time("2030-01-01"))
        key = city.authorities.keys[new.kid]
        assert (key.scope, key.replaces) == (frozenset({"YZSX"}), bytes.fromhex(old))


def test_a_rotation_that_nobody_could_approve(archives: Path) -> None:
    rotate = ("change", "propose", "rotate", "archives", *ARCHIVES)
    assert refused(*rotate, "--overlap", "0m") == "rotation-overlap-missing"
    assert refused(*rotate, "--at", "9999-12-31T23:59") == "code-date-invalid"
    assert refused(*rotate, "--overlap", "99999999d") == "enrolment-malformed"
    done(*rotate, "--overlap", "0m", "--at", "2030-01-01")
    assert len(done("change", "list", "--state", "open").splitlines()) == 1


def test_types_of_another_department_are_pointed_out(archives: Path) -> None:
    """Two of the department alone may decide so; whoever approves is told, and so are they."""
    key = ("change", "propose", "key", "archives", "--scope", "food-licence", *ARCHIVES)
    shown = run(*key).output
    assert "食品经营许可证按目录属于" in shown
    assert "NOTE, types of other departments by the catalogue: " in shown
    with closing(city_of(archives)) as city:
        (owner,) = city.type_issuers[city.catalogue.licence_type("food-licence").code]
    assert f"belongs to {owner}" in shown


def test_a_key_made_first_and_proposed_by_its_file(archives: Path) -> None:
    made = ("key", "make", "archives", "--suite", "es256")
    done(*made, "--out", "made.json")
    kid = json.loads(Path("made.json").read_text())["kid"]
    assert json.loads(done(*made))["kid"] == kid  # not enrolled yet: the same again
    words = ("propose", "key", "archives", "--made", "made.json", "--until", "2030-01-01")
    change = done("change", *words, "--scope", "YZSX", *ARCHIVES)
    done("change", "approve", change, *TWO, "--yes")
    with closing(city_of(archives)) as city:
        key = city.authorities.keys[bytes.fromhex(kid)]
        assert key.valid_until == parse_time("2030-01-01")
    other = ("change", "propose", "key", "operator", "--made", "made.json", *ONE)
    assert refused(*other) == "request-invalid"
    Path("made.json").write_text("{}")
    with pytest.raises(ServiceError, match="request-invalid"):
        read_made(Path("made.json"))
    assert refused("key", "make", "navy") == "enrolment-unknown-department"


def test_a_compromise(archives: Path) -> None:
    kid = kid_of(archives)
    words = ("change", "propose", "compromise", kid, "--since", "2026-11-01")
    change = done(*words, *ARCHIVES)
    assert "宣告泄露" in run("change", "show", change).output
    done("change", "approve", change, *TWO, "--yes")
    (line,) = [line for line in done("key", "list").splitlines() if line.startswith(kid)]
    assert "已泄露 compromised" in line


def test_the_witness_policy(shell: Path) -> None:
    """One officer cannot; fewer witnesses than before take a reason; the log shows all of it."""
    court = make_vkey("court.example", city_signer("court").public, COSIGNATURE).text()
    file, none = shell / "policy", shell / "none"
    file.write_text(f"# ours\nwitness court {court} https://court.example/\nquorum court\n")
    none.write_text("quorum none\n")
    assert refused("change", "propose", "witnesses", none, *ONE) == "witnesses-override-missing"
    change = done("change", "propose", "witnesses", file, *ONE)
    assert refused("change", "approve", change, *ONE, "--yes") == "change-own-approval"
    done("change", "approve", change, *TWO, "--yes")
    assert refused("change", "propose", "witnesses", none, *ONE) == "witnesses-override-missing"
    approved("witnesses", none, "--override", "法院机房断电")
    with closing(city_of(shell)) as city:
        assert city.authorities.policy_override == "法院机房断电"
    assert "见证策略例外" in done("change", "list")
    for data, code in ((b"\xff", "policy-malformed"), (b"x" * 300_000, "too-large")):
        file.write_bytes(data)
        assert refused("change", "propose", "witnesses", file, *ONE) == code


def test_officers_come_and_go(archives: Path) -> None:
    done("officer", "new", "chief-3", "--of", "operator", "--keys", "three")
    approved("officer", "three/chief-3.card")
    leaves = ("change", "propose", "officer-leaves", "chief-1", *ARCHIVES)
    assert refused(*leaves) == "officer-not-entitled"
    change = done("change", "propose", "officer-leaves", "chief-1", *TWO)
    done("change", "approve", change, "--as", "chief-3", "--keys", "three", "--yes")
    assert "离任 left" in done("officer", "list")
    again = ("change", "propose", "suspend", kid_of(archives), *ONE)
    assert refused(*again) == "officer-not-in-office"


def test_departments_renamed_merged_and_closed(archives: Path) -> None:
    done("officer", "new", "museum-1", "--of", "museum", "--keys", "museum")
    names = ("--zh", "博物馆", "--en", "Museum", "--uscc", "11339900mb9900910j")
    card = ("--card", "museum/museum-1.card")
    zoo = ("change", "propose", "department", "zoo", *names, *card, *ONE)
    assert refused(*zoo) == "officer-card-foreign"
    approved("department", "museum", *names, *card)
    approved("rename", "museum", "--zh", "博物院", "--en", "Museums")
    approved("merge", "museum", "--into", "archives")
    with closing(city_of(archives)) as city:
        assert city.acting("museum") == "archives"
        assert city.authorities.departments[f"{ORIGIN}/museum"].zh == "博物院"
    approved("close", "archives")
    made = ("key", "make", "archives")
    assert refused(*made) == "department-ended"


class Certified:
    """The public half of a key that lies in the city's custody."""

    def __init__(self, cose_key: bytes) -> None:
        _, public = parse_cose_key(cose_key)
        self._public = ec.EllipticCurvePublicKey.from_encoded_point(
            ec.SECP256R1(), b"\x04" + public
        )

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public


def pem(*certificates: Made) -> str:
    return "".join(ssl.DER_cert_to_PEM_cert(each.der) for each in certificates)


def test_a_key_with_a_certificate(archives: Path) -> None:
    """From a CA that two officers recognised; no longer, once they withdraw that."""
    anchor = root(NEW_KEY["es256"](), "示例认证机构")
    Path("ca.pem").write_text(pem(anchor))
    done("key", "make", "archives", "--suite", "es256", "--out", "made.json")
    _, cose_key, _ = read_made(Path("made.json"))
    leaf = anchor.issue(Certified(cose_key), "档案局")
    Path("chain.pem").write_text(pem(leaf, anchor))
    words = ("propose", "key", "archives", "--made", "made.json", "--scope", "YZSX")
    certified = ("change", *words, "--chain", "chain.pem", *ARCHIVES)
    assert refused(*certified) == "chain-untrusted"
    approved("ca", "ca.pem", "--zh", "示例认证机构", "--en", "Example CA")
    change = done(*certified)
    assert "附证书链（2 张）" in run("change", "show", change).output
    done("change", "approve", change, *TWO, "--yes")
    with closing(city_of(archives)) as city:
        key = city.authorities.keys_of(f"{ORIGIN}/archives")[-1]
        shown = key_json(key, city.now())["certificate"]
        assert shown["subject"] == "CN=档案局,C=CN"
        assert shown["issuer"] == "CN=示例认证机构,C=CN"
    done(
        "change",
        "approve",
        done("change", "propose", "suspend", key.kid.hex(), *ONE),
        *TWO,
        "--yes",
    )
    approved("ca-withdraw", "ca.pem")
    again = ("change", "propose", "ca-withdraw", "ca.pem", *ONE)
    assert refused(*again) == "enrolment-malformed"


def test_words_that_are_no_kid_time_or_duration(tmp_path: Path) -> None:
    assert parse_time("2026-05-01") == parse_time("2026-05-01T00:00+08:00") == 1_777_564_800
    assert parse_time("2026-04-30T16:00:00Z") == 1_777_564_800
    assert [parse_duration(text) for text in ("0s", "15m", "2h", "1d")] == [0, 900, 7_200, 86_400]
    assert parse_time("8999-12-31T23:59:59Z") == MAX_TIME - 1
    assert parse_time("1970-01-01T08:00") == 0
    edges = ("0001-01-01T00:00", "9999-12-31T23:59", "9999-12-31T23:59-23:00", "9000-01-01T08:00")
    for bad in ("", "tomorrow", "2026-13-01", "1960-01-01", *edges):
        with pytest.raises(ServiceError, match="code-date-invalid"):
            parse_time(bad)
    for bad in ("", "15", "m", "-1m", "015m", "1w"):
        with pytest.raises(ServiceError, match="request-invalid"):
            parse_duration(bad)
    for bad in ("", "0" * 15, "G" * 16, "A" * 16):
        with pytest.raises(ServiceError, match="request-invalid"):
            parse_kid(bad)
    pem = tmp_path / "chain.pem"
    block = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
    pem.write_text(block.format("MAA=") + block.format("MAEA"))
    assert read_chain(pem) == [b"0\0", b"0\x01\0"]
    pem.write_bytes(b"0\0")
    assert read_chain(pem) == [b"0\0"]


# officers whose keys are not on the city's machine


def test_an_officer_with_an_air_gap(archives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proposed and approved on machines that have no city; files carry what was signed."""
    kid = kid_of(archives)
    monkeypatch.setenv("ZHENGLIAN_DATA", str(archives / "nowhere"))
    done("change", "propose", "suspend", kid, *ARCHIVES, "--out", "proposal.cose")
    shown = run("change", "approve", "proposal.cose", *TWO, "--out", "approval.cose", answer="y\n")
    assert shown.exit_code == 0, shown.output
    assert f"暂停使用：密钥 {kid}" in shown.output
    assert refused("change", "submit", "proposal.cose") == "city-not-founded"
    monkeypatch.setenv("ZHENGLIAN_DATA", str(archives / "var"))
    assert refused("change", "submit", "approval.cose") == "change-unknown"
    change = done("change", "submit", "proposal.cose")
    assert done("change", "submit", "approval.cose") == change
    assert refused("change", "submit", "approval.cose") == "change-replayed"
    with closing(city_of(archives)) as city:
        assert city.authorities.keys[bytes.fromhex(kid)].is_suspended
    Path("rubbish").write_bytes(b"rubbish")
    assert refused("change", "submit", "rubbish") == "cose-malformed"


def test_a_proposal_from_the_desk_approved_elsewhere(
    archives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kid = kid_of(archives)
    change = done("change", "propose", "retire", kid, *ARCHIVES)
    done("change", "show", change, "--out", "proposal.cose")
    monkeypatch.setenv("ZHENGLIAN_DATA", str(archives / "nowhere"))
    done("change", "approve", "proposal.cose", *TWO, "--out", "approval.cose", "--yes")
    monkeypatch.setenv("ZHENGLIAN_DATA", str(archives / "var"))
    assert done("change", "submit", "approval.cose") == change


def test_a_proposal_file_approved_at_the_city(archives: Path) -> None:
    words = ("change", "propose", "suspend", kid_of(archives), *ARCHIVES, "--out", "proposal.cose")
    done(*words)
    assert done("change", "list", "--state", "open") == ""
    done("change", "approve", "proposal.cose", *TWO, "--yes")
    assert len(done("change", "list").splitlines()) == 3


def test_founding_takes_two_cards(shell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZHENGLIAN_DATA", str(shell / "other"))
    assert refused("found", "--officer", "one/chief-1.card") == "found-officers-missing"
    monkeypatch.setenv("ZHENGLIAN_ORIGIN", "other.example")
    cards = ("--officer", "one/chief-1.card", "--officer", "two/chief-2.card")
    assert refused("found", *cards) == "officer-card-foreign"
    monkeypatch.setenv("ZHENGLIAN_ORIGIN", ORIGIN)
    assert (
        refused("found", *cards[:2], "--officer", "two/chief-2.zlkey") == "officer-card-malformed"
    )
    done("found", *cards)


def test_a_rotation_keeps_the_suite_of_the_key_that_it_replaces(shell: Path) -> None:
    """A department on one algorithm is not moved to another because nobody wrote its name."""
    done("officer", "new", "archives-1", "--of", "archives", "--keys", "archives")
    approved(
        *("department", "archives", "--zh", "档案局", "--en", "Archives", "--uscc", USCC),
        *("--card", "archives/archives-1.card"),
    )
    for words in (("key", "archives", "--suite", "es256"), ("rotate", "archives")):
        change = done("change", "propose", *words, *ARCHIVES)
        done("change", "approve", change, *TWO, "--yes")
    with closing(city_of(shell)) as city:
        keys = city.authorities.keys_of(city.issuer("archives"))
        assert [key.suite.name for key in keys] == ["es256", "es256"]
    assert refused(
        "change", "propose", "rotate", "archives", "--replaces", "0" * 16, *ARCHIVES
    ) == ("key-not-enrolled")


def test_a_type_in_a_scope_goes_by_code_or_slug_and_a_wrong_word_makes_no_key(
    archives: Path,
) -> None:
    key = ("change", "propose", "key", "archives", "--suite", "es256", *ARCHIVES)
    custody = archives / "var" / "custody"
    before = sorted(custody.iterdir())
    assert refused(*key, "--scope", "no-such-type") == "catalogue-unknown-type"
    assert refused(*key, "--until", "yesterday") == "code-date-invalid"
    assert sorted(custody.iterdir()) == before
    change = done(*key, "--scope", "business-licence", "--scope", "YZSX")
    done("change", "approve", change, *TWO, "--yes")
    with closing(city_of(archives)) as city:
        newest = city.authorities.keys_of(city.issuer("archives"))[-1]
        code = city.catalogue.licence_types["business-licence"].code
        assert newest.scope == {code, "YZSX"}
