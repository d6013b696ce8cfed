"""The ledger asks its witnesses: what becomes final, when, and whom nobody waits for."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ledger.cosigning import MAX_ANSWER, Asker, HttpAnswer
from ledger.errors import LedgerError
from ledger.ledger import Ledger
from ledger.model import Published
from ledger.stores.base import Store
from ledger.stores.memory import MemoryStore
from ledger.stores.sqlite import SqliteStore
from tests.ledger.helpers import (
    ORIGIN,
    SIGNER,
    check_inclusion_of,
    check_log,
    clock,
    drafts,
    refused,
)
from tests.ledger.net import Net, eventually, of
from verifier.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from verifier.errors import Refused
from verifier.note import parse_note
from verifier.policy import Policy

TWO_OF_THREE = "group q 2 audit archive court"


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    net = Net(tmp_path)
    yield net
    net.close()


@pytest.fixture
def memory() -> Iterator[Store]:
    store = MemoryStore()
    store.create()
    yield store
    store.close()


def meets(ledger: Ledger, policy: Policy) -> set[str]:
    """The witnesses on the final checkpoint, which the log signed and the policy takes."""
    note = parse_note(ledger.checkpoint())
    open_checkpoint(ledger.checkpoint(), SIGNER.key)
    return {name for name, _ in policy.check(note)}


# what becomes final


@pytest.mark.parametrize(("claims", "error"), [([1, 2, 3], ""), ([3, 1, 2], "none of which")])
def test_a_witness_that_others_bring_on_meanwhile_is_not_at_fault(
    memory: Store, claims: list[int], error: str
) -> None:
    """Two replicas ask at once: each finds it one ahead of what it had said."""
    left = iter(claims)

    def post(_url: str, _body: bytes, _seconds: float) -> HttpAnswer:
        return HttpAnswer(409, "text/x.tlog.size", b"%d\n" % next(left))

    def get(_url: str, _seconds: float) -> HttpAnswer:
        return HttpAnswer(404, "text/plain", b"")

    with Ledger.open(memory, origin=ORIGIN, signers=[SIGNER], clock=clock) as ledger:
        ledger.append(drafts(0, 5))
        asker = Asker("https://a.example", ledger, post, get, clock, time.monotonic)
        assert asker.cosign(ledger.checkpoints()[0], 5) == {}
    assert error in asker.seen.error
    assert bool(asker.seen.error) == bool(error)
    assert next(left, None) is None


def test_without_a_policy_what_is_signed_is_final_at_once(memory: Store) -> None:
    with Ledger.open(memory, origin=ORIGIN, signers=[SIGNER], clock=clock) as ledger:
        assert ledger.checkpoint() == ledger.signed_checkpoint()
        ledger.append(drafts(0, 3))
        assert ledger.final_size == ledger.size == ledger.final_seen == 3
        assert ledger.checkpoint() == ledger.signed_checkpoint()
        assert ledger.finality(2) == "final"


def test_a_quorum_makes_it_final_and_not_before(net: Net, store: Store) -> None:
    policy = net.policy(TWO_OF_THREE)
    for name in ("audit", "court"):
        net[name].down = True
    with net.open(store, policy) as (ledger, witnessing):
        done = ledger.append(drafts(0, 300))
        eventually(lambda: net["archive"].size == 300)
        assert (done.size, ledger.size, ledger.final_size) == (300, 300, 0)
        assert ledger.finality(299) == "pending"
        with refused("ledger-not-published"):
            ledger.checkpoint()
        pending = ledger.prove(7)
        assert pending.finality == "pending"
        assert pending.proof.checkpoint == ledger.signed_checkpoint()
        check_inclusion_of(ledger, [(7, b"entry 7")])
        net["court"].down = False
        eventually(lambda: ledger.final_size == 300)
        assert meets(ledger, policy) == {"archive", "archive-pq", "court"}
        assert ledger.finality(299) == "final"
        assert ledger.prove(7).proof.checkpoint == ledger.checkpoint()
        assert check_log(ledger)[0].size == 300
        assert of(witnessing, "archive").names == ("archive", "archive-pq")


def test_what_was_signed_before_the_policy_stays_final(net: Net, memory: Store) -> None:
    policy = net.policy(TWO_OF_THREE)
    for seat in net.seats.values():
        seat.down = True
    with net.open(memory, lambda size: policy if size > 5 else None) as (ledger, _):
        ledger.append(drafts(0, 5))
        before = ledger.checkpoint()
        ledger.append(drafts(5, 5))
        assert ledger.checkpoint() == before
        assert (ledger.size, ledger.final_size) == (10, 5)
        assert [ledger.finality(i) for i in (4, 5)] == ["final", "pending"]
        standing = ledger.standing()
        assert (standing.head, standing.signed, standing.final) == (10, 10, 5)
        assert standing.pending_since == int(clock() * 1000)
        for seat in net.seats.values():
            seat.down = False
        eventually(lambda: ledger.final_size == 10)
        assert ledger.standing().pending_since is None
        assert len(meets(ledger, policy) - {"archive-pq"}) >= 2


def test_nested_groups(net: Net, memory: Store) -> None:
    """Either the court, or both of the others."""
    policy = net.policy("group both all audit archive", "group q any court both")
    net["court"].down = net["audit"].down = True
    with net.open(memory, policy) as (ledger, _):
        ledger.append(drafts(0, 3))
        eventually(lambda: net["archive"].size == 3)
        assert ledger.final_size == 0
        net["audit"].down = False
        eventually(lambda: ledger.final_size == 3)
        assert meets(ledger, policy) == {"archive", "archive-pq", "audit"}


def test_a_quorum_of_the_second_keys_alone(net: Net, memory: Store) -> None:
    """One address, two keys in the policy: asked once, both lines are taken."""
    policy = net.policy(quorum="archive-pq", names=["archive"])
    with net.open(memory, policy) as (ledger, _):
        ledger.append(drafts(0, 3))
        eventually(lambda: ledger.final_size == 3)
        assert meets(ledger, policy) == {"archive", "archive-pq"}


def test_an_override_is_the_policy_in_force(net: Net, memory: Store) -> None:
    """Until size 8 everybody must cosign, from then on the court alone; then nobody."""
    strict = net.policy("group q all audit archive court")
    weaker, none = net.policy(quorum="court"), net.policy(quorum="none")

    def policy(size: int) -> Policy:
        return strict if size < 8 else weaker if size < 12 else none

    net["audit"].down = True
    with net.open(memory, policy) as (ledger, _):
        ledger.append(drafts(0, 4))
        eventually(lambda: net["court"].size == 4)
        assert ledger.final_size == 0
        ledger.append(drafts(4, 4))
        eventually(lambda: ledger.final_size == 8)
        net["court"].down = True
        ledger.append(drafts(8, 1))
        assert ledger.final_size == 8
        ledger.append(drafts(9, 3))
        assert ledger.final_size == 12
        assert ledger.checkpoint() == ledger.signed_checkpoint()


def test_a_policy_that_cannot_be_told_makes_nothing_final(memory: Store) -> None:
    def policy(size: int) -> None:
        if size:
            raise Refused("enrolment-malformed")

    with Ledger.open(memory, origin=ORIGIN, signers=[SIGNER], clock=clock, policy=policy) as ledger:
        assert ledger.append(drafts(0, 3)).size == 3
        assert (ledger.size, ledger.final_size) == (3, 0)


def test_a_proof_is_under_the_final_checkpoint_where_that_covers_it(
    net: Net, memory: Store
) -> None:
    policy = net.policy(TWO_OF_THREE)
    with net.open(memory, policy) as (ledger, _):
        ledger.append(drafts(0, 3))
        eventually(lambda: ledger.final_size == 3)
        for seat in net.seats.values():
            seat.down = True
        ledger.append(drafts(3, 3))
        assert ledger.prove(2).proof.checkpoint == ledger.checkpoint()
        assert ledger.prove(2).finality == "final"
        assert ledger.prove(3).finality == "pending"
        assert ledger.index_of(ledger.append(drafts(3, 1)).appended[0].leaf_hash) == 3
        with refused("ledger-out-of-range"):
            ledger.prove(6)
        assert ledger.finality(6) == "pending"


# nobody is waited for


def test_a_silent_witness_holds_up_nobody(net: Net, memory: Store) -> None:
    policy = net.policy(TWO_OF_THREE)
    net["audit"].silent.set()
    with net.open(memory, policy, seconds=60.0, start=False) as (ledger, witnessing):
        ledger.before_first_write(lambda: None)  # the look at the start is another test's
        witnessing.start()
        for number in range(5):
            assert ledger.append(drafts(3 * number, 3)).size == 3 * number + 3
            eventually(lambda size=3 * number + 3: ledger.final_size == size)  # type: ignore[misc]
        assert net["audit"].size == 0
        net["audit"].silent.clear()


def test_a_partition_and_its_end(net: Net, memory: Store) -> None:
    policy = net.policy(TWO_OF_THREE)
    with net.open(memory, policy) as (ledger, witnessing):
        ledger.append(drafts(0, 3))
        eventually(lambda: ledger.final_size == 3)
        for seat in net.seats.values():
            seat.down = True
        for number in range(1, 20):
            ledger.append(drafts(3 * number, 3))
        assert (ledger.size, ledger.final_size) == (60, 3)
        eventually(lambda: all(seen.error for seen in witnessing.seen))
        assert not any(seen.up for seen in witnessing.seen)
        assert "Connection refused" in of(witnessing, "court").error
        for seat in net.seats.values():
            seat.down = False
        eventually(lambda: ledger.final_size == 60)
        eventually(lambda: sum(seen.up for seen in witnessing.seen) >= 2)


def altered(change: Callable[[bytes], bytes]) -> Callable[[HttpAnswer], HttpAnswer]:
    return lambda answer: answer._replace(body=change(answer.body))


def another(net: Net, name: str, text: str) -> bytes:
    """What a witness's keys sign over another text."""
    signers = net[name].signers
    return "".join(signer.sign(text, 1_800_000_000).line() for signer in signers).encode()


def asked(net: Net, name: str) -> str:
    """The text that a witness was last asked to cosign."""
    return parse_note(net[name].requests[-1].partition(b"\n\n")[2]).text


OTHER = Checkpoint(ORIGIN, 3, bytes(32)).body()
LIES: dict[str, Callable[[Net], Callable[[HttpAnswer], HttpAnswer]]] = {
    "over another checkpoint": lambda net: altered(lambda _: another(net, "court", OTHER)),
    "by another": lambda net: altered(lambda _: another(net, "audit", OTHER)),
    "under another name": lambda net: altered(lambda body: body.replace(b"court", b"count")),
    "a line that adds to the text": lambda net: altered(
        lambda body: b"and more\n\n" + another(net, "court", OTHER)
    ),
    "no line": lambda net: altered(lambda _: b""),
    "garbage": lambda net: altered(lambda _: b"\xff\x00<html>"),
    "cut short": lambda net: altered(lambda body: body[:-9]),
    "too much": lambda net: altered(lambda body: body * (MAX_ANSWER // len(body) + 1)),
    "good lines after other text": lambda net: altered(lambda body: b"and more\n\n" + body),
    "a stamp of 0": lambda net: altered(
        lambda _: net["court"].signers[0].sign(asked(net, "court"), 0).line().encode()
    ),
    "not well": lambda net: lambda answer: HttpAnswer(500, "text/plain", b"no\x1b[2J\nmore"),
    "redirected": lambda net: lambda answer: HttpAnswer(302, "text/plain", b""),
    "409 for ever": lambda net: lambda answer: HttpAnswer(409, "text/x.tlog.size", b"1\n"),
    "409 and another size each time": lambda net: (
        lambda answer: HttpAnswer(
            409, "text/x.tlog.size", b"%d\n" % (len(net["court"].requests) % 3)
        )
    ),
    "409 and no size": lambda net: lambda answer: HttpAnswer(409, "text/plain", b"3\n"),
    "409 and no number": lambda net: lambda answer: HttpAnswer(409, "text/x.tlog.size", b"+3\n"),
    "409 beyond us": lambda net: lambda answer: HttpAnswer(409, "text/x.tlog.size", b"99\n"),
    "422": lambda net: lambda answer: HttpAnswer(422, "text/plain", b""),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_liar_counts_for_nothing_and_spoils_nothing(net: Net, memory: Store, lie: str) -> None:
    net["court"].alter = LIES[lie](net)
    asked = net.policy("group two all audit archive", "group q all two court")
    with net.open(memory, asked, start=False) as (ledger, witnessing):
        ledger.append(drafts(0, 3))
        witnessing.start()
        eventually(lambda: of(witnessing, "court").error)
        eventually(lambda: net["audit"].size == net["archive"].size == 3)
        assert ledger.final_size == 0
        assert of(witnessing, "court").error.isprintable()
        assert not of(witnessing, "court").up
        assert len(net["court"].requests) <= 3, "it is asked again, but not at once"
        assert ledger.refusal is None
        ledger.append(drafts(3, 3))
    # The others are a quorum without it.
    with net.open(memory, net.policy("group q 2 audit archive court")) as (ledger, witnessing):
        eventually(lambda: ledger.final_size == 6)
        assert "court" not in meets(ledger, net.policy("group q 2 audit archive court"))
        assert ledger.append(drafts(6, 3)).size == 9
        eventually(lambda: ledger.final_size == 9)


def test_a_good_line_beside_a_bad_one_of_the_same_witness_is_not_taken(
    net: Net, memory: Store
) -> None:
    def second_is_bad(body: bytes) -> bytes:
        first = body.splitlines(keepends=True)[0]
        return first + another(net, "archive", OTHER).splitlines(keepends=True)[1]

    net["archive"].alter = altered(second_is_bad)
    with net.open(memory, net.policy(quorum="archive")) as (ledger, witnessing):
        ledger.append(drafts(0, 3))
        eventually(lambda: of(witnessing, "archive").error)
        assert ledger.final_size == 0
        assert "note-bad-signature" in of(witnessing, "archive").error


def test_lines_of_keys_that_the_policy_does_not_list_are_left_out(net: Net, memory: Store) -> None:
    net["court"].alter = altered(lambda body: another(net, "audit", OTHER) + body)
    policy = net.policy(quorum="court", names=["court"])
    with net.open(memory, policy) as (ledger, _):
        ledger.append(drafts(0, 3))
        eventually(lambda: ledger.final_size == 3)
        names = {line.name for line in parse_note(ledger.checkpoint()).signatures}
        assert names == {ORIGIN, "court.example"}


def test_a_witness_that_knows_more_than_we_remember_is_caught_up_with(
    net: Net, memory: Store
) -> None:
    """A new process knows no sizes; the witness says what it has, and gets the proof from there."""
    policy = net.policy("group q all audit archive court")
    for start in (0, 300, 700):
        with net.open(memory, policy) as (ledger, witnessing):
            ledger.append(drafts(start, 300))
            eventually(lambda: ledger.final_size == ledger.size)
            assert {seen.size for seen in witnessing.seen} == {ledger.size}
    assert all(b"old 700\n" not in body for body in net["court"].requests)


def test_a_witness_without_a_monitoring_side_is_asked_all_the_same(net: Net, memory: Store) -> None:
    net["court"].shows = HttpAnswer(404, "text/plain", b"")
    policy = net.policy(quorum="court")
    for start in (0, 300):
        with net.open(memory, policy) as (ledger, _):
            ledger.append(drafts(start, 300))
            eventually(lambda: ledger.final_size == ledger.size)
    assert net["court"].requests[-1].startswith(b"old 300\n")


# several processes, and one that dies


def test_two_ledgers_over_one_store_do_not_fight(net: Net, tmp_path: Path) -> None:
    policy = net.policy("group q all audit archive court")
    stores = [SqliteStore(tmp_path / "ledger.db") for _ in range(2)]
    stores[0].create()
    with (
        net.open(stores[0], policy) as (one, first),
        net.open(stores[1], policy) as (two, second),
    ):
        for number in range(30):
            (one, two)[number % 2].append(drafts(10 * number, 10))
        eventually(lambda: one.final_size == 300)
        assert two.final_size == 300
        assert one.checkpoint() == two.checkpoint()
        assert meets(one, policy) >= {"audit", "court"}
        assert one.refusal is two.refusal is None
        assert not [seen.error for seen in (*first.seen, *second.seen) if seen.error]
    for store in stores:
        store.close()


def test_killed_between_the_quorum_and_finalising(
    net: Net, memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = net.policy("group q all audit archive court")
    met: list[Published] = []

    def dies(checkpoint: Published) -> Published:
        met.append(checkpoint)
        raise LedgerError("ledger-store-failed", "killed")

    with (
        monkeypatch.context() as before,
        net.open(memory, policy, start=False) as (ledger, witnessing),
    ):
        before.setattr(memory, "finalise", dies)
        ledger.append(drafts(0, 3))
        witnessing.start()
        eventually(lambda: met)
    assert met[0].size == 3
    assert all(seat.size == 3 for seat in net.seats.values())
    with net.open(memory, policy) as (ledger, _):
        eventually(lambda: ledger.final_size == 3)
        assert meets(ledger, policy) == {"audit", "archive", "archive-pq", "court"}


def test_final_never_goes_back_whatever_comes_late(memory: Store, net: Net) -> None:
    with net.open(memory, net.policy(quorum="court")) as (ledger, _):
        ledger.append(drafts(0, 3))
        eventually(lambda: ledger.final_size == 3)
        old = ledger.checkpoint()
        ledger.append(drafts(3, 3))
        eventually(lambda: ledger.final_size == 6)
        ledger.finalise(Published(3, old))
        assert ledger.final_size == ledger.final_seen == 6


def test_a_final_checkpoint_of_another_history_is_found_at_start(memory: Store) -> None:
    with Ledger.open(memory, origin=ORIGIN, signers=[SIGNER], clock=clock) as ledger:
        ledger.append(drafts(0, 3))
    forged = sign_checkpoint(Checkpoint(ORIGIN, 4, bytes(32)), [SIGNER])
    memory.finalise(Published(4, forged))
    with refused("ledger-rolled-back"):
        Ledger.open(memory, origin=ORIGIN, signers=[SIGNER], clock=clock)
