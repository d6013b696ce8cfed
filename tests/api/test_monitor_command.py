"""`zhenglian monitor` from an empty folder: exit codes, words, JSON, alarms, and its evidence in
the hands of somebody who has the verifier alone."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from api.commands.monitor import keep_on, monitor_command, status
from keys.errors import ZhenglianError
from ledger.audit.findings import Finding
from ledger.monitor.begin import locked
from ledger.monitor.errors import MonitorError
from ledger.monitor.findings import FINDINGS, is_alarm
from ledger.monitor.report import ALARM, render_round
from ledger.monitor.round import Round
from ledger.monitor.state import Alarm
from tests.city import City as PackCity
from tests.ledger.logs import City, Memory, log_files
from tests.monitor.follow import other_history, served, shown

CITY = City()
CITY.fill(60)
FORKED = other_history(CITY, 20)
VKEY = CITY.log.key.text()
PACK = "pack city.pack"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `log` of 40 entries in an otherwise empty working folder."""
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "log", shown(CITY, 40))


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    for path, data in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return folder


def run(*words: object) -> Result:
    app = typer.Typer()
    app.command("monitor")(monitor_command)
    return CliRunner().invoke(app, [*map(str, words), "--state", "state", "--processes", "1"])


def test_clean_then_a_fork(log: Path, repo: Path, tmp_path: Path) -> None:
    result = run(log, "--vkey", VKEY)
    assert result.exit_code == 0, result.output
    first = result.stdout.splitlines()[0]
    assert "正常 ok" in first
    assert "规模 size 40 (+40)" in first
    assert "各处 places 1/1" in first
    assert ALARM not in result.stdout
    write(log, shown(FORKED, 50))
    result = run(log)
    assert result.exit_code == 1
    assert "告警 ALARM" in result.stdout.splitlines()[0]
    assert f"{ALARM} monitor-split-view × 1" in result.stdout
    assert f"{ALARM}   账本签署了两套历史" in result.stdout
    (file,) = (tmp_path / "state" / "evidence").iterdir()
    assert file.name in result.stdout
    confirmed_alone(file, repo, tmp_path)
    write(log, shown(CITY, 60))
    again = run(log)
    assert (again.exit_code, f"{ALARM} monitor-split-view × 1" in again.stdout) == (1, True)
    assert run(log, "--acknowledge").exit_code == 1, "a split view is never settled"


def confirmed_alone(file: Path, repo: Path, tmp_path: Path) -> None:
    """By `keys` and `verifier`, copied, in a folder without anything else."""
    for floor in ("keys", "verifier"):
        shutil.copytree(repo / floor, tmp_path / "alone" / floor)
    done = subprocess.run(
        [sys.executable, "-m", "verifier", str(file), "--vkey", VKEY],
        cwd=tmp_path / "alone",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "证据成立" in done.stdout


def test_json_and_a_program_that_hears_of_alarms(log: Path, tmp_path: Path) -> None:
    program = tmp_path / "hear.sh"
    program.write_text("#!/bin/sh\ncat > heard.json\n")
    program.chmod(0o755)
    result = run(log, "--vkey", VKEY, "--json", "--on-alarm", program)
    answer = json.loads(result.stdout)
    assert (answer["ok"], answer["size"], answer["new_entries"]) == (True, 40, 40)
    assert answer["places"] == [{"name": "log", "size": 40, "is": "later"}]
    assert not Path("heard.json").exists()
    entries = [*CITY.entries[:40], b"no statement"]
    write(log, log_files(entries, CITY.log))
    result = run(log, "--json", "--on-alarm", program)
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["ok"]) == (1, False)
    assert [(one["code"], one["index"]) for one in answer["new"]] == [("audit-not-a-statement", 40)]
    assert answer["alarms"][0]["acknowledged"] is False
    assert json.loads(Path("heard.json").read_text()) == answer
    assert run(log, "--acknowledge").exit_code == 0
    program.write_text("#!/bin/sh\nexit 3\n")
    entries.append(b"nor this")
    write(log, log_files(entries, CITY.log))
    result = run(log, "--on-alarm", program)
    assert (result.exit_code, "--on-alarm" in result.stderr) == (1, True)


def test_what_cannot_be_followed(log: Path) -> None:
    result = run("nowhere")
    assert refusal(result) == "ledger-source-unknown"
    assert refusal(run(log, "--vkey", "nonsense")) == "note-key-malformed"
    assert run(log, "--vkey", VKEY, "--once", "--every", 5).exit_code == 2
    with served(lambda path: None) as url:
        assert refusal(run(url)) == "monitor-no-log-key"
        assert run(url, "--vkey", VKEY).exit_code == 2, "no alarm, and not read"
    with locked(Path("state")):
        assert refusal(run(log, "--vkey", VKEY)) == "monitor-busy"


def refusal(result: Result) -> str:
    assert isinstance(result.exception, ZhenglianError), result.output
    return result.exception.code


def test_places_of_all_kinds(log: Path, tmp_path: Path) -> None:
    write(tmp_path / "copy", shown(FORKED, 30))
    (tmp_path / "foreign.pack").write_bytes(PackCity("other.example").pack())
    with served(lambda path: None) as silent:
        result = run(
            *(log, "--vkey", VKEY, "--other", "copy", "--witness", silent, "--json"),
            *("--pack", "foreign.pack", "--pack", "missing.pack", "--pack", f"{silent}/v1/pack"),
        )
    answer = json.loads(result.stdout)
    assert [(one["name"].partition(" ")[0], one["is"]) for one in answer["places"]] == [
        ("log", "later"),
        ("witness", "unread"),
        ("pack", "unread"),
        ("pack", "unread"),
        ("pack", "unread"),
        ("other", "split"),
    ]
    assert {one["code"] for one in answer["new"]} == {"monitor-split-view", "monitor-view-refused"}


def test_key_and_policy_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    city = PackCity()
    city.issue()
    write(tmp_path / "log", {**log_files(city.entries, city.log), "checkpoint": city.checkpoint()})
    Path("city.pack").write_bytes(city.pack())
    monkeypatch.setattr("api.commands.monitor.HttpReadSide", lambda url: Memory({}))
    Path("policy").write_text(city.policy_text(3), encoding="utf-8")
    words = ("log", "--trust", "city.pack", "--policy", "policy", "--pack", "city.pack")
    result = run(*words, "--json", "--policy-witnesses")
    answer = json.loads(result.stdout)
    asked = [one["name"] for one in answer["places"]]
    assert asked == ["log", *(f"witness https://{one.name}/" for one in city.witnesses), PACK]
    assert (answer["trust"], answer["log_key"]) == ("given", city.log.key.text())
    assert answer["places"][-1]["is"] == "same"
    assert "audit-witnesses-missing" not in {one["code"] for one in answer["alarms"]}
    Path("city.pack").write_bytes(b"")
    assert refusal(run(*words)) == "pack-empty"


# --- round after round ---------------------------------------------------------------------------


def made(*alarms: Alarm, notices: tuple[Finding, ...] = (), read: bool = True) -> Round:
    views = (("log", 5 if read else None, "same"),)
    return Round(1, 1_800_000_000, "o.example", VKEY, "given", 5, 5, (), alarms, notices, views)


def test_status_of_a_round() -> None:
    alarm = Alarm(Finding("audit-bad-signature", 3), 1)
    noted = Alarm(Finding("audit-bad-signature", 3), 1, acknowledged=True)
    assert [status(made(*alarms)) for alarms in ((), (noted,), (alarm,))] == [0, 0, 1]
    assert (status(made(read=False)), status(made(alarm, read=False))) == (2, 1)


def test_what_stands_is_repeated_and_notices_are_not() -> None:
    done = made(
        Alarm(Finding("audit-bad-signature", 3), 1),
        notices=(Finding("monitor-view-unread", path="w"),),
    )
    lines = render_round(done)
    assert any("monitor-view-unread" in line for line in lines)
    assert sum(line.startswith(ALARM) for line in lines) == 5
    told = frozenset(line for line in lines if line.startswith("  –"))
    again = render_round(done, told)
    assert not any("monitor-view-unread" in line for line in again)
    assert sum(line.startswith(ALARM) for line in again) == 5


def test_what_a_log_says_cannot_steer_the_terminal() -> None:
    alarm = Alarm(Finding("audit-bad-signature", 3, "\x1b[2J\u202e"), 1)
    assert all(line.isprintable() for line in render_round(made(alarm)))


def test_rounds_begin_at_their_time() -> None:
    now, slept = 0.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    took = iter([1.0, 25.0, 0.0, 0.0])

    def one_round() -> Round:
        nonlocal now
        now += next(took)
        return made()

    rounds = keep_on(one_round, 10.0, lambda: now, sleep)
    for _ in range(4):
        next(rounds)
    assert slept == [10.0, 9.0, 0.0, 10.0]


def test_a_full_disk_is_tried_again_and_damage_is_not() -> None:
    errors = iter([MonitorError("monitor-write-failed"), MonitorError("monitor-state-damaged")])

    def one_round() -> Round:
        raise next(errors)

    rounds = keep_on(one_round, 1.0, lambda: 0.0, lambda seconds: None)
    assert isinstance(next(rounds), MonitorError)
    with pytest.raises(MonitorError):
        next(rounds)


def test_every_finding_has_words_in_both_languages() -> None:
    for code, words in FINDINGS.items():
        assert code.startswith(("audit-", "monitor-"))
        assert any("\u4e00" <= letter <= "\u9fff" for letter in words.zh)
        assert words.en.isascii()
    assert not is_alarm(Finding("monitor-view-unread"))


@pytest.mark.long
def test_it_keeps_on_until_it_is_ended(log: Path, tmp_path: Path) -> None:
    """A real process: round after round, an alarm in between, SIGTERM, the status of the last."""
    zhenglian = Path(sys.executable).with_name("zhenglian")
    words = [
        str(zhenglian),
        "monitor",
        str(log),
        "--vkey",
        VKEY,
        "--state",
        "state",
        "--every",
        "1",
        "--json",
    ]
    out = tmp_path / "out"
    with out.open("w") as file, subprocess.Popen(words, stdout=file) as process:
        wait_for(lambda: out.read_text().count("\n") >= 2)
        write(tmp_path / "new", shown(FORKED, 50))
        log.rename(tmp_path / "old")
        (tmp_path / "new").rename(log)
        wait_for(lambda: "monitor-split-view" in out.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 1
    rounds = [json.loads(line) for line in out.read_text().splitlines()]
    assert [one["round"] for one in rounds] == list(range(1, len(rounds) + 1))


def wait_for(happened: object) -> None:
    assert callable(happened)
    for _ in range(600):
        if happened():
            return
        time.sleep(0.1)
    raise AssertionError("it never happened")
