"""The audit as a whole: trust, processes, logs of others, what it cannot do, what it reports."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.audit import findings
from ledger.audit.errors import AuditError
from ledger.audit.findings import FINDINGS, Findings
from ledger.audit.report import render
from ledger.audit.run import audit
from ledger.audit.work import JOB_BUNDLES
from ledger.errors import LedgerError
from ledger.readside import DirectoryReadSide
from tests.ledger.audited import OPTIONS, Shown, found
from tests.ledger.cases_rules import DECIDED
from tests.ledger.logs import FOOD, NOW, City, Files, Memory, bundles, checkpoint, signer
from verifier import kinds
from verifier.checkpoint import Checkpoint, add_cosignatures, cosign, sign_checkpoint
from verifier.merkle import EMPTY_ROOT
from verifier.note import NoteSigner, VerifierKey, make_vkey, parse_note, parse_vkey
from verifier.policy import parse_policy
from verifier.tiles import entries_path

TESSERA = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"


def written(files: Files, folder: Path) -> DirectoryReadSide:
    for path, data in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return DirectoryReadSide(folder)


# --- processes -----------------------------------------------------------------------------------


def test_several_processes_find_what_one_finds(tmp_path: Path) -> None:
    """A log of several jobs with a key enrolled in the middle and wrong things in each job."""
    city = City()
    city.fill(100)
    forged = city.licence(how={"by": signer("nobody")})
    city.fill(4 * JOB_BUNDLES * 256 + 50)
    new = signer("new")
    city.key("market", new, [FOOD])
    for _ in range(1500):
        city.licence(how={"by": new})
    city.state(forged, 14)
    city.credit(day=DECIDED)
    city.entries.append(b"not a statement")
    city.fill(6 * JOB_BUNDLES * 256 + 2500)
    files = city.files()
    del city.entries[3000]
    files |= {k: v for k, v in bundles(city.entries).items() if k in files}
    read = written(files, tmp_path)
    seen: dict[int, list[tuple[int, int]]] = {1: [], 2: []}
    one, two = (
        audit(
            read,
            **OPTIONS,
            processes=processes,
            progress=lambda done, total, p=processes: seen[p].append((done, total)),
        )
        for processes in seen
    )
    assert one == two
    assert one.totals["audit-leaf-dropped"] == 1
    assert one.totals["audit-key-unknown"] == 1
    assert one.totals["audit-not-a-statement"] == 1
    assert one.counts[f"{city.origin}/market", kinds.LICENCE] > 4000
    assert seen[1] == seen[2]
    assert seen[1][-1] == (one.size, one.size)
    assert [done for done, _ in seen[1]] == sorted(done for done, _ in seen[1])


# --- trust ---------------------------------------------------------------------------------------


def test_without_a_key_the_genesis_names_it_and_the_report_says_so() -> None:
    city = City()
    report = Shown(city.files(), []).audit(log_vkey=None)
    assert report.ok
    assert report.trust == "first-use"
    assert report.totals["audit-trusted-on-first-use"] == 1
    assert report.log_key == city.log.key.text()
    assert "audit-trusted-on-first-use" not in Shown(city.files(), []).audit().totals


def cosigned(city: City) -> tuple[Files, str]:
    """The city's files under one witness, and a policy that asks for it."""
    witness = NoteSigner("witness.example", signer("witness"), 0x04)
    files = city.files()
    body = parse_note(files["checkpoint"]).text
    files["checkpoint"] = add_cosignatures(files["checkpoint"], [cosign(body, NOW, witness)])
    return files, f"witness w {witness.key.text()}\nquorum w\n"


def test_witnesses_are_reported() -> None:
    files, policy = cosigned(City())
    report = Shown(files, []).audit(policy=parse_policy(policy))
    assert found(report) == []
    assert report.witnesses == (("w", NOW),)
    assert "audit-witnesses-unchecked" not in report.totals


def test_without_a_policy_witnesses_are_not_checked() -> None:
    report = Shown(City().files(), []).audit()
    assert report.totals["audit-witnesses-unchecked"] == 1
    assert report.totals["audit-previous-unchecked"] == 1


# --- logs of others ------------------------------------------------------------------------------


def test_a_log_of_another_program(shared: Callable[[str], Path]) -> None:
    """Its tree, every one of its checkpoints, and each of them as an older one of the last."""
    folder = shared("vectors/tessera-posix-log")
    read = DirectoryReadSide(folder)
    options = {**OPTIONS, "log_vkey": TESSERA, "tree_only": True}
    for size in range(1, 16):
        older = (folder / f"checkpoint.{size}").read_bytes()
        report = audit(read, **options, previous=older)
        assert found(report) == []
        assert (report.size, report.previous_size) == (15, size)
        assert report.root == report.signed_root
        assert report.totals["audit-statements-unchecked"] == 1
        earlier = Memory({"checkpoint": older}), read
        report = audit(_Overlay(*earlier), **options)
        assert found(report) == []
        assert report.size == size


class _Overlay:
    """Files of the first, else of the second."""

    def __init__(self, *sources: Memory | DirectoryReadSide) -> None:
        self.sources = sources

    def read(self, path: str) -> bytes:
        for source in self.sources[:-1]:
            try:
                return source.read(path)
            except LedgerError:
                continue
        return self.sources[-1].read(path)


def test_entries_of_another_program_are_no_statements(shared: Callable[[str], Path]) -> None:
    read = DirectoryReadSide(shared("vectors/tessera-posix-log"))
    report = audit(read, **{**OPTIONS, "log_vkey": TESSERA})
    assert report.totals["audit-not-a-statement"] == 15
    assert report.totals["audit-no-genesis"] == 1
    assert report.root == report.signed_root


def test_a_full_bundle_may_stand_where_a_partial_one_was() -> None:
    """The log grew, and removed its partial files, after the checkpoint was fetched."""
    city = City()
    city.fill(300)
    files = city.files()
    city.fill(512)
    grown = city.files() | {"checkpoint": files["checkpoint"]}
    report = Shown(grown, []).audit()
    # The level above has no full tile yet; its partial tile of width 1 is gone.
    assert [code for code, _, _ in found(report)] == ["audit-file-missing"]
    grown["tile/1/000.p/1"] = files["tile/1/000.p/1"]
    report = Shown(grown, []).audit()
    assert found(report) == []
    assert report.size == 300


def test_files_larger_than_their_kind_can_be(tmp_path: Path) -> None:
    """They are not read to their end, and named."""
    city = City()
    city.fill(300)
    files = city.files()
    files["tile/0/000"] += bytes(1)
    report = audit(written(files, tmp_path), **OPTIONS)
    assert found(report) == [("audit-tile-malformed", None, "tile/0/000")]
    files["tile/entries/000"] += bytes(256 * 65_537)
    report = audit(written(files, tmp_path), **OPTIONS)
    assert ("audit-bundle-truncated", 0, "tile/entries/000") in found(report)
    assert report.root is None


# --- what cannot be audited ----------------------------------------------------------------------


def refused(code: str, files: Files, **options: object) -> None:
    with pytest.raises(AuditError) as caught:
        Shown(files, []).audit(**options)
    assert caught.value.code == code


def test_no_checkpoint() -> None:
    refused("audit-no-checkpoint", {})


def test_no_log_key_and_no_genesis() -> None:
    city = City()
    city.entries = city.entries[1:]
    refused("audit-no-log-key", city.files(), log_vkey=None)
    city.entries = [b"no statement"]
    refused("audit-no-log-key", city.files(), log_vkey=None)
    refused("audit-no-log-key", {"checkpoint": city.files()["checkpoint"]}, log_vkey=None)
    refused("audit-no-log-key", {"checkpoint": b"nothing"}, log_vkey=None)
    city.entries = []
    refused("audit-no-log-key", city.files(), log_vkey=None)


def test_log_key_malformed() -> None:
    refused("audit-log-key-malformed", City().files(), log_vkey="demo+1+2")


def test_previous_of_another_log() -> None:
    other = City("other.zhenglian.example")
    refused("audit-previous-refused", City().files(), previous=other.files()["checkpoint"])


def test_a_source_that_fails() -> None:
    class Failing(Memory):
        def read(self, path: str) -> bytes:
            if path.startswith("tile/entries"):
                raise LedgerError("ledger-read-failed", path)
            return super().read(path)

    with pytest.raises(AuditError) as caught:
        audit(Failing(City().files()), **OPTIONS)
    assert caught.value.code == "audit-source-failed"


def test_a_checkpoint_that_promises_what_is_nowhere() -> None:
    """Soon given up, not after reading the 2**60 entries that it says there are."""
    city = City()
    huge = sign_checkpoint(Checkpoint(city.origin, 1 << 60, bytes(32)), [city.log])
    refused("audit-log-absent", {"checkpoint": huge})


def test_an_empty_log_is_clean() -> None:
    city = City()
    city.entries = []
    report = Shown(city.files(), []).audit()
    assert report.ok
    assert report.root == EMPTY_ROOT


# --- the report ----------------------------------------------------------------------------------


def test_many_findings_are_counted_and_not_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "MAX_PER_CODE", 3)
    city = City()
    for _ in range(5):
        city.credit(day=DECIDED)
    report = Shown(city.files(), []).audit()
    assert len(found(report)) == 3
    assert report.totals["audit-publication-missing"] == 5
    assert not report.ok


def test_a_code_without_words_cannot_be_reported() -> None:
    with pytest.raises(KeyError):
        Findings().add("audit-something-else")


def test_json_says_all_of_it() -> None:
    city = City()
    late = city.credit(day=DECIDED)
    report = Shown(city.files(), []).audit(clock=iter((10.0, 12.5)).__next__)
    data = json.loads(json.dumps(report.to_json()))
    market = f"{city.origin}/market"
    assert data["ok"] is False
    assert data["size"] == len(city.entries)
    assert data["root"] == data["signed_root"] == report.signed_root.hex()
    assert data["seconds"] == 2.5
    assert data["departments"][market] == {
        "zh": "market局",
        "en": "market",
        "kinds": {"credit": 1},
        "findings": {"audit-publication-missing": 1},
    }
    named = [one for one in data["findings"] if one["code"] == "audit-publication-missing"]
    words = FINDINGS["audit-publication-missing"]
    assert named == [
        {
            "code": "audit-publication-missing",
            "severity": "rule",
            "index": len(city.entries) - 1,
            "record": late.subject,
            "issuer": market,
            "path": None,
            "zh": words.zh,
            "en": words.en,
            "detail": "2026-10-07 + 7 = 2026-10-14",
        }
    ]


def test_text_names_codes_places_and_departments() -> None:
    city = City()
    entry = city.credit(day=DECIDED)
    index = len(city.entries) - 1
    text = "\n".join(render(Shown(city.files(), []).audit(clock=iter((1.0, 2.0)).__next__)))
    assert "! audit-publication-missing × 1" in text
    assert f"#{index}  {entry.subject}  {city.origin}/market" in text
    assert "market局 market" in text
    assert "逾期未公示" in text
    assert "rules were broken" in text


def verdict(report_of: Files, **options: object) -> str:
    return render(Shown(report_of, []).audit(**options))[-1]


def test_the_verdict_is_the_worst_that_was_found() -> None:
    city = City()
    assert "no rule was found broken" in verdict(city.files())
    assert "the tree is whole" in verdict(city.files(), tree_only=True)
    stranger = checkpoint(city.entries, City("other.zhenglian.example").log)
    assert "not what was signed" in verdict(city.files() | {"checkpoint": stranger})
    assert "not what was signed" in verdict(city.files() | {entries_path(0, 5): b""})


def test_what_would_steer_a_terminal_is_shown_as_text() -> None:
    city = City()
    city.licence("market", "\x1b[2J\n\u202e")
    lines = render(Shown(city.files(), []).audit())
    assert all(line.isprintable() for line in lines)
    assert any("\\u001b[2J\\u000a\\u202e" in line for line in lines)


def test_long_lists_are_cut_in_text_with_counts_by_department() -> None:
    city = City()
    city.department("transport", [FOOD])
    for slug in ("market", "transport"):
        for _ in range(8):
            city.licence(slug, how={"at": NOW + 9999})
    text = "\n".join(render(Shown(city.files(), []).audit()))
    assert "audit-issued-in-future × 16" in text
    assert "and 6 more" in text
    assert f"{city.origin}/market 8, {city.origin}/transport 8" in text


def test_vkeys_are_compared_whole() -> None:
    """A log key of the same name and another public key is another log."""
    city = City()
    other = make_vkey(city.origin, signer("another log").public)
    report = Shown(city.files(), []).audit(log_vkey=other.text())
    assert [code for code, _, _ in found(report)] == ["audit-checkpoint-refused"]
    assert isinstance(parse_vkey(report.log_key), VerifierKey)
    assert report.root is None
