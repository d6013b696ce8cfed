"""`zhenglian custody backup` names the keys that it does not hold, and where they are."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api import change_facts
from api.backup_gaps import gaps
from api.cli import app
from api.custody import file_custody
from api.founding import open_city
from api.keymaking import make_key
from keys.custody import FileCustody, SignerService
from keys.errors import KeysError
from tests.api.service import PASSPHRASE, decide, found_city, settings_of
from verifier.kinds import KEY

PLACE = "socket:/run/signer.sock"
NOT_IN = "不在备份中 not in this backup: "
Call = Callable[[bytes], bytes]


def answering(folder: Path) -> Call:
    service = SignerService(FileCustody(folder, "its own"), lambda *_: None, may_create=True)
    return lambda request: service.answer(request)[0]


def silent(_request: bytes) -> bytes:
    raise KeysError("signer-unreachable")


class Town:
    """A city whose signature keys are behind a signer."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch, self._made = folder, patch, 0
        self.call = answering(folder / "signer")
        patch.setattr("api.custody.SignerConnection", lambda _path: lambda data: self.call(data))
        self.settings = settings_of(folder / "var", custody=PLACE)
        found_city(self.settings).close()
        for name in ("data", "origin", "passphrase", "argon2_mib"):
            patch.setenv(f"ZHENGLIAN_{name.upper()}", str(getattr(self.settings, name)))
        patch.setenv("ZHENGLIAN_BACKUP_PASSPHRASE", "of the backup")

    def backup(self, **variables: str) -> tuple[str, dict[str, str]]:
        """(The line of the backup itself, where each key is that it does not hold)."""
        self._made += 1
        file = self.folder / f"{self._made}.zlbackup"
        env = {f"ZHENGLIAN_{name}": value for name, value in variables.items()}
        done = CliRunner().invoke(app, ["custody", "backup", str(file)], env=env)
        assert done.exit_code == 0, (done.output, done.exception)
        assert file.exists()
        made, *more = done.stderr.splitlines()
        told = [line.removeprefix(NOT_IN) for line in more if line.startswith(NOT_IN)]
        assert bool(told) == ("by its maker's means" in done.stderr)
        return made, {each.split(" ")[0]: each.partition(" · ")[2] for each in told}


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Town:
    return Town(tmp_path, monkeypatch)


def test_keys_behind_a_signer_are_named(town: Town) -> None:
    FileCustody(town.folder / "signer", "its own").create("of-another-city", "ed25519")
    made, missing = town.backup(CUSTODY=PLACE)
    assert "2 个密钥" in made
    assert missing == dict.fromkeys(["log", "log-pq", "operator"], PLACE)
    assert town.backup(FORMER_CUSTODY=PLACE)[1] == missing


def test_keys_that_are_nowhere_here_are_named(town: Town) -> None:
    (town.folder / "var" / "custody" / "pseudonym.zlkey").unlink()
    made, missing = town.backup()
    assert "1 个密钥" in made
    assert missing.keys() == {"log", "log-pq", "operator", "pseudonym"}
    assert all("not in the custody of this machine" in where for where in missing.values())


def test_a_place_that_does_not_answer_stops_no_backup(town: Town) -> None:
    town.call = silent
    made, missing = town.backup(CUSTODY=PLACE)
    assert "2 个密钥" in made
    assert missing.pop("密钥无法列出") == PLACE
    assert missing.keys() == {"log", "log-pq", "operator"}
    assert all(where.endswith(f"perhaps in {PLACE}") for where in missing.values())


def test_of_a_city_in_files_nothing_is_missing(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZHENGLIAN_DATA", str(tmp_path / "other"))
    found_city(settings_of(tmp_path / "other")).close()
    made, missing = town.backup()
    assert ("5 个密钥" in made, missing) == (True, {})


def test_a_damaged_database_stops_no_backup(town: Town) -> None:
    (town.folder / "var" / "zhenglian.db").write_bytes(b"not a database at all" * 100)
    for file in (town.folder / "var").glob("zhenglian.db-*"):
        file.unlink()
    made, missing = town.backup(CUSTODY=PLACE)
    assert "2 个密钥" in made
    assert "未与账本比对" in missing


def test_a_key_whose_time_is_over_is_not_missed(town: Town) -> None:
    rotation = change_facts.rotation
    city = open_city(town.settings)
    made = make_key(city, "operator", "ed25519")
    new = change_facts.key("operator", made.key, made.pop, [], city.now())
    decide(city, KEY, rotation(new, change_facts.signing_key(city, "operator"), 3_600))
    city.close()
    files = file_custody(town.settings, PASSPHRASE)
    town.settings.custody = "file"
    now = int(time.time())
    for hours, missing in ((0, ["operator", "operator"]), (2, ["operator"])):
        found = [gap.what.split()[0] for gap in gaps(town.settings, files, now + hours * 3_600)]
        assert found == ["log", "log-pq", *missing]
