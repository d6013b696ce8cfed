"""`zhenglian audit` from an empty folder: its exit codes, its words, its JSON, its checkpoint."""

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from api.commands.audit import audit_command, workdays_after
from api.rules.workdays import builtin_calendar
from keys.errors import ZhenglianError
from tests.city import City as Trusted
from tests.ledger.logs import City, bundles, log_files

CITY = City()
CITY.fill(600)
"""Its clock begins a year before the tests' time, which is later than any machine's."""
VKEY = CITY.log.key.text()


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `log` in an otherwise empty working folder."""
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "log", CITY.files())


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for path, data in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return folder


def run(*words: object) -> Result:
    app = typer.Typer()
    app.command("audit")(audit_command)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_clean(log: Path) -> None:
    result = run(log, "--vkey", VKEY, "--processes", 1)
    assert result.exit_code == 0, result.output
    assert "no rule was found broken" in result.stdout
    assert "audit-witnesses-unchecked" in result.stdout
    assert "audit-trusted-on-first-use" not in result.stdout
    assert run(log, "--processes", 1).exit_code == 0


def test_found(log: Path) -> None:
    entries = CITY.entries[:]
    entries[300], entries[500] = entries[500], entries[300]
    write(log, bundles(entries))
    result = run(log, "--vkey", VKEY, "--processes", 1, "--save-checkpoint", "kept")
    assert result.exit_code == 1
    assert "✗ audit-leaves-swapped × 1" in result.stdout
    assert "#300  300 ↔ 500" in result.stdout
    assert not Path("kept").exists()


def test_cannot_audit(log: Path) -> None:
    (log / "checkpoint").unlink()
    result = run(log, "--vkey", VKEY)
    assert isinstance(result.exception, ZhenglianError)
    assert result.exception.code == "audit-no-checkpoint"
    result = run("nowhere")
    assert isinstance(result.exception, ZhenglianError)
    assert result.exception.code == "ledger-source-unknown"
    assert run(log, "--since", "nowhere").exit_code == 2


def test_json(log: Path) -> None:
    result = run(log, "--vkey", VKEY, "--json", "--processes", 1)
    assert result.exit_code == 0
    data = json.loads(result.stdout)
    assert data["ok"] is True
    assert data["size"] == data["signatures"] == 600
    assert data["seconds"] > 0


def test_a_kept_checkpoint_is_held_against_the_next(log: Path) -> None:
    assert run(log, "--vkey", VKEY, "--save-checkpoint", "kept").exit_code == 0
    assert Path("kept").read_bytes() == (log / "checkpoint").read_bytes()
    result = run(log, "--vkey", VKEY, "--since", "kept", "--json")
    assert json.loads(result.stdout)["previous_size"] == 600
    write(log, log_files(CITY.entries[:590], CITY.log))
    result = run(log, "--vkey", VKEY, "--since", "kept")
    assert result.exit_code == 1
    assert "audit-checkpoint-older" in result.stdout


def test_a_trust_pack_brings_key_and_policy(tmp_path: Path) -> None:
    city = Trusted()
    city.issue()
    files = log_files(city.entries, city.log) | {"checkpoint": city.checkpoint()}
    log, pack = write(tmp_path / "log", files), tmp_path / "pack"
    pack.write_bytes(city.pack())
    result = run(log, "--trust", pack, "--json", "--processes", 1)
    data = json.loads(result.stdout)
    assert {witness["name"] for witness in data["witnesses"]} == {"audit", "archive", "court"}
    assert data["trust"] == "given"
    assert "audit-witnesses-unchecked" not in data["totals"]
    (log / "checkpoint").write_bytes(city.checkpoint(witnesses=1))
    result = run(log, "--trust", pack, "--processes", 1)
    assert result.exit_code == 1
    assert "audit-witnesses-missing" in result.stdout
    result = run(log, "--trust", pack, "--vkey", VKEY)
    assert isinstance(result.exception, ZhenglianError)
    assert result.exception.code == "pack-other-ledger"


def test_a_log_older_than_the_pack_has_been_rolled_back(tmp_path: Path) -> None:
    city = Trusted()
    city.issue()
    files = log_files(city.entries, city.log) | {"checkpoint": city.checkpoint()}
    city.issue()
    log, pack = write(tmp_path / "log", files), tmp_path / "pack"
    pack.write_bytes(city.pack())
    result = run(log, "--trust", pack, "--processes", 1)
    assert result.exit_code == 1
    assert "audit-checkpoint-older" in result.stdout
    newer = log_files(city.entries, city.log) | {"checkpoint": city.checkpoint()}
    result = run(write(tmp_path / "newer", newer), "--trust", pack, "--processes", 1)
    assert "audit-checkpoint-older" not in result.stdout
    assert f"previous {len(city.entries)}" in result.stdout


def test_tree_only(log: Path) -> None:
    entries = [b"anything", b"at all"]
    write(log, log_files(entries, CITY.log))
    assert run(log, "--vkey", VKEY).exit_code == 1
    result = run(log, "--vkey", VKEY, "--tree-only")
    assert result.exit_code == 0
    assert "the tree is whole" in result.stdout


def test_working_days_of_a_missing_year_are_not_guessed() -> None:
    after = workdays_after(builtin_calendar())
    assert after(date(2026, 9, 24), 7) == date(2026, 10, 12)
    assert after(date(2026, 2, 12), 7) == date(2026, 2, 28)
    assert after(date(2026, 12, 28), 7) is None
    assert after(date(9999, 12, 31), 7) is None


def test_a_year_can_be_brought(log: Path, tmp_path: Path) -> None:
    year = tmp_path / "2027.toml"
    year.write_text(
        'year = 2027\nsource = "notice"\nholidays = [2027-01-01]\nworkdays = []\n', "utf-8"
    )
    assert run(log, "--vkey", VKEY, "--calendar", year).exit_code == 0
    year.write_text("year = 2027\n", "utf-8")
    result = run(log, "--vkey", VKEY, "--calendar", year)
    assert isinstance(result.exception, ZhenglianError)
    assert result.exception.code == "calendar-invalid"


def test_processes_start_from_a_script_of_any_name(tmp_path: Path) -> None:
    """As the installed command does: workers are spawned, so the script is imported again."""
    city = City()
    city.fill(5_000)
    log = write(tmp_path / "log", city.files())
    script = tmp_path / "zhenglian"
    script.write_text(
        "import typer\n"
        "from api.commands.audit import audit_command\n"
        "if __name__ == '__main__':\n"
        "    typer.run(audit_command)\n",
        "utf-8",
    )
    repo = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, script, log, "--vkey", VKEY, "--json", "--processes", "2"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(repo), "PYTHONUTF8": "1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["signatures"] == 5_000
