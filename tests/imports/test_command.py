"""`zhenglian import`: files beside each other, Ctrl-C, and running the same command again."""

import json
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from api.city import City
from api.cli import main
from api.commands import importing
from api.imports import engine
from tests.api.service import Clock, open_copy
from tests.imports.helpers import FOOD_HEADER, FOOD_MAP, food, write_csv

Run = Callable[..., int]


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs the command on the test city; returns its exit status."""
    monkeypatch.setattr(importing, "opened", lambda: open_copy(folder, Clock()))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "map.toml").write_text(FOOD_MAP, encoding="utf-8")
    rows = [food(n) for n in range(30)]
    write_csv(tmp_path / "food.csv", FOOD_HEADER, [*rows, rows[0], food(99, name="")])

    def command(*words: str) -> int:
        arguments = ["zhenglian", "import", "--map", "map.toml", *words]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return code if isinstance(code, int) else 0

    return command


def test_it_leaves_a_report_and_an_error_file(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--type", "retail-food", "food.csv") == 0
    out = capsys.readouterr().out
    assert "新发 issued" in out
    report = json.loads((tmp_path / "food.csv.report.json").read_text(encoding="utf-8"))
    assert (report["issued"], report["duplicates"], report["refused"]) == (30, 1, 1)
    errors = tmp_path / "food.csv.errors.csv"
    assert "33,name,field-missing" in errors.read_text(encoding="utf-8")
    assert stat.S_IMODE(errors.stat().st_mode) == 0o600


def test_a_dry_run_has_files_of_its_own(run: Run, tmp_path: Path, folder: Path) -> None:
    assert run("--dry-run", "--output", "out", "food.csv") == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"food.csv.dry-run.errors.csv", "food.csv.dry-run.report.json"}
    city = open_copy(folder, Clock())
    size = city.ledger.size
    city.close()
    assert run("--output", "out", "food.csv") == 0
    city = open_copy(folder, Clock())
    assert city.ledger.size == size + 30
    city.close()


def test_ctrl_c_stops_after_the_batch_and_the_same_command_goes_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "BATCH", 10)
    prepare, calls = engine.Importer._prepare, []

    def interrupted(self: engine.Importer, *arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return prepare(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.Importer, "_prepare", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert run("food.csv") == 130
    assert signal.getsignal(signal.SIGINT) == before
    assert "stopped" in capsys.readouterr().out
    report = json.loads((tmp_path / "food.csv.report.json").read_text(encoding="utf-8"))
    assert (report["state"], report["rows"]["taken"]) == ("stopped", 20)
    assert run("--resume", "food.csv") == 0
    assert "30" in capsys.readouterr().out
    report = json.loads((tmp_path / "food.csv.report.json").read_text(encoding="utf-8"))
    assert (report["state"], report["issued"], report["rows"]["taken"]) == ("done", 30, 32)


def test_a_file_that_is_in_is_left_alone(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("food.csv") == 0
    city: City = open_copy(folder, Clock())
    size = city.ledger.size
    city.close()
    assert run("food.csv") == 0
    assert "已导入完毕" in capsys.readouterr().err
    city = open_copy(folder, Clock())
    assert city.ledger.size == size
    city.close()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--resume", "food.csv"], "import-unknown"),
        (["--type", "id-card", "food.csv"], "import-map-invalid"),
        (["map.toml"], "import-format-unknown"),
    ],
)
def test_refusals_are_one_line(
    run: Run, words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert f"[{code}]" in error


def test_a_map_in_another_encoding_is_refused(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "map.toml").write_bytes("# 地图\n".encode("gb18030"))
    assert run("food.csv") == 2
    assert "import-map-invalid" in capsys.readouterr().err
