"""The commands as processes: found, serve, stop, be killed, and wrong settings in clear words."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

import api.commands.run
from api.app import create_app
from api.cli import main
from api.clients import register_client
from api.demo_people import _food_number
from api.founding import open_city
from api.principals import Role
from ledger.readside import DirectoryReadSide
from tests.api.service import (
    CHIEFS,
    PASSPHRASE,
    card,
    enrol_department,
    enrol_key,
    sample,
    settings_of,
)
from verifier.checkpoint import open_checkpoint
from verifier.note import parse_vkey
from verifier.pack import open_pack
from verifier.pack_form import is_update
from verifier.proof import check_proof, parse_proof

ORIGIN = "command.zhenglian.example"
Answers = list[tuple[int, dict[str, Any]]]
SECONDS = 60  # to give up after, on the slowest machine; nothing waits for it


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Cli:
    """The `zhenglian` command over one data folder, in this process and in one of its own."""

    data: Path
    port: int = field(default_factory=free_port)

    def settings(self, **changes: str) -> dict[str, str]:
        own = {
            "ZHENGLIAN_DATA": str(self.data),
            "ZHENGLIAN_ORIGIN": ORIGIN,
            "ZHENGLIAN_PASSPHRASE": PASSPHRASE,
            "ZHENGLIAN_ARGON2_MIB": "64",
            "ZHENGLIAN_PORT": str(self.port),
        }
        return {**own, **changes}

    def environment(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if "ZHENGLIAN" not in name}
        root = str(Path(__file__).parents[2])
        return {**others, **self.settings(), "PYTHONPATH": root, "PYTHONUTF8": "1"}

    def run(self, *words: str, **changes: str) -> int:
        """The exit status of the command, here."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.settings(**changes).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["zhenglian", *words])
            patch.setattr(api.commands.run, "log_as_json", lambda: None)
            patch.setattr(api.commands.run, "log_warnings_only", lambda: None)
            with pytest.raises(SystemExit) as ended:
                main()
        return int(ended.value.code or 0)

    @contextmanager
    def serving(self, command: str = "serve") -> "Iterator[Server]":
        """The running server; killed at the end if it is still there."""
        process = subprocess.Popen(
            [sys.executable, "-m", "api.cli", command],
            env=self.environment(),
            cwd=self.data.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            server = Server(process, f"http://127.0.0.1:{self.port}")
            server.wait()
            yield server
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@dataclass
class Server:
    process: "subprocess.Popen[bytes]"
    url: str

    def wait(self) -> None:
        """Until it answers."""
        for _ in range(SECONDS * 20):
            if self.process.poll() is not None:
                assert self.process.stdout is not None
                raise AssertionError(self.process.stdout.read().decode())
            try:
                httpx2.get(f"{self.url}/healthz", timeout=SECONDS)
            except httpx2.TransportError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("it never answered")

    def stop(self, by: signal.Signals) -> str:
        """Everything it said, once it has stopped as it was told to."""
        self.process.send_signal(by)
        assert self.process.wait(SECONDS) in (0, -by)
        assert self.process.stdout is not None
        told = self.process.stdout.read().decode()
        assert "Traceback" not in told
        return told

    def call(self, key: str | None, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx2.request(method, self.url + path, headers=headers, timeout=SECONDS, **options)


@pytest.fixture(scope="module")
def cli(argon2: None, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A founded city with a department, its key and a clerk, whose API key is kept beside it."""
    cli = Cli(tmp_path_factory.mktemp("city") / "var")
    cards = []
    for name in CHIEFS:
        path = cli.data.parent / f"{name}.card"
        path.write_text(card(name, origin=ORIGIN).text())
        cards += ["--officer", str(path)]
    assert cli.run("found", "--suite", "es256") == 2  # nobody who could decide anything
    assert cli.run("found", "--suite", "es256", *cards) == 0
    settings = settings_of(cli.data, origin=ORIGIN)
    with closing(open_city(settings)) as city:
        market = city.catalogue.departments["market"]
        enrol_department(city, "market", market.zh, market.en, market.uscc)
        enrol_key(city, "market", [city.catalogue.licence_type("food-licence").code])
        key = register_client(
            city, client="clerk", name="经办", roles=[Role.CLERK], department="market"
        )
    (cli.data.parent / "clerk").write_text(key)
    return cli


@pytest.fixture
def clerk(cli: Cli) -> str:
    return (cli.data.parent / "clerk").read_text()


def licence(number: int) -> dict[str, Any]:
    fields = {**sample("food-licence"), "no": _food_number(number), "until": "2031-09-01"}
    return {"type": "food-licence", "fields": fields}


# the ordinary way


def test_issue_stop_pack_verify_export(
    cli: Cli, clerk: str, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    kept = tmp_path / "kept.zlpack"
    with cli.serving() as server:
        kept.write_bytes(server.call(None, "GET", "/v1/pack").content)
        answer = server.call(clerk, "POST", "/v1/licences", json=licence(1))
        assert answer.status_code == 201, answer.text
        issued = answer.json()
        assert cli.run("pack", "update", str(kept), "--from", server.url, "--json") == 0
        told = json.loads(capsysbinary.readouterr().out)
        assert (told["code"], told["to"]["size"]) == ("updated", issued["index"] + 1)
        assert told["received_bytes"] < kept.stat().st_size / 2
        gone = f"{server.url}/elsewhere"
        assert cli.run("pack", "update", str(kept), "--from", gone) == 2
        assert b"pack-source-failed" in capsysbinary.readouterr().err
        vkey = server.call(None, "GET", "/v1/log/key").text.strip()
        told = server.stop(signal.SIGTERM)
    lines = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert [line["route"] for line in lines if line.get("status") == 201] == ["/v1/licences"]
    assert f":{cli.port}" in told
    assert clerk not in told
    assert PASSPHRASE not in told

    pack = tmp_path / "city.zlpack"
    assert cli.run("pack", "make", str(pack)) == 0
    trust = open_pack(pack.read_bytes(), log_key=vkey)
    assert f"{ORIGIN}/market" in trust.authorities.departments
    capsysbinary.readouterr()
    assert cli.run("pack", "make", "-") == 0
    assert open_pack(capsysbinary.readouterr().out).log_key.text() == vkey

    assert cli.run("pack", "show", str(pack), "--vkey", vkey) == 0
    assert f"{ORIGIN}" in capsysbinary.readouterr().out.decode()
    update = tmp_path / "update"
    assert cli.run("pack", "make", str(update), "--since", str(kept)) == 0
    assert is_update(update.read_bytes())
    assert cli.run("pack", "verify", str(update), "--since", str(kept)) == 0
    assert cli.run("pack", "update", str(kept), "--from", str(update), "--vkey", vkey) == 0
    capsysbinary.readouterr()
    assert cli.run("pack", "update", str(kept), "--from", str(update), "--json") == 0
    assert json.loads(capsysbinary.readouterr().out)["code"] == "unchanged"

    code = tmp_path / "code.txt"
    code.write_text(issued["qr"])
    assert cli.run("verify", str(code), "--trust", str(kept), "--json") == 0
    capsysbinary.readouterr()
    assert cli.run("verify", str(code), "--trust", str(pack), "--json") == 0
    assert json.loads(capsysbinary.readouterr().out)["colour"] == "green"
    assert cli.run("verify", str(code)) == 2

    folder = tmp_path / "log"
    assert cli.run("export", str(folder)) == 0
    note = DirectoryReadSide(folder).read("checkpoint")
    assert open_checkpoint(note, parse_vkey(vkey)).size == issued["index"] + 1
    assert cli.run("export", str(tmp_path)) == 2  # a folder of others


def test_founding_again_changes_nothing(cli: Cli) -> None:
    before = sorted(path.read_bytes() for path in (cli.data / "custody").iterdir())
    assert cli.run("found") == 0
    assert sorted(path.read_bytes() for path in (cli.data / "custody").iterdir()) == before


class Load:
    """Eight clerks who issue until the server is gone; `enough` is set after so many answers."""

    def __init__(self, server: Server, clerk: str, first: int, most: int) -> None:
        self.answers: Answers = []
        self.wrong: list[str] = []
        self.enough = threading.Event()
        self._server, self._clerk, self._most = server, clerk, most
        self._threads = [
            threading.Thread(target=self._issue, args=(first + 100 * n,)) for n in range(8)
        ]
        for thread in self._threads:
            thread.start()

    def _issue(self, first: int) -> None:
        with httpx2.Client(timeout=SECONDS) as client:
            client.headers["Authorization"] = f"Bearer {self._clerk}"
            for number in range(first, first + 100):
                try:
                    answer = client.post(
                        f"{self._server.url}/v1/licences",
                        json=licence(number),
                        headers={"Idempotency-Key": f"{number}"},
                    )
                except httpx2.TransportError:
                    return
                if answer.status_code != 201:
                    self.wrong.append(answer.text)
                    return
                self.answers.append((number, answer.json()))
                if len(self.answers) >= self._most:
                    self.enough.set()

    def join(self) -> Answers:
        for thread in self._threads:
            thread.join()
        assert not self.wrong
        return self.answers


def check_all(client: httpx2.Client | TestClient, acknowledged: Answers) -> None:
    """Everything that was acknowledged is there, proven, green, and answered the same again."""
    assert client.get("/readyz").status_code == 200
    log_key = parse_vkey(client.get("/v1/log/key").text.strip())
    for _, issued in acknowledged:
        proof = parse_proof(client.get(issued["proof"]).content)
        assert proof.index == issued["index"]
        check_proof(proof, b64decode(issued["statement"]), log_key, None)
        assert client.get(f"/v1/licences/{issued['record_id']}").status_code == 200
        verdict = client.post("/v1/verify", json={"text": issued["qr"]}).json()
        assert verdict["colour"] == "green"
    number, issued = acknowledged[0]
    headers = {"Idempotency-Key": f"{number}"}
    again = client.post("/v1/licences", json=licence(number), headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == issued


def test_killed_under_load_it_keeps_what_it_acknowledged(cli: Cli, clerk: str) -> None:
    """SIGKILL while eight clerks issue: every 201 they saw is there after the next start."""
    acknowledged: Answers = []
    bearer = {"Authorization": f"Bearer {clerk}"}
    for attempt, most in enumerate((10, 25), 1):
        with cli.serving() as server:
            if acknowledged:
                with httpx2.Client(base_url=server.url, timeout=SECONDS, headers=bearer) as client:
                    check_all(client, acknowledged)
            load = Load(server, clerk, 1_000 * attempt, most)
            assert load.enough.wait(SECONDS)
            server.process.kill()
            acknowledged += load.join()
    assert len(acknowledged) >= 35
    city = open_city(settings_of(cli.data, origin=ORIGIN))
    with TestClient(create_app(city), headers=bearer) as client:
        check_all(client, acknowledged)


# wrong ways


@pytest.mark.parametrize(
    ("words", "changes", "code"),
    [
        (["serve"], {"ZHENGLIAN_PORT": "eighty"}, "settings-invalid"),
        (["serve"], {"ZHENGLIAN_PORT": "0"}, "settings-invalid"),
        (["pack", "make", "x"], {"ZHENGLIAN_PACK_HOURS": "0"}, "settings-invalid"),
        (["serve"], {"ZHENGLIAN_HOST": "256.1.1.1"}, "address-unusable"),
        (["serve"], {"ZHENGLIAN_PASSPHRASE": "wrong"}, "key-wrong-passphrase"),
        (["serve"], {"ZHENGLIAN_ORIGIN": "other.example"}, "ledger-origin-mismatch"),
        (["pack", "make", "/nowhere/at/all"], {}, "file-failed"),
        (["client", "x", "--role", "clerk"], {}, "client-department-missing"),
        (["client", "x", "--role", "registrar"], {}, "client-department-missing"),
        (["client", "x", "--role", "clerk", "--department", "navy"], {}, "catalogue-unknown-entry"),
        (["client", "clerk", "--role", "operator"], {}, "client-exists"),
        (["client", "a b", "--role", "operator"], {}, "client-name-invalid"),
        (["found", "--suite", "rsa"], {"ZHENGLIAN_DATA": "{tmp}/new"}, "key-unknown-suite"),
        (["serve"], {"ZHENGLIAN_DATA": "{tmp}/none"}, "city-not-founded"),
        (["pack", "make", "x"], {"ZHENGLIAN_DATA": "{tmp}/none"}, "city-not-founded"),
        (["export", "x"], {"ZHENGLIAN_DATA": "{tmp}/none"}, "city-not-founded"),
    ],
)
def test_wrong_ways_say_what_is_wrong(
    cli: Cli,
    words: list[str],
    changes: dict[str, str],
    code: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes = {name: value.format(tmp=tmp_path) for name, value in changes.items()}
    assert cli.run(*words, **changes) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"[{code}]")
    assert any("一" <= char <= "鿿" for char in line)
    assert PASSPHRASE not in line
    assert not (tmp_path / "none").exists()


def test_words_nobody_knows(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("dance") == 2
    assert cli.run("--help") == 0
    assert "found" in capsys.readouterr().out


def test_a_port_in_use(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    fresh = Cli(cli.data.parent / "other", cli.port)
    with socket.create_server(("127.0.0.1", cli.port)):
        for command, where in (("serve", cli), ("run", fresh)):
            assert where.run(command) == 2
            told = capsys.readouterr().err
            assert f"127.0.0.1:{cli.port}" in told
            assert "[address-in-use]" in told
            assert "ZHENGLIAN_PORT" in told
    assert not fresh.data.exists()  # told before anything slow is done


def test_run_makes_a_demo(tmp_path: Path) -> None:
    with Cli(tmp_path / "var").serving("run") as server:
        page = server.call(None, "GET", "/")
        assert page.status_code == 200
        assert "zl_demo-market_" in page.text
        assert server.call(None, "GET", "/readyz").status_code == 200
        told = server.stop(signal.SIGINT)
    assert "first run" in told
    assert '"event"' not in told  # no line for each request at a terminal
