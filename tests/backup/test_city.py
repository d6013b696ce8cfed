"""A city that is lived in, backed up and moved by the commands, and what it says afterwards."""

import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import update

import api.backup
from api.app import seat
from api.cli import main
from api.founding import open_city
from api.tables import ENROLMENTS, METADATA
from keys.custody import FileCustody
from ledger.stores import open_store
from tests.api.records import CITIZEN, COMPANY, audit_findings, published
from tests.api.service import ORIGIN, PASSPHRASE, Service, problem_of, settings_of
from tests.backup.town import all_rows
from tests.city import signer
from verifier.note import make_vkey

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`run(data, *words, **variables)`: `zhenglian …` in this process, which knows no passphrase;
    exit status, and what it said."""

    def command(data: Path, *words: str, **variables: str) -> tuple[int, str]:
        given = {"DATA": str(data), "ORIGIN": ORIGIN, "ARGON2_MIB": "64", **variables}
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("ZHENGLIAN_")]:
                patch.delenv(name)
            for name, value in given.items():
                patch.setenv(f"ZHENGLIAN_{name}", value)
            patch.setattr("sys.argv", ["zhenglian", *words])
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out + err

    return command


@contextmanager
def serving(app: FastAPI, folder: Path, like: Service, database: str) -> Iterator[Service]:
    """The city in `folder`, as `like` was served."""
    settings = settings_of(folder, database=database)
    city = open_city(settings, clock=like.clock)
    seat(app, city)
    try:
        with TestClient(app, raise_server_exceptions=False) as client:
            yield replace(like, city=city, client=client)
    finally:
        city.close()


def live(service: Service) -> list[str]:
    """Licences, a penalty and a question; the ids of the licences."""
    ids = [str(service.issue(number=number)["record_id"]) for number in range(3)]
    service.set_state(ids[1], "revoked", "penalty-revocation")
    published(service)
    question = {
        "predicate": "over-18",
        "parameters": {"subject": CITIZEN},
        "purpose": "public-service",
        "legal_basis": "statutory-duty",
        "case_number": "2026-1",
    }
    assert service.post("bank", "/v1/claims", question).status_code == 200
    return ids


def answers(service: Service, ids: list[str]) -> list[str]:
    """What the service says that it can say only with all its rows and the keys to them."""
    asked = [("market", f"/v1/licences/{record_id}") for record_id in ids]
    asked += [("citizen", "/v1/me/questions"), (None, "/v1/public/credits?uscc=" + COMPANY)]
    said = [service.get(*each) for each in (*asked, (None, "/log/checkpoint"))]
    assert {answer.status_code for answer in said} == {200}, said
    return [answer.text for answer in said]


def moved(folder: Path, tmp_path: Path, name: str) -> Path:
    """Another data folder with the same custody and no database."""
    shutil.copytree(folder / "custody", tmp_path / name / "custody")
    return tmp_path / name


def test_a_city_moves_to_postgresql_and_back(
    service: Service, app: FastAPI, run: Run, folder: Path, tmp_path: Path,
    address: Callable[[str], str],
) -> None:  # fmt: skip
    ids = live(service)
    said, size = answers(service, ids), service.city.ledger.size
    first, second, url = tmp_path / "1.backup", tmp_path / "2.backup", address("postgresql")
    status, words = run(folder, "backup", "make", str(first))  # while it is served
    assert status == 0, words
    assert oct(first.stat().st_mode & 0o777) == "0o600"
    assert [file.name for file in tmp_path.glob(".*")] == []
    there, back = moved(folder, tmp_path, "there"), moved(folder, tmp_path, "back")
    status, words = run(there, "backup", "restore", str(first), DATABASE=url)
    assert status == 0, words
    assert f"{size:,} 条" in words
    assert "custody restore" not in words
    assert words.index("接下来") < words.index("见证人") < words.index("zhenglian serve")
    with serving(app, there, service, url) as city:
        assert answers(city, ids) == said
        number = city.issue(number=3)["record_id"]
        assert city.verify(city.issue(number=4)["qr"])["colour"] == "green"
        assert audit_findings(city) == []
        said = answers(city, [*ids, number])
    for words_, file in ((("make",), second), (("check",), second)):
        status, words = run(there, "backup", *words_, str(file), DATABASE=url)
        assert status == 0, words
        assert f"{size + 2:,}, 最后" in words
    assert run(back, "backup", "restore", str(second))[0] == 0
    new, old = open_store(f"sqlite:///{back / 'zhenglian.db'}"), open_store(url)
    with new.read() as reader, old.read() as before:
        assert (reader.restored(), before.restored()) == (True, False)
    assert all_rows(new, METADATA) == all_rows(old, METADATA)
    new.close()
    old.close()
    with serving(app, back, service, "") as city:
        assert answers(city, [*ids, number]) == said
        assert audit_findings(city) == []
        assert problem_of(city.get("bank", f"/v1/licences/{number}"), "role-missing")
    status, words = run(back, "ledger", "check")
    assert (status, "前后一致" in words) == (0, True), words


def test_keys_come_from_custody(run: Run, folder: Path, tmp_path: Path) -> None:
    """A restore without them says so first; with those of another city it is refused."""
    file = tmp_path / "city.backup"
    assert run(folder, "backup", "make", str(file))[0] == 0
    other = tmp_path / "other"
    FileCustody(other / "custody", PASSPHRASE).create("log", "ed25519")
    status, words = run(other, "backup", "restore", str(file))
    assert (status, "[ledger-wrong-key]" in words) == (2, True), words
    status, words = run(tmp_path / "empty", "backup", "restore", str(file))
    assert status == 0, words
    assert "1. 恢复密钥" in words
    shutil.copytree(folder / "custody", tmp_path / "empty" / "custody")
    city = open_city(settings_of(tmp_path / "empty"))
    assert city.enrolled
    city.close()


def test_what_is_checked_can_be_held_against_a_vkey(run: Run, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "city.backup"
    assert run(folder, "backup", "make", str(file))[0] == 0
    _, words = run(tmp_path, "backup", "check", str(file))
    vkey = words.partition("to compare: ")[2].split()[0]
    assert vkey.startswith(f"{ORIGIN}+")
    assert run(tmp_path, "backup", "check", str(file), "--vkey", vkey)[0] == 0
    other = make_vkey(ORIGIN, signer("another log").public).text()
    status, words = run(tmp_path, "backup", "check", str(file), "--vkey", other)
    assert (status, "[ledger-wrong-key]" in words) == (2, True)


def test_a_vkey_that_is_none_is_refused_before_the_file_is_read(run: Run, tmp_path: Path) -> None:
    for vkey in ("garbage", make_vkey(ORIGIN, signer("log").public).text()[:-4] + "AAAA"):
        status, words = run(tmp_path, "backup", "check", "nowhere.backup", "--vkey", vkey)
        assert (status, "[note-key-malformed]" in words) == (2, True)


def test_refusals_of_the_commands(run: Run, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "city.backup"
    assert run(folder, "backup", "make", str(file))[0] == 0
    whole = file.read_bytes()
    status, words = run(folder, "backup", "make", str(file))
    assert (status, "[backup-exists]" in words) == (2, True)
    assert file.read_bytes() == whole
    status, words = run(folder, "backup", "make", str(tmp_path / "2"), ORIGIN="other.example")
    assert (status, "[ledger-origin-mismatch]" in words) == (2, True)
    status, words = run(tmp_path / "none", "backup", "make", str(tmp_path / "2"))
    assert (status, "[city-not-founded]" in words) == (2, True)
    status, words = run(tmp_path / "none", "ledger", "check")
    assert (status, "[city-not-founded]" in words) == (2, True)
    status, words = run(tmp_path, "backup", "make", str(tmp_path / "no" / "2"))
    assert status == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["city.backup", "var"]
    status, words = run(folder, "backup", "restore", str(file))
    assert (status, "[backup-target-used]" in words) == (2, True)
    there = tmp_path / "there"
    status, words = run(there, "backup", "restore", str(file), ORIGIN="other.example")
    assert (status, "[ledger-origin-mismatch]" in words) == (2, True)
    file.write_bytes(whole[:-1])
    for words_ in (("check",), ("restore",)):
        status, words = run(there, "backup", *words_, str(file))
        assert (status, "[backup-damaged]" in words) == (2, True)
    assert run(there, "backup", "check", str(tmp_path / "absent"))[0] == 2


def test_a_backup_of_the_other_kind_is_named_with_its_command(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    of_keys, of_rows = tmp_path / "keys.zlbackup", tmp_path / "rows.zlbackup"
    own = {"BACKUP_PASSPHRASE": "of the backup", "PASSPHRASE": PASSPHRASE}
    assert run(folder, "custody", "backup", str(of_keys), **own)[0] == 0
    assert run(folder, "backup", "make", str(of_rows))[0] == 0
    there = tmp_path / "there"
    for words in (("backup", "check"), ("backup", "restore")):
        status, said = run(there, *words, str(of_keys))
        assert (status, "[backup-of-custody]" in said) == (2, True)
        assert "zhenglian custody restore" in said
    for given in (own, {}):  # known before any passphrase is asked for
        status, said = run(there, "custody", "restore", str(of_rows), **given)
        assert (status, "[key-backup-of-database]" in said) == (2, True)
        assert "zhenglian backup restore" in said
    assert not (there / "custody").exists()


def test_a_backup_that_fails_leaves_no_file(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(api.backup.os, "fsync", full)
    status, words = run(folder, "backup", "make", str(tmp_path / "city.backup"))
    assert (status, "[file-failed]" in words) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["var"]


def test_through_a_pipe(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stream:
        def __init__(self, buffer: io.BytesIO) -> None:
            self.buffer = buffer

        def flush(self) -> None: ...

    out = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", Stream(out))
        assert run(folder, "backup", "make", "-")[0] == 0
    for words, data in (("check", folder), ("restore", tmp_path / "there")):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", Stream(io.BytesIO(out.getvalue())))
            assert run(data, "backup", words, "-")[0] == 0
    assert run(tmp_path / "there", "ledger", "check")[0] == 0


def test_a_live_database_that_was_altered(run: Run, folder: Path, service: Service) -> None:
    assert run(folder, "ledger", "check")[0] == 0
    with service.city.store.write() as writer:
        writer.connection.execute(
            update(ENROLMENTS).where(ENROLMENTS.c.idx == 3).values(statement=b"x")
        )
        writer.connection.exec_driver_sql("UPDATE entries SET data = x'00' WHERE idx = 5")
        writer.commit()
    status, words = run(folder, "ledger", "check")
    assert status == 1
    assert "kept for entry 3 is another" in words
    assert "entry 5 does not give its leaf hash" in words
    assert words.index("停止服务") < words.index("stop the service")
    status, words = run(folder, "backup", "make", str(folder / "b"))
    assert (status, "[ledger-inconsistent]" in words) == (2, True)
    assert not (folder / "b").exists()
