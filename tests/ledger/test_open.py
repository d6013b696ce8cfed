"""What a ledger finds when it opens: states it completes, and states it refuses."""

from collections.abc import Callable

import pytest
from sqlalchemy import delete, update

from ledger.ledger import Ledger
from ledger.model import Head, Published
from ledger.stores.base import Store, Writer
from ledger.stores.sql import CHECKPOINT, ENTRIES, HEAD, TILES
from tests.ledger.helpers import (
    ORIGIN,
    OTHER_KEY,
    SIGNER,
    check_log,
    clock,
    drafts,
    open_ledger,
    refused,
)
from verifier.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from verifier.merkle import EMPTY_ROOT
from verifier.note import NoteSigner


def filled(store: Store, *counts: int) -> None:
    with open_ledger(store) as ledger:
        start = 0
        for count in counts:
            ledger.append(drafts(start, count))
            start += count


def alter(store: Store, change: Callable[[Writer], object]) -> None:
    with store.write() as writer:
        change(writer)
        writer.commit()


def test_a_fresh_ledger_publishes_the_empty_tree(ledger: Ledger) -> None:
    checkpoint = open_checkpoint(ledger.checkpoint(), SIGNER.key)
    assert checkpoint == Checkpoint(ORIGIN, 0, EMPTY_ROOT)


def test_opening_again_changes_nothing(store: Store) -> None:
    filled(store, 300)
    before = open_ledger(store)
    note = before.checkpoint()
    before.close()
    with open_ledger(store) as ledger:
        assert ledger.checkpoint() == note
        assert ledger.append(drafts(299, 2)).size == 301
        check_log(ledger)


def test_what_was_committed_and_not_published_is_published(store: Store) -> None:
    filled(store, 2)
    with store.read() as reader:
        old = reader.published()
    assert old is not None
    with open_ledger(store) as ledger:
        ledger.append(drafts(2, 300))
        complete = ledger.checkpoint()
    alter(store, lambda w: w.connection.execute(update(CHECKPOINT).values(size=2, note=old.note)))
    reading = Ledger.open(store, origin=ORIGIN, signers=[], clock=clock)
    assert reading.size == 2
    with refused("ledger-out-of-range"):
        reading.entry(2)
    with open_ledger(store) as ledger:
        assert ledger.checkpoint() == complete
        assert check_log(ledger)[0].size == 302
    assert reading.size == 302


def test_a_store_without_tables(store: Store) -> None:
    alter(store, lambda w: w.connection.exec_driver_sql("DROP TABLE head"))
    with refused("ledger-store-failed"):
        open_ledger(store)


def test_another_origin_is_refused(store: Store) -> None:
    filled(store, 3)
    other = NoteSigner("other.example", OTHER_KEY._signer)
    with refused("ledger-origin-mismatch"):
        Ledger.open(store, origin="other.example", signers=[other], clock=clock)
    with refused("ledger-origin-mismatch"):
        Ledger.open(store, origin="other.example", signers=[], clock=clock)


def test_another_key_is_refused(store: Store) -> None:
    filled(store, 3)
    with refused("ledger-wrong-key"):
        Ledger.open(store, origin=ORIGIN, signers=[OTHER_KEY], clock=clock)
    with refused("ledger-wrong-key"):
        Ledger.open(store, origin="other.example", signers=[SIGNER], clock=clock)


def test_the_log_key_is_the_first_signer_and_more_may_sign(store: Store) -> None:
    both = [SIGNER, NoteSigner("second.example", OTHER_KEY._signer)]
    with Ledger.open(store, origin=ORIGIN, signers=both, clock=clock) as ledger:
        ledger.append(drafts(0, 3))
        assert ledger.checkpoint().count("— ".encode()) == 2
    filled(store, 1)  # entry 0 again, under the log key alone


def test_a_rolled_back_ledger_is_refused(store: Store) -> None:
    filled(store, 5)
    with store.read() as reader:
        earlier = reader.head()
    with open_ledger(store) as ledger:
        ledger.append(drafts(5, 3))

    def roll_back(writer: Writer) -> None:
        values = {"size": 5, "root": earlier.root, "frontier": b"".join(earlier.frontier)}
        writer.connection.execute(update(HEAD).values(values))
        writer.connection.execute(delete(ENTRIES).where(ENTRIES.c.idx >= 5))

    alter(store, roll_back)
    with refused("ledger-rolled-back"):
        open_ledger(store)


def test_a_second_history_is_refused(store: Store) -> None:
    filled(store, 5)
    forged = sign_checkpoint(Checkpoint(ORIGIN, 4, bytes(32)), [SIGNER])
    alter(store, lambda w: w.connection.execute(update(CHECKPOINT).values(size=4, note=forged)))
    with refused("ledger-forked"):
        open_ledger(store)


def test_a_second_history_published_behind_our_back_is_noticed(ledger: Ledger) -> None:
    forged = sign_checkpoint(Checkpoint(ORIGIN, 3, bytes(32)), [SIGNER])
    ledger.store.publish(Published(3, forged))
    with refused("ledger-logged-not-published") as caught:
        ledger.append(drafts(0, 3))
    assert "ledger-forked" in caught.value.detail


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda w: w.connection.execute(delete(ENTRIES).where(ENTRIES.c.idx == 599)),
                     id="last entry lost"),
        pytest.param(lambda w: w.insert_entries([(600, bytes(32), b"x", 1, "x", 0)]),
                     id="an entry too many"),
        pytest.param(lambda w: w.connection.execute(
            update(ENTRIES).where(ENTRIES.c.idx == 598).values(leaf_hash=bytes(32))),
                     id="leaf hash altered at the edge"),
        pytest.param(lambda w: w.put_tile(1, 0, bytes(64)), id="tile altered"),
        pytest.param(lambda w: w.connection.execute(delete(TILES)), id="tile lost"),
        pytest.param(lambda w: w.connection.execute(update(HEAD).values(root=bytes(32))),
                     id="root altered"),
        pytest.param(lambda w: w.connection.execute(update(HEAD).values(frontier=bytes(128))),
                     id="frontier altered"),
        pytest.param(lambda w: w.connection.execute(update(HEAD).values(frontier=b"short")),
                     id="frontier damaged"),
        pytest.param(lambda w: w.connection.execute(update(CHECKPOINT).values(size=599)),
                     id="checkpoint row and note differ"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(
    store: Store, change: Callable[[Writer], object]
) -> None:
    filled(store, 600)
    alter(store, change)
    with refused("ledger-inconsistent"):
        open_ledger(store)


def test_damage_found_while_appending_stops_the_append(store: Store) -> None:
    with open_ledger(store) as ledger:
        ledger.append(drafts(0, 600))
        with store.read() as reader:
            tile, head = reader.tile(1, 0), reader.head()
        alter(store, lambda w: w.put_tile(1, 0, tile[:32]))
        with refused("ledger-inconsistent"):
            ledger.append(drafts(600, 200))
        alter(store, lambda w: w.put_tile(1, 0, tile))
        alter(store, lambda w: w.swap_head(head, Head(600, bytes(32), head.frontier)))
        with refused("ledger-inconsistent"):
            ledger.append(drafts(600, 1))


def test_an_unreadable_checkpoint_is_refused(store: Store) -> None:
    filled(store, 3)
    alter(store, lambda w: w.connection.execute(update(CHECKPOINT).values(note=b"?")))
    with refused("ledger-wrong-key"):
        open_ledger(store)
