"""The READMEs are run: their commands, against a demo city served for real."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.app import openapi

READMES = ("README.md", "README.zh-CN.md")
_BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_ROUTE = re.compile(r"`(GET|POST) (/v1/[^`?]*)`")
_START_SECONDS = 90


def blocks(repo: Path, name: str) -> list[str]:
    return _BLOCK.findall((repo / name).read_text(encoding="utf-8"))


def test_both_languages_show_the_same_commands(repo: Path) -> None:
    stripped = [[re.sub(r"\s+#.*", "", block) for block in blocks(repo, name)] for name in READMES]
    assert stripped[0] == stripped[1]
    assert len(stripped[0]) >= 4


@pytest.mark.parametrize("name", READMES)
def test_routes_named_exist(repo: Path, name: str) -> None:
    paths = openapi()["paths"]
    named = _ROUTE.findall((repo / name).read_text(encoding="utf-8"))
    assert named
    for method, path in named:
        assert method.lower() in paths[path], f"{method} {path}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """(working folder, port) of a demo city run by the command the README names."""
    folder = tmp_path_factory.mktemp("readme")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = Path(sys.executable).with_name("zhenglian")
    with (folder / "run.log").open("wb") as log:
        process = subprocess.Popen(
            [command, "run"], cwd=folder, env=_environment(port), stdout=log, stderr=log
        )
        try:
            _wait(process, port, folder)
            yield folder, port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def test_its_commands_do_what_the_readme_says(repo: Path, served: tuple[Path, int]) -> None:
    folder, port = served
    named = [block for block in blocks(repo, "README.md") if ".venv/bin/" in block]
    assert len(named) == 3
    for block in named:
        text = block.replace("127.0.0.1:8440", f"127.0.0.1:{port}")
        text = text.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
        done = subprocess.run(
            ["sh", "-e", "-c", text],
            cwd=folder,
            env=_environment(port),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "out" / "checkpoint").exists()


def test_its_witnesses_make_it_final(served: tuple[Path, int]) -> None:
    log = f"http://127.0.0.1:{served[1]}/v1/log"
    asked = urllib.request.Request(f"{log}/finality", headers={"Prefer": "wait=30"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert json.load(answer)["finality"] == "final"
    with urllib.request.urlopen(f"{log}/policy", timeout=60) as answer:
        assert b"\ngroup departments 2 " in answer.read()


def test_the_issuing_example_is_answered_with_a_licence(
    repo: Path, served: tuple[Path, int]
) -> None:
    folder, port = served
    block = next(block for block in blocks(repo, "README.md") if "Idempotency-Key" in block)
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30).read().decode()
    key = re.search(r"zl_demo-market_[A-Za-z0-9_-]{43}", page)
    assert key is not None
    done = subprocess.run(
        ["sh", "-e", "-c", block.replace("127.0.0.1:8440", f"127.0.0.1:{port}")],
        cwd=folder,
        env=_environment(port) | {"KEY": key[0]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert '"qr":"ZL1:' in done.stdout.replace(" ", ""), done.stdout


def _environment(port: int) -> dict[str, str]:
    return {**os.environ, "ZHENGLIAN_PORT": str(port), "ZHENGLIAN_DATA": "var"}


def _wait(process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail((folder / "run.log").read_text())
