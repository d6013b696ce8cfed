"""The signer process: started, spoken to, killed and started again, for real."""

import contextlib
import os
import re
import signal
import socket
import stat
import struct
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import cbor2
import pytest

from api.signing import server as server_module
from api.signing.client import SignerConnection
from api.signing.frames import receive, send
from api.signing.peer import peer_uid
from api.signing.server import MAX_CLIENTS, SignerServer
from keys.custody import FileCustody, RemoteCustody, SignerService
from keys.custody.remote import MAX_MESSAGE
from keys.errors import KeysError
from tests.api.signer_kit import PASSPHRASE, PATIENCE, QUICK, Signer, short_folder
from tests.softhsm import PIN, SoftHsm

pytestmark = pytest.mark.usefixtures("argon2")


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[Signer]:
    """Not started; one key is in its files. The path is short: a socket's has 100 bytes at most."""
    data = tmp_path / "signer"
    FileCustody(data / "custody", PASSPHRASE, QUICK).create("market", "ed25519")
    with short_folder() as folder:
        made = Signer(data, folder / "signer.sock", {})
        yield made
        if made.process is not None:
            made.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def running(argon2: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    """Running, for the tests that leave it as it is."""
    data = tmp_path_factory.mktemp("running")
    FileCustody(data / "custody", PASSPHRASE, QUICK).create("market", "ed25519")
    with short_folder() as folder:
        made = Signer(data, folder / "signer.sock", {})
        made.start()
        yield made
        made.end(signal.SIGKILL)


def refuses(code: str) -> "pytest.RaisesExc[KeysError]":
    return pytest.raises(KeysError, match=f"^{code}")


# served


def test_a_service_signs_with_keys_it_does_not_hold(running: Signer) -> None:
    custody = running.custody()
    made = custody.create("health", "es256")
    assert [entry.name for entry in custody.list()] == ["health", "market"]
    for name in ("health", "market"):
        opened = custody.open(name)
        opened.suite.verify(opened.public, b"m", opened.sign(b"m"))
    with refuses("key-exists"):
        custody.create("health", "es256")
    assert made.public == FileCustody(running.data / "custody", PASSPHRASE).open("health").public


def test_what_was_signed_is_written_down(signer: Signer) -> None:
    signer.start()
    market = signer.custody().open("market")
    messages = [b"one", b"two", b"three"]
    for message in messages:
        market.sign(message)
    signer.end(signal.SIGKILL)
    assert [each["sha256"] for each in signer.log()] == [sha256(m).hexdigest() for m in messages]
    signer.start()
    signer.custody().open("market").sign(b"four")
    record = signer.log()[-1]
    assert len(signer.log()) == 4
    assert set(record) == {"at", "name", "kid", "sha256"}
    assert (record["name"], record["kid"]) == ("market", market.kid.hex())
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", record["at"])
    assert (signer.data / "signer.log").stat().st_mode & 0o777 == 0o600


def test_the_socket_is_the_owners_alone(signer: Signer) -> None:
    signer.start()
    assert stat.S_IMODE(signer.socket.stat().st_mode) == 0o600
    signer.end(signal.SIGTERM)
    signer.start("--group", str(os.getegid()))
    assert stat.S_IMODE(signer.socket.stat().st_mode) == 0o660
    assert signer.socket.stat().st_gid == os.getegid()


def test_making_keys_is_forbidden_by_an_option(signer: Signer) -> None:
    signer.start("--no-create")
    with refuses("signer-forbids"):
        signer.custody().create("health", "es256")
    assert [entry.name for entry in signer.custody().list()] == ["market"]


def test_it_stops_in_good_order(signer: Signer) -> None:
    for by in (signal.SIGTERM, signal.SIGINT):
        signer.start()
        assert signer.end(by) == 0
        assert not signer.socket.exists()


# who may


def conversation(allowed: frozenset[int], files: FileCustody) -> socket.socket:
    """The near end of a connection that a server attends."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    near.settimeout(PATIENCE)
    service = SignerService(files, lambda *_: None, may_create=True)
    server = SignerServer(far, service, allowed)
    server._places.acquire()
    threading.Thread(target=server._attend, args=(far,), daemon=True).start()
    return near


def ask(connection: socket.socket, request: bytes) -> list[object]:
    send(connection, request)
    answer = receive(connection, wait=PATIENCE, seconds=PATIENCE)
    assert answer is not None
    return list(cbor2.loads(answer))


def test_another_user_is_sent_away(tmp_path: Path) -> None:
    files = FileCustody(tmp_path, PASSPHRASE, QUICK)
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with near, far:
        assert peer_uid(far) == os.geteuid()
    with conversation(frozenset([os.geteuid()]), files) as known:
        assert ask(known, cbor2.dumps([1])) == [0, []]
    with conversation(frozenset([os.geteuid() + 1]), files) as stranger:
        answer = receive(stranger, wait=PATIENCE, seconds=PATIENCE)
        assert answer is not None
        assert cbor2.loads(answer)[:2] == [1, "signer-stranger"]
        assert receive(stranger, wait=PATIENCE, seconds=PATIENCE) is None


def test_users_and_groups_nobody_knows(signer: Signer) -> None:
    assert "[user-unknown]" in signer.fails("--allow-user", "no-such-user-here")
    assert "[user-unknown]" in signer.fails("--group", "no-such-group-here")
    assert not signer.socket.exists()


# what it does not take


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack(">I", 0),
        struct.pack(">I", MAX_MESSAGE + 1) + b"x" * 100,
        struct.pack(">I", 0xFFFFFFFF),
        struct.pack(">I", 3) + b"\xff\xff\xff",
        struct.pack(">I", 2) + cbor2.dumps([9]),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_malformed_requests_get_a_code_and_an_end(running: Signer, sent: bytes) -> None:
    other = running.custody().open("market")
    with running.connect() as connection:
        connection.sendall(sent)
        answer = receive(connection, wait=PATIENCE, seconds=PATIENCE)
        assert answer is not None
        assert cbor2.loads(answer)[:2] == [1, "signer-malformed"]
        with contextlib.suppress(ConnectionResetError):  # of what it never read
            assert connection.recv(1) == b""
    other.sign(b"others are not disturbed")


def test_a_request_that_never_ends_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "FRAME_SECONDS", 0.2)
    files = FileCustody(tmp_path, PASSPHRASE, QUICK)
    with conversation(frozenset([os.geteuid()]), files) as slow:
        slow.sendall(struct.pack(">I", 100) + b"half")
        assert slow.recv(1) == b""


def test_a_message_too_long_is_not_sent(running: Signer) -> None:
    market = running.custody().open("market")
    with refuses("signer-malformed"):
        market.sign(bytes(MAX_MESSAGE))
    market.sign(bytes(MAX_MESSAGE - 100))


# many, and few


def test_several_clients_at_once(running: Signer) -> None:
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            market = running.custody().open("market")
            for count in range(30):
                market.sign(f"{number} {count}".encode())
        except BaseException as fault:  # noqa: BLE001 (shown below)
            faults.append(fault)

    run_all([threading.Thread(target=work, args=(number,)) for number in range(8)])
    assert faults == []
    wanted = {sha256(f"{n} {c}".encode()).hexdigest() for n in range(8) for c in range(30)}
    assert {each["sha256"] for each in running.log()} >= wanted


def test_one_client_too_many_waits_for_a_place(running: Signer) -> None:
    held = [running.connect() for _ in range(MAX_CLIENTS)]
    for connection in held:
        assert ask(connection, cbor2.dumps([1]))[0] == 0
    late = running.connect()
    send(late, cbor2.dumps([1]))
    late.settimeout(0.3)
    with pytest.raises(TimeoutError):
        late.recv(1)
    held.pop().close()
    assert receive(late, wait=PATIENCE, seconds=PATIENCE) is not None
    for connection in (late, *held):
        connection.close()


def run_all(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# killed


def test_killed_and_started_again_while_signing_goes_on(signer: Signer) -> None:
    """Four threads sign without a pause; the signer dies three times, and no signature is lost."""
    signer.start()
    custody, stop = signer.custody(), threading.Event()
    market = custody.open("market")
    counts, faults = [0] * 4, []

    def work(number: int) -> None:
        try:
            while not stop.is_set():
                message = f"{number} {counts[number]}".encode()
                market.suite.verify(market.public, message, market.sign(message))
                counts[number] += 1
        except BaseException as fault:  # noqa: BLE001 (shown below)
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            wait_for_more(counts, faults)
            assert signer.end(signal.SIGKILL) == -signal.SIGKILL
            assert signer.socket.exists()  # left behind, and replaced
            signer.start()
        wait_for_more(counts, faults)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert faults == []
    logged = {each["sha256"] for each in signer.log()}
    for number, count in enumerate(counts):
        for made in range(count):
            assert sha256(f"{number} {made}".encode()).hexdigest() in logged


def wait_for_more(counts: list[int], faults: list[BaseException]) -> None:
    """Until every thread has signed some more."""
    before, until = list(counts), time.monotonic() + PATIENCE
    while not all(now >= then + 20 for now, then in zip(counts, before, strict=True)):
        assert not faults
        assert time.monotonic() < until, "no thread signs any more"
        time.sleep(0.01)


def test_a_signer_that_is_away_is_said_to_be(signer: Signer) -> None:
    with refuses("signer-unreachable") as away:
        list(signer.custody(patience=0.1).list())
    assert away.value.detail == f"{signer.socket}: No such file or directory"
    signer.start()
    custody = signer.custody(patience=0.1)
    market = custody.open("market")
    signer.end(signal.SIGKILL)
    for _ in range(2):
        with refuses("signer-unreachable"):
            market.sign(b"m")
    signer.start()
    market.sign(b"m")


def test_a_signer_that_does_not_answer_is_not_waited_for_for_ever(running: Signer) -> None:
    connection = SignerConnection(running.socket, patience=0.1, answer_seconds=0.3)
    market = RemoteCustody(connection).open("market")
    assert running.process is not None
    running.process.send_signal(signal.SIGSTOP)
    os.waitpid(running.process.pid, os.WUNTRACED)  # until it has stopped
    with refuses("signer-unreachable") as late:
        market.sign(b"m")
    assert late.value.detail == f"{running.socket}: no answer in time"
    running.process.send_signal(signal.SIGCONT)
    market.sign(b"m")


# two of them


def test_a_live_signer_keeps_its_socket(running: Signer) -> None:
    market = running.custody().open("market")
    assert "[signer-running]" in running.fails()
    market.sign(b"m")
    assert running.custody().open("market").public == market.public


def test_the_socket_of_another_program_is_not_taken(signer: Signer) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(signer.socket))
        other.listen()
        assert "[signer-running]" in signer.fails()
        with signer.connect():
            other.accept()[0].close()
    signer.start()  # it is stale now
    signer.custody().open("market").sign(b"m")


def test_what_is_no_socket_is_not_removed(signer: Signer) -> None:
    signer.socket.write_text("precious")
    assert "[file-failed]" in signer.fails()
    assert signer.socket.read_text() == "precious"


def test_it_does_not_start_with_a_wrong_passphrase(signer: Signer) -> None:
    signer.settings["ZHENGLIAN_PASSPHRASE"] = "wrong"
    assert "[key-wrong-passphrase]" in signer.fails()
    assert not signer.socket.exists()


# before a security module


def test_a_security_module_behind_the_signer(signer: Signer, tmp_path: Path) -> None:
    try:
        hsm = SoftHsm(tmp_path / "hsm")
    except LookupError as missing:
        pytest.skip(str(missing))
    hsm.make("city")
    signer.settings |= {
        "ZHENGLIAN_CUSTODY": f"pkcs11:{hsm.module}?token=city",
        "ZHENGLIAN_PIN": "000000",
        "SOFTHSM2_CONF": str(hsm.conf),
    }
    assert "[hsm-wrong-pin]" in signer.fails()
    signer.settings["ZHENGLIAN_PIN"] = PIN
    signer.start()
    custody = signer.custody()
    custody.create("operator", "es256")
    operator = custody.open("operator")
    with refuses("key-suite-elsewhere"):
        custody.create("sm", "sm2")
    signer.end(signal.SIGKILL)
    signer.start()
    operator.suite.verify(operator.public, b"m", operator.sign(b"m"))
