"""A skip is listed with its reason, and under ZHENGLIAN_NO_SKIP it is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

def test_passes():
    pass

def test_skips():
    pytest.skip("no such tool here")

def test_data(shared):
    shared("nothing/of/the/kind")

@pytest.mark.xfail(strict=True)
def test_expected_to_fail():
    raise AssertionError
"""
WHOLE_MODULE = 'import pytest\npytest.skip("no such module", allow_module_level=True)\n'


def run(repo: Path, folder: Path, *options: str, no_skip: str) -> tuple[int, str]:
    conftest = (repo / "tests" / "conftest.py").read_text(encoding="utf-8")
    (folder / "conftest.py").write_text(conftest, encoding="utf-8")
    (folder / "test_some.py").write_text(TESTS, encoding="utf-8")
    (folder / "test_whole.py").write_text(WHOLE_MODULE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, str(folder)],
        cwd=folder,
        env={**os.environ, "ZHENGLIAN_NO_SKIP": no_skip},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="one process"),
        pytest.param(["-n", "2"], id="two workers", marks=pytest.mark.long),
    ],
)
class TestSkips:
    def test_are_listed(self, repo: Path, tmp_path: Path, options: list[str]) -> None:
        code, out = run(repo, tmp_path, *options, no_skip="")
        assert code == 0
        assert "1 passed, 3 skipped, 1 xfailed" in out
        for reason in ("no such tool here", "no such module", "nothing/of/the/kind is not on"):
            assert reason in out.partition("skipped on this machine")[2]

    def test_are_failures_where_nothing_may_be_skipped(
        self, repo: Path, tmp_path: Path, options: list[str]
    ) -> None:
        code, out = run(repo, tmp_path, *options, "--continue-on-collection-errors", no_skip="1")
        assert code == 1
        assert "2 failed, 1 passed, 1 xfailed, 1 error" in out
        assert "a skip is a failure here: no such tool here" in out
