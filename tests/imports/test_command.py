"""How `zhenglian import` ends: its exit codes, and what stops it before the first row."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from api.city import City
from api.commands import importing
from api.errors import ServiceError
from tests.api.service import lose_keys
from tests.imports.helpers import COMPANY_HEADER, COMPANY_MAP, company, write_csv


@pytest.fixture
def shell(city: City, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in; the command opens this test's city, and leaves it open."""
    monkeypatch.setattr(importing, "opened", lambda: _Kept(city))
    monkeypatch.chdir(tmp_path)
    Path("m.toml").write_text(COMPANY_MAP, encoding="utf-8")
    return tmp_path


class _Kept:
    """Closes nothing."""

    def __init__(self, city: City) -> None:
        self._city = city

    def __getattr__(self, name: str) -> object:
        return (lambda: None) if name == "close" else getattr(self._city, name)


def run(*words: str) -> Result:
    app = typer.Typer()
    app.command("import")(importing.import_command)
    return CliRunner().invoke(app, list(words))


def test_all_issued_is_0_and_again_is_0(shell: Path) -> None:
    write_csv(shell / "x.csv", COMPANY_HEADER, [company(1), company(2)])
    assert run("--map", "m.toml", "x.csv").exit_code == 0
    assert run("--map", "m.toml", "x.csv").exit_code == 0


def test_a_refused_row_is_1_and_the_others_are_issued(shell: Path, city: City) -> None:
    size = city.ledger.size
    write_csv(shell / "x.csv", COMPANY_HEADER, [company(1), company(2, name="")])
    done = run("--map", "m.toml", "x.csv")
    assert done.exit_code == 1, done.output
    assert city.ledger.size == size + 1
    assert "field-missing" in (shell / "x.csv.errors.csv").read_text(encoding="utf-8-sig")


def test_a_city_without_the_departments_key_refuses_before_the_first_row(
    shell: Path, city: City
) -> None:
    write_csv(shell / "x.csv", COMPANY_HEADER, [company(1)])
    lose_keys(city, "market")
    done = run("--map", "m.toml", "x.csv")
    assert isinstance(done.exception, ServiceError)
    assert done.exception.code == "signer-missing"
    assert not (shell / "x.csv.errors.csv").exists()
