"""The wheel holds every file of the four floors, data and `py.typed` included, and no more."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

FLOORS = ("keys", "verifier", "ledger", "api")
BUILD = "import sys, hatchling.build as build; print(build.build_wheel(sys.argv[1]))"


def test_wheel_holds_the_four_floors(repo: Path, tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-c", BUILD, str(tmp_path)],
        cwd=repo,
        capture_output=True,
        text=True,
        check=True,
    )
    with ZipFile(tmp_path / built.stdout.split()[-1]) as wheel:
        inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
        info = {Path(name).name for name in wheel.namelist() if ".dist-info/" in name}
    tracked = subprocess.run(
        ["git", "ls-files", "-z", *FLOORS], cwd=repo, capture_output=True, check=True
    ).stdout
    expected = {name.decode() for name in tracked.split(b"\0") if name}
    assert {f"{floor}/py.typed" for floor in FLOORS} <= expected
    assert expected - inside == set()
    assert {name.partition("/")[0] for name in inside} == set(FLOORS)
    assert {"LICENSE", "METADATA", "entry_points.txt"} <= info
