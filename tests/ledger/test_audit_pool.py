"""Worker processes: the same answers as in this process, and a clear word when one is lost."""

from functools import cache
from io import BytesIO

import pytest

from ledger.audit.errors import AuditError
from ledger.audit.pool import Pool
from ledger.audit.worker import BAD, GOOD, UNKNOWN, Act, Bundle, Job, examine, receive, send, split
from tests.ledger.logs import City, signer
from verifier.tiles import encode_bundle


@cache
def job(*, tree_only: bool = False) -> Job:
    city = City()
    city.fill(20)
    city.licence(how={"by": signer("nobody")})
    city.licence()
    city.entries[-1] = city.entries[-1][:-1] + b"\0"
    entries = [*city.entries, b"no statement"]
    return Job([Bundle(0, len(entries), len(entries), encode_bundle(entries))], {}, tree_only)


def test_a_process_answers_as_this_one() -> None:
    with Pool(2) as pool:
        futures = [pool.submit(job()) for _ in range(5)]
        assert {repr(future.result()) for future in futures} == {repr(examine(job()))}


def test_what_a_worker_tells() -> None:
    outcome = examine(job())
    (examined,) = outcome.bundles
    assert examined.sound
    assert len(examined.leaves) == 32 * 23
    assert [row[0] for row in examined.acts[:20]] == [GOOD] * 20
    assert [row[0] for row in examined.acts[20:22]] == [UNKNOWN, BAD]
    assert examined.acts[22][0] == "cose-malformed"
    assert Act(*examined.acts[0]).issuer.endswith("/operator")  # type: ignore[arg-type]
    # Enrolments, and what an unknown key signed, are for the keyring to see.
    assert examined.raw.keys() == {0, 1, 2, 3, 4, 20}
    assert len(outcome.keys) == 3
    (examined,) = examine(job(tree_only=True)).bundles
    assert examined.acts == []
    assert examined.sound


def test_a_lost_process_is_said() -> None:
    with Pool(1) as pool:
        assert pool.submit(job()).result().bundles[0].sound
        pool.processes[0].kill()
        pool.processes[0].wait()
        with pytest.raises(AuditError) as caught:
            pool.submit(job()).result()
    assert caught.value.code == "audit-worker-lost"


def test_processes_end_with_the_block() -> None:
    with Pool(2) as pool:
        pool.submit(job()).result()
    assert [process.poll() for process in pool.processes] == [0, 0]


def test_processes_are_killed_after_an_exception() -> None:
    class Stop(Exception):
        pass

    with pytest.raises(Stop), Pool(1) as pool:
        raise Stop
    assert pool.processes[0].poll() is not None


def test_messages_are_cut_where_they_end() -> None:
    pipe = BytesIO()
    send(pipe, job())
    send(pipe, job(tree_only=True))
    pipe.seek(0)
    assert receive(pipe) == job()
    assert receive(pipe) == job(tree_only=True)
    with pytest.raises(EOFError):
        receive(pipe)


ENTRIES = [b"", b"a", b"bc" * 300]
WHOLE = encode_bundle(ENTRIES)


def test_a_bundle_is_split_as_far_as_it_is_whole() -> None:
    assert split(WHOLE, 3) == (ENTRIES, True)
    assert split(WHOLE, 2) == (ENTRIES, False)
    assert split(WHOLE, 4) == (ENTRIES, False)
    assert split(WHOLE + b"\0", 3) == (ENTRIES, False)
    assert split(b"", 1) == ([], False)
    for cut in range(1, len(WHOLE)):
        entries, sound = split(WHOLE[:cut], 3)
        assert not sound
        assert entries == ENTRIES[: len(entries)]
        assert len(entries) < 3
