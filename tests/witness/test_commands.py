"""`zhenglian witness …` as its operator uses it; one test through a real process and port."""

import json
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner, Result

from api import cli
from api.cli import app
from api.commands import witness as commands
from api.settings import Settings
from ledger.stores.witness import open_state
from ledger.witness import Witness, origin_hash
from tests.witness.logs import Clock, GrowingLog, signer
from tests.witness.serving import cheap, serving
from verifier.note import parse_note, parse_vkey, verify_signatures
from verifier.policy import parse_policy
from verifier.split_view import check_split_view, parse_split_view

NAME = "witness.example/w1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A witness whose keys cost little to open; every test has a copy."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "_settings", cheap)
        assert run("init", NAME, "--folder", folder).exit_code == 0
        yield folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "witness")


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["witness", *map(str, words)])


def refused(code: str, *words: object) -> None:
    result = run(*words)
    assert getattr(result.exception, "code", None) == code, result


def shown_evidence(folder: Path, log: GrowingLog) -> None:
    """A checkpoint cosigned, then a fork of the same size and one that leads nowhere."""
    fork = log.fork(1).grow(len(log.entries) - 1, b"f")
    with closing(open_state(folder / "witness.db")) as state:
        witness = Witness(state, [signer(7), signer(7, type=0x06)], Clock())
        for body in (log.request(0), fork.request(0)):
            witness.add_checkpoint(body)
        size = len(log.entries)
        log.grow(2)
        assert witness.add_checkpoint(fork.grow(2).request(size)).status == 422


class TestInit:
    def test_makes_keys_and_a_state_of_its_own(self, folder: Path) -> None:
        assert (folder / "witness.db").is_file()
        with closing(open_state(folder / "witness.db")) as state:
            assert [key.type for key in state.own_keys()] == [4, 6]
            assert {key.name for key in state.own_keys()} == {NAME}

    def test_once(self, folder: Path) -> None:
        refused("witness-state-exists", "init", NAME, "--folder", folder)

    def test_the_next_steps_are_of_its_own_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "two words"
        told = run("init", NAME, "--folder", folder).stderr
        for command in ("add-log <vkey>", "serve", "key"):
            assert f"zhenglian witness {command} --folder '{folder}'\n" in told
        shown = run("show", "--folder", folder).stderr
        assert f"zhenglian witness add-log <vkey> --folder '{folder}'\n" in shown

    def test_the_usual_folder_is_not_spelled_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        told = run("init", NAME).stderr
        assert "zhenglian witness serve\n" in told
        assert "--folder" not in told

    def test_not_with_keys_whose_state_is_lost(self, folder: Path) -> None:
        (folder / "witness.db").unlink()
        refused("witness-state-missing", "init", NAME, "--folder", folder)
        refused("witness-state-missing", "show", "--folder", folder)

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("", "note-key-name"),
            ("a b", "note-key-name"),
            ("w" * 256, "witness-name"),
            ("https://w.example", "witness-name"),
        ],
    )
    def test_under_a_name_for_a_key(self, tmp_path: Path, name: str, code: str) -> None:
        refused(code, "init", name, "--folder", tmp_path / "new")
        assert not (tmp_path / "new" / "witness.db").exists()
        assert not (tmp_path / "new" / "custody").exists()


def test_key_gives_vkeys_and_a_policy(folder: Path) -> None:
    lines = run("key", "--folder", folder, "--url", "https://w.example/").stdout.splitlines()
    keys = [parse_vkey(line) for line in lines[:2]]
    assert [key.type for key in keys] == [4, 6]
    policy = parse_policy("\n".join([*lines[2:], f"quorum {NAME}", ""]))
    assert [party.key for party in policy.witnesses.values()] == keys
    assert {party.url for party in policy.witnesses.values()} == {"https://w.example/"}
    assert policy.groups[NAME].threshold == 2
    assert run("key", "--folder", folder).stdout.splitlines()[2].count(" ") == 2


class TestLogs:
    def test_are_added_listed_and_dropped(self, folder: Path) -> None:
        one, two = GrowingLog("one.example", both=True), GrowingLog("two.example")
        vkeys = [key.text() for key in one.witnessed.keys]
        assert "one.example" in run("add-log", *vkeys, "--all", "--folder", folder).stderr
        key = two.witnessed.keys[0].text()
        run("add-log", key, "--origin", "other origin", "--folder", folder)
        listed = run("logs", "--folder", folder).stdout.splitlines()
        assert [line.split("\t") for line in listed] == [
            ["one.example", "2/2", vkeys[0]],
            ["one.example", "2/2", vkeys[1]],
            ["other origin", "1/1", key],
        ]
        assert run("drop-log", "one.example", "--folder", folder).exit_code == 0
        assert run("logs", "--folder", folder).stdout.startswith("other origin\t")
        refused("witness-log-unknown", "drop-log", "one.example", "--folder", folder)

    def test_change_their_keys_on_purpose(self, folder: Path) -> None:
        old, new = (GrowingLog(seed=seed).witnessed.keys[0].text() for seed in (1, 2))
        run("add-log", old, "--folder", folder)
        refused("witness-log-exists", "add-log", new, "--folder", folder)
        run("add-log", new, "--replace", "--folder", folder)
        assert run("logs", "--folder", folder).stdout.endswith(f"{new}\n")

    def test_have_keys_of_one_name(self, folder: Path) -> None:
        one, two = (GrowingLog(name).witnessed.keys[0].text() for name in ("a.b", "c.d"))
        refused("witness-log-keys", "add-log", one, two, "--folder", folder)
        refused("witness-log-keys", "add-log", one, one, "--folder", folder)
        refused("note-key-malformed", "add-log", "nonsense", "--folder", folder)

    def test_are_not_the_witness_itself(self, folder: Path) -> None:
        own = GrowingLog(NAME).witnessed.keys[0].text()
        refused("witness-name", "add-log", own, "--folder", folder)


class TestShow:
    def test_what_is_on_record(self, folder: Path) -> None:
        assert "尚无账本 no logs" in run("show", "--folder", folder).stderr
        log = GrowingLog().grow(3)
        run("add-log", log.witnessed.keys[0].text(), "--folder", folder)
        assert "尚未联署 nothing cosigned yet" in run("show", "--folder", folder).stdout
        shown_evidence(folder, log)
        shown = run("show", "--folder", folder).stdout
        assert "规模 size      3\n" in shown
        assert "2027-01-15T16:00:00+08:00" in shown
        assert "2，其中分叉 of them forks 2" in shown

    def test_evidence_that_anybody_can_check(self, folder: Path, tmp_path: Path) -> None:
        log, out = GrowingLog().grow(3), tmp_path / "evidence"
        run("add-log", log.witnessed.keys[0].text(), "--folder", folder)
        assert "没有 none" in run("evidence", "--folder", folder).stderr
        shown_evidence(folder, log)
        assert "写出文件" in run("evidence", "--folder", folder).stderr
        listed = run("evidence", "--folder", folder, "--out", out).stdout
        assert listed.count("a fork: the log signed two histories") == 2
        assert sorted(path.name for path in out.iterdir()) == [
            f"{number}-{what}.txt"
            for number in (1, 2)
            for what in ("presented", "recorded", "split-view")
        ]
        for number, size in ((1, 3), (2, 5)):
            view = parse_split_view((out / f"{number}-split-view.txt").read_bytes())
            proved = check_split_view(view, log.witnessed.keys[0])
            assert (proved.first.size, proved.second.size) == (3, size)
            presented = parse_note((out / f"{number}-presented.txt").read_bytes())
            assert presented.text.startswith(f"{log.origin}\n{size}\n")

    def test_what_is_undecided_says_so(self, folder: Path, tmp_path: Path) -> None:
        log, out = GrowingLog().grow(4), tmp_path / "evidence"
        run("add-log", log.witnessed.keys[0].text(), "--folder", folder)
        shown_evidence(folder, log)
        listed = run("evidence", "--folder", folder, "--out", out).stdout
        assert "undecided" in listed
        assert not (out / "2-split-view.txt").exists()


def test_a_refusal_is_one_line_in_both_languages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["zhenglian", "witness", "show", "--folder", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    error = capsys.readouterr().err
    assert (stopped.value.code, error.count("\n")) == (2, 1)
    assert error.endswith("(witness.db) [witness-state-missing]\n")
    assert "没有见证人的状态文件" in error


def test_serves_at_a_real_port_and_stops_when_asked(repo: Path, folder: Path) -> None:
    log = GrowingLog(both=True).grow(3)
    note = log.checkpoint()
    with serving(repo, folder) as (process, address):
        vkeys = [key.text() for key in log.witnessed.keys]
        run("add-log", *vkeys, "--folder", folder)  # while it runs
        with httpx2.Client(base_url=address) as client:
            answer = client.post("/add-checkpoint", content=b"old 0\n\n" + note)
            assert answer.status_code == 200, answer.text
            with closing(open_state(folder / "witness.db")) as state:
                keys = state.own_keys()
            verify_signatures(parse_note(note + answer.content), keys, at_least=2)
            assert client.post("/add-checkpoint", content=log.request(0)).text == "3\n"
            shown = client.get(f"/{origin_hash(log.origin)}/checkpoint")
            assert shown.content == note + answer.content
            assert client.get("/healthz").text == "ok\n"
        process.send_signal(signal.SIGTERM)
        assert process.stderr
        events = [json.loads(line) for line in process.stderr]
        assert process.wait(20) in (0, -signal.SIGTERM)
    assert {"refused", "Application shutdown complete."} <= {event["event"] for event in events}


@pytest.mark.parametrize("words", [["witness", "serve", "--folder"], ["mirror", "serve"]])
def test_a_port_in_use_is_that_of_the_option(
    words: list[str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setattr(sys, "argv", ["zhenglian", *words, str(folder), "--port", port])
        monkeypatch.setattr(f"api.commands.{words[0]}.log_as_json", lambda: None)
        with pytest.raises(SystemExit):
            cli.main()
    told = capsys.readouterr().err
    assert told.endswith("; --port) [address-in-use]\n")
    assert "ZHENGLIAN_PORT" not in told


def test_serve_without_its_passphrase_names_its_own_variable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = Settings.model_construct(data=folder, passphrase="")
    monkeypatch.setattr(commands, "_settings", lambda _: none)
    result = run("serve", "--folder", folder, "--port", "0")
    assert getattr(result.exception, "code", None) == "passphrase-missing"
    assert commands.PASSPHRASE in str(result.exception)
    assert "ZHENGLIAN_PASSPHRASE" not in str(result.exception)


def test_does_not_serve_with_keys_of_another_state(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert run("init", "witness.example/w2", "--folder", other).exit_code == 0
    (other / "witness.db").replace(folder / "witness.db")
    refused("witness-state-foreign", "serve", "--folder", folder, "--port", "0")
