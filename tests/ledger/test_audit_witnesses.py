"""The audit asks for the cosignatures that the ledger's own policy wants, and names overrides."""

import pytest

from ledger.audit.report import AuditReport, render
from tests.city import ISSUED_AT
from tests.city import City as Trusted
from tests.ledger.audited import Shown, found
from tests.ledger.logs import NOW, City, Files, log_files, signer
from verifier import kinds
from verifier.checkpoint import add_cosignatures, cosign
from verifier.note import NoteSigner, parse_note
from verifier.pack import read_pack
from verifier.policy import parse_policy

WITNESSES = [NoteSigner(f"{n}.example", signer(f"witness {n}"), 0x04) for n in ("one", "two")]
LINES = "".join(
    f"witness w{n} {each.key.text()} https://w{n}.example\n" for n, each in enumerate(WITNESSES)
)
BOTH = f"{LINES}group both 2 w0 w1\nquorum both\n"
EITHER = f"{LINES}group either 1 w0 w1\nquorum either\n"


def cosigned(city: City, count: int) -> Files:
    """The city's files, cosigned by the first `count` witnesses."""
    files = city.files()
    body = parse_note(files["checkpoint"]).text
    lines = [cosign(body, NOW, each) for each in WITNESSES[:count]]
    files["checkpoint"] = add_cosignatures(files["checkpoint"], lines)
    return files


def audited(city: City, count: int, **options: object) -> AuditReport:
    return Shown(cosigned(city, count), []).audit(**options)


def test_the_policy_is_the_ledgers_own() -> None:
    city = City()
    city.change(kinds.WITNESSES, {"policy": BOTH})
    report = audited(city, 2)
    assert found(report) == []
    assert [name for name, _ in report.witnesses] == ["w0", "w1"]
    assert "audit-witnesses-unchecked" not in report.totals
    report = audited(city, 1)
    assert [code for code, _, _ in found(report)] == ["audit-witnesses-missing"]
    assert not report.ok


def test_another_may_be_given_in_its_place() -> None:
    city = City()
    city.change(kinds.WITNESSES, {"policy": EITHER})
    assert audited(city, 1).ok
    assert not audited(city, 1, policy=parse_policy(BOTH)).ok


def test_a_policy_that_one_officer_set_is_none() -> None:
    city = City()
    city.change(kinds.WITNESSES, {"policy": EITHER}, by=("first", "first"))
    report = audited(city, 0)
    assert [code for code, _, _ in found(report)] == ["audit-change-refused"]
    assert report.totals["audit-witnesses-unchecked"] == 1


def test_an_override_of_no_fewer_is_refused_and_the_policy_stands() -> None:
    """No service takes it; whoever forces it into the ledger has changed nothing."""
    city = City()
    city.change(kinds.WITNESSES, {"policy": BOTH})
    index = len(city.entries)
    city.change(kinds.WITNESSES, {"policy": BOTH, "override": "一家见证方断电"})
    report = audited(city, 2)
    (finding,) = [each for each in report.findings if each.code == "audit-change-refused"]
    assert (finding.index, finding.detail) == (index, "witnesses-override-needless 2 ≥ 2")
    assert "audit-witnesses-overridden" not in report.totals
    assert not report.ok
    assert sorted(code for code, _, _ in found(audited(city, 1))) == [
        "audit-change-refused",
        "audit-witnesses-missing",
    ]


@pytest.mark.parametrize("ended", [False, True])
def test_an_override_is_named_though_it_breaks_no_rule(ended: bool) -> None:
    """And stays named when it is over."""
    city = City()
    city.change(kinds.WITNESSES, {"policy": BOTH})
    index = len(city.entries)
    city.change(kinds.WITNESSES, {"policy": EITHER, "override": "一家见证方断电"})
    if ended:
        city.change(kinds.WITNESSES, {"policy": BOTH})
    report = audited(city, 2 if ended else 1)
    assert report.ok
    (finding,) = [each for each in report.findings if each.code == "audit-witnesses-overridden"]
    assert (finding.index, finding.detail) == (index, "≥ 1 (w0, w1): 一家见证方断电")
    events = report.to_json()["keys"][f"{city.origin}/operator"]  # type: ignore[index]
    acts = ["witnesses", "override"] + ["witnesses"] * ended
    assert [event["act"] for event in events[1:]] == acts
    assert events[2]["by"] == ["first", "second"]
    text = "\n".join(render(report))
    assert (
        "见证策略例外 witness policy overridden  ≥ 1 (w0, w1): 一家见证方断电  first + second"
        in text
    )
    assert not audited(city, 1 if ended else 0).ok


@pytest.mark.parametrize("index", [5, 4, None], ids=["the policy", "a key", "nothing"])
def test_a_pack_that_leaves_something_out_is_found(index: int | None) -> None:
    """It proves all that it holds, and counters that hold no other take it."""
    city = Trusted()
    city.issue()
    city.enrolments = [each for each in city.enrolments if each != index]
    slugs = ["market"] if index == 4 else ["market", "health"]
    pack = read_pack(city.pack(statuses=[city.status_token(slug) for slug in slugs]))
    newer = len(city.entries)
    city.set_witnesses(city.policy_text(3), issued_at=ISSUED_AT)  # not yet known to the pack
    files = log_files(city.entries, city.log) | {"checkpoint": city.checkpoint()}
    report = Shown(files, []).audit(pack=pack, log_vkey=city.log.key.text())
    finds = [] if index is None else [("audit-pack-forgetful", index, None)]
    assert found(report) == finds
    assert report.size == newer + 1
