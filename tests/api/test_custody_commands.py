"""The commands of custody, and the setting that names one."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import api.passphrase
from api.cli import main
from api.commands import custody as commands
from api.custody import file_custody, open_custody
from api.errors import ServiceError
from keys.custody import FileCustody, Pkcs11Custody, RemoteCustody
from keys.errors import KeysError
from tests.api.service import Clock, found_city, open_copy, settings_of

OLD, NEW, BACKUP = "old 旧", "new 新", "backup 备"


class Run:
    """`zhenglian …` in this process: exit status, and what it said."""

    def __init__(self, data: Path, patch: pytest.MonkeyPatch, said: pytest.CaptureFixture[str]):
        self.data, self._patch, self._said = data, patch, said

    def __call__(self, *words: str, **variables: str) -> tuple[int, str]:
        own = {"DATA": str(self.data), "PASSPHRASE": OLD, "ARGON2_MIB": "64", **variables}
        with self._patch.context() as patch:
            for name in ("NEW_PASSPHRASE", "BACKUP_PASSPHRASE", "CUSTODY", "PIN"):
                patch.delenv(f"ZHENGLIAN_{name}", raising=False)
            for name, value in own.items():
                patch.setenv(f"ZHENGLIAN_{name}", value)
            patch.setattr("sys.argv", ["zhenglian", *words])
            patch.setattr("sys.stdin.isatty", lambda: False, raising=False)
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = self._said.readouterr()
        return int(ended.value.code or 0), out + err


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    data = tmp_path / "var"
    files = FileCustody(data / "custody", OLD)
    files.create("dept-market", "es256")
    files.create("log", "ed25519")
    files.create_secret("kek")
    return Run(data, pytest.MonkeyPatch(), capsys)


def opens(run: Run, passphrase: str) -> bool:
    try:
        FileCustody(run.data / "custody", passphrase).open("log")
    except KeysError:
        return False
    return True


def test_the_list_shows_names_suites_and_ids(run: Run) -> None:
    status, said = run("custody", "list", PASSPHRASE="")
    kid = FileCustody(run.data / "custody", OLD).open("dept-market").kid.hex()
    assert status == 0
    assert said.splitlines()[:2] == [f"dept-market\tes256\t{kid}", "kek\tsecret\t-"]


def test_the_passphrase_is_changed(run: Run) -> None:
    status, said = run("custody", "passphrase", NEW_PASSPHRASE=NEW)
    assert status == 0
    assert "3" in said
    assert "ZHENGLIAN_PASSPHRASE" in said
    assert opens(run, NEW)
    assert not opens(run, OLD)
    assert NEW not in said
    assert OLD not in said


def test_a_wrong_passphrase_changes_nothing(run: Run) -> None:
    status, said = run("custody", "passphrase", PASSPHRASE="wrong", NEW_PASSPHRASE=NEW)
    assert (status, "[key-wrong-passphrase]" in said) == (2, True)
    assert opens(run, OLD)


@pytest.mark.parametrize(
    ("words", "given", "wanted"),
    [
        (["passphrase"], {}, api.passphrase.NEW),
        (["backup", "{new}"], {}, api.passphrase.BACKUP),
        (["backup", "{new}"], {"PASSPHRASE": ""}, api.passphrase.CUSTODY),
        (["restore", "{made}"], {}, api.passphrase.BACKUP),
        (["restore", "{made}"], {"PASSPHRASE": "", "BACKUP_PASSPHRASE": BACKUP},
         api.passphrase.CUSTODY),
    ],
)  # fmt: skip
def test_without_a_terminal_the_variable_to_set_is_named_and_no_other(
    run: Run, tmp_path: Path, words: list[str], given: dict[str, str], wanted: str
) -> None:
    files = {"new": tmp_path / "new", "made": tmp_path / "made"}
    assert run("custody", "backup", str(files["made"]), BACKUP_PASSPHRASE=BACKUP)[0] == 0
    status, said = run("custody", *(word.format(**files) for word in words), **given)
    assert (status, said.count("\n")) == (2, 1)
    assert said.endswith("no terminal to ask at) [passphrase-missing]\n")
    assert "请设置所列的环境变量" in said
    assert re.findall(r"ZHENGLIAN_\w+", said) == [wanted]
    assert not files["new"].exists()
    assert opens(run, OLD)


def test_passphrases_are_asked_for_at_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[str] = []
    monkeypatch.delenv(api.passphrase.NEW, raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda _: answers.pop(0))
    answers[:] = [NEW, NEW]
    assert api.passphrase.ask(api.passphrase.NEW, "new", twice=True) == NEW
    answers[:] = [NEW, OLD]
    with pytest.raises(ServiceError, match="passphrase-differs"):
        api.passphrase.ask(api.passphrase.NEW, "new", twice=True)
    answers[:] = [OLD]
    assert api.passphrase.find_passphrase(settings_of(run.data, passphrase="")) == OLD


@pytest.fixture
def with_file(run: Run) -> Path:
    """The passphrase is in the data folder's file."""
    file = run.data / "passphrase"
    file.write_text(OLD + "\n", encoding="utf-8")
    file.chmod(0o600)
    return file


def test_the_file_with_the_passphrase_follows(run: Run, with_file: Path) -> None:
    assert run("custody", "passphrase", PASSPHRASE="", NEW_PASSPHRASE=NEW)[0] == 0
    assert with_file.read_text(encoding="utf-8").strip() == NEW
    assert with_file.stat().st_mode & 0o777 == 0o600
    assert opens(run, NEW)
    assert not with_file.with_name("passphrase.next").exists()


def test_a_file_with_another_passphrase_is_left_alone(run: Run, with_file: Path) -> None:
    with_file.write_text("something else\n")
    assert run("custody", "passphrase", NEW_PASSPHRASE=NEW)[0] == 0
    assert with_file.read_text() == "something else\n"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_change_cut_off_is_finished_first(
    run: Run, with_file: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The new passphrase is in a file before the first key is under it."""
    real: Callable[..., int] = commands.change_passphrase

    def cut(*arguments: object) -> int:
        if when == "after":
            real(*arguments)
        raise OSError(5, "cut off")

    with monkeypatch.context() as patch:
        patch.setattr(commands, "change_passphrase", cut)
        assert run("custody", "passphrase", PASSPHRASE="", NEW_PASSPHRASE=NEW)[0] == 2
    assert with_file.read_text(encoding="utf-8").strip() == OLD
    assert with_file.with_name("passphrase.next").read_text(encoding="utf-8").strip() == NEW
    assert run("custody", "passphrase", PASSPHRASE="", NEW_PASSPHRASE="third")[0] == 0
    assert opens(run, "third")
    assert with_file.read_text().strip() == "third"


def test_backup_and_restore(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    status, said = run("custody", "backup", str(file), BACKUP_PASSPHRASE=BACKUP)
    assert (status, "3" in said) == (0, True)
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    status, said = run("custody", "backup", str(file), BACKUP_PASSPHRASE=BACKUP)
    assert (status, "[file-failed]" in said) == (2, True)
    assert file.read_bytes() == before
    public = FileCustody(run.data / "custody", OLD).open("log").public
    there = Run(tmp_path / "there", run._patch, run._said)
    status, said = there("custody", "restore", str(file), PASSPHRASE=NEW, BACKUP_PASSPHRASE=BACKUP)
    assert status == 0
    assert "log\ted25519\t" in said
    assert FileCustody(there.data / "custody", NEW).open("log").public == public


@pytest.mark.parametrize("fault", ["passphrase", "damaged", "another key"])
def test_what_cannot_be_restored(run: Run, tmp_path: Path, fault: str) -> None:
    file = tmp_path / "backup"
    run("custody", "backup", str(file), BACKUP_PASSPHRASE=BACKUP)
    there = Run(tmp_path / "there", run._patch, run._said)
    if fault == "damaged":
        file.write_bytes(file.read_bytes()[:-10])
    if fault == "another key":
        FileCustody(there.data / "custody", OLD).create("log", "ed25519")
    before = sorted(there.data.rglob("*"))
    given = "wrong" if fault == "passphrase" else BACKUP
    status, said = there("custody", "restore", str(file), BACKUP_PASSPHRASE=given)
    code = {
        "passphrase": "key-backup-wrong-passphrase",
        "damaged": "key-backup-damaged",
        "another key": "key-exists",
    }[fault]
    assert (status, f"[{code}]" in said) == (2, True), said
    assert sorted(there.data.rglob("*")) == before


def test_nothing_to_back_up(run: Run, tmp_path: Path) -> None:
    empty = Run(tmp_path / "empty", run._patch, run._said)
    file = tmp_path / "backup"
    status, said = empty("custody", "backup", str(file), BACKUP_PASSPHRASE=BACKUP)
    assert (status, "[custody-nothing-to-back-up]" in said) == (2, True)
    assert not file.exists()


# the setting


def test_each_kind_of_custody_is_named(tmp_path: Path) -> None:
    files = file_custody(settings_of(tmp_path), OLD)
    assert open_custody(settings_of(tmp_path), files) is files
    hsm = settings_of(tmp_path, custody="pkcs11:/usr/lib/hsm?x.so?token=a?b", pin="1234")
    opened = open_custody(hsm, files)
    assert isinstance(opened, Pkcs11Custody)
    assert (opened._session.module, opened._session.token) == ("/usr/lib/hsm?x.so", "a?b")
    remote = open_custody(settings_of(tmp_path, custody="socket:/run/signer.sock"), files)
    assert isinstance(remote, RemoteCustody)
    assert "1234" not in repr(hsm)


@pytest.mark.parametrize(
    "spec", ["", "files", "file:", "pkcs11", "pkcs11:", "pkcs11:/m.so", "pkcs11:/m.so?token=",
             "pkcs11:?token=city", "socket", "socket:", "http://signer"],
)  # fmt: skip
def test_custodies_that_are_none(tmp_path: Path, spec: str) -> None:
    settings = settings_of(tmp_path, custody=spec, pin="1234")
    with pytest.raises(ServiceError, match="custody-invalid"):
        open_custody(settings, file_custody(settings, OLD))


def test_a_token_takes_a_pin(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, custody="pkcs11:/m.so?token=city")
    with pytest.raises(ServiceError, match=r"pin-missing: .*ZHENGLIAN_PIN; "):
        open_custody(settings, file_custody(settings, OLD))


def test_a_city_opens_after_its_passphrase_has_changed(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "city"
    found_city(settings_of(data, passphrase=OLD), Clock()).close()
    city = Run(data, run._patch, run._said)
    assert city("custody", "passphrase", NEW_PASSPHRASE=NEW)[0] == 0
    with pytest.raises(KeysError, match="key-wrong-passphrase"):
        open_copy(data, Clock(), passphrase=OLD)
    open_copy(data, Clock(), passphrase=NEW).close()
