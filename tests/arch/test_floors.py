"""`cp -r keys verifier` is a complete offline verifier (docs/decisions/0001).

Both folders are copied into an empty one. A fresh interpreter may import from there, from the
standard library and from the base dependencies; anything else is blocked as if not installed.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

IMPORT_EVERYTHING = """
import importlib, sys
from pathlib import Path

here = Path(sys.argv[1])
sys.path.insert(0, str(here))
allowed = {"keys", "verifier", "cryptography", "nacl", "cbor2", "cffi", "_cffi_backend"}
allowed |= set(sys.stdlib_module_names)

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)
        return None

sys.meta_path.insert(0, Wall())
count = 0
for file in sorted(here.rglob("*.py")):
    parts = file.relative_to(here).with_suffix("").parts
    if parts[-1] == "__main__":
        continue
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    module = importlib.import_module(name)
    assert Path(module.__file__).is_relative_to(here), module.__file__
    count += 1
print(count)
"""


@pytest.fixture
def copied(repo: Path, tmp_path: Path) -> Path:
    for floor in ("keys", "verifier"):
        shutil.copytree(
            repo / floor, tmp_path / floor, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path


def import_everything(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-B", "-c", IMPORT_EVERYTHING, str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_keys_and_verifier_stand_alone(copied: Path) -> None:
    done = import_everything(copied)
    assert done.returncode == 0, done.stderr
    files = [file for file in copied.rglob("*.py") if file.name != "__main__.py"]
    assert int(done.stdout) == len(files) > 10


@pytest.mark.parametrize("name", ["sqlalchemy", "pydantic", "ledger", "api", "zxingcpp"])
def test_the_wall_blocks_what_is_installed_here(copied: Path, name: str) -> None:
    (copied / "keys" / "a_stray.py").write_text(f"import {name}\n", encoding="utf-8")
    done = import_everything(copied)
    assert done.returncode != 0
    assert f"blocked: {name}" in done.stderr
