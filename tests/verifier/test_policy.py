"""Witness policies: the grammar, the counting, and what fails closed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.helpers import COSIGNATURE, ORIGIN, cosigned, refused, signer, witness
from verifier.checkpoint import Checkpoint
from verifier.note import Note, NoteSignature, NoteSigner, format_note, parse_note, sign_note
from verifier.policy import MAX_DEFINITIONS, Policy, parse_policy

LOG = signer(1)
OTHER_LOG = signer(2, "other.example")
WITNESSES = {f"X{i}": witness(10 + i) for i in (1, 2, 3)} | {
    f"Y{i}": witness(20 + i) for i in (1, 2, 3)
}
HEAD = Checkpoint(ORIGIN, 5, bytes(32))

# The example of the specification, with keys.
EXAMPLE = f"""\
log {LOG.key.text()}

{"".join(f"witness {name} {WITNESSES[name].key.text()}{chr(10)}" for name in ("X1", "X2", "X3"))}\
group X-witnesses 2 X1 X2 X3

{"".join(f"witness {name} {WITNESSES[name].key.text()}{chr(10)}" for name in ("Y1", "Y2", "Y3"))}\
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""
W1 = f"witness w1 {WITNESSES['X1'].key.text()}\n"
W2 = f"witness w2 {WITNESSES['X2'].key.text()}\n"


def note(*names: str, log: NoteSigner = LOG) -> Note:
    """The checkpoint with cosignatures of these witnesses, stamped 1000, 1001 …"""
    times = {WITNESSES[name]: 1000 + i for i, name in enumerate(names)}
    return parse_note(cosigned(HEAD, log, times))


@pytest.mark.parametrize("names", [("X1", "X2", "Y1"), ("X3", "X1", "Y3"), tuple(WITNESSES)])
def test_the_example_is_met(names: tuple[str, ...]) -> None:
    expected = {(name, 1000 + i) for i, name in enumerate(names)}
    witnessed = parse_policy(EXAMPLE).check(note(*names))
    assert set(witnessed) == expected
    assert [name for name, _ in witnessed] == sorted(names)


@pytest.mark.parametrize(
    "names", [(), ("X1",), ("X1", "X2", "X3"), ("Y1", "Y2", "Y3"), ("X1", "Y1", "Y2", "Y3")]
)
def test_the_example_is_not_met(names: tuple[str, ...]) -> None:
    with refused("policy-quorum-not-met"):
        parse_policy(EXAMPLE).check(note(*names))


@given(st.sets(st.sampled_from(sorted(WITNESSES))))
def test_counting_is_counting(names: set[str]) -> None:
    met = len(names & {"X1", "X2", "X3"}) >= 2 and bool(names & {"Y1", "Y2", "Y3"})
    assert parse_policy(EXAMPLE).is_met_by(names) is met
    assert parse_policy(EXAMPLE).is_met_by(names | {"stranger"}) is met


def test_names_of_groups_are_not_witnesses() -> None:
    assert not parse_policy(EXAMPLE).is_met_by({"X-and-Y", "X-witnesses", "Y-witnesses"})


@pytest.mark.parametrize("threshold", range(1, 7))
def test_thresholds(threshold: int) -> None:
    lines = [f"witness {name} {who.key.text()}\n" for name, who in WITNESSES.items()]
    group = f"group all {threshold} {' '.join(WITNESSES)}\n"
    policy = parse_policy("".join([*lines, group, "quorum all\n"]))
    names = list(WITNESSES)
    for count in range(7):
        assert policy.is_met_by(set(names[:count])) is (count >= threshold)


def test_any_and_all_are_numbers() -> None:
    policy = parse_policy(f"{W1}{W2}group a any w1\ngroup b all w2 a\nquorum b\n")
    assert (policy.groups["a"].threshold, policy.groups["b"].threshold) == (1, 2)
    assert policy.is_met_by({"w1", "w2"})
    assert not policy.is_met_by({"w1"})
    assert not policy.is_met_by({"w2"})


def test_a_single_witness_may_be_the_quorum() -> None:
    policy = parse_policy(f"{W1}{W2}quorum w2\n")
    assert policy.check(note("X2")) == [("w2", 1000)]
    assert policy.check(note("X1", "X2")) == [("w1", 1000), ("w2", 1001)]
    with refused("policy-quorum-not-met"):
        policy.check(note("X1"))


def test_quorum_none_asks_no_witness_but_still_the_log() -> None:
    policy = parse_policy(f"log {LOG.key.text()}\nquorum none\n")
    assert policy.check(note()) == []
    with refused("policy-log-missing"):
        policy.check(parse_note(sign_note(HEAD.body(), [OTHER_LOG])))
    assert parse_policy("quorum none\n").check(note()) == []


def test_the_log_signs_under_its_own_origin() -> None:
    policy = parse_policy(f"log {LOG.key.text()}\nlog {OTHER_LOG.key.text()}\nquorum none\n")
    assert policy.check(note()) == []
    with refused("policy-log-missing"):
        policy.check(parse_note(sign_note(HEAD.body(), [OTHER_LOG])))


def test_witnesses_do_not_replace_the_log() -> None:
    full = note(*WITNESSES)
    with refused("policy-log-missing"):
        parse_policy(EXAMPLE).check(Note(full.text, full.signatures[1:]))


def test_a_bad_cosignature_spoils_the_note() -> None:
    policy = parse_policy(EXAMPLE)
    full = note(*WITNESSES)
    last = full.signatures[-1]
    bad = NoteSignature(last.name, last.key_id, last.signature[:-1] + b"\0")
    assert bad != last
    with refused("note-bad-signature"):
        policy.check(Note(full.text, (*full.signatures[:-1], bad)))
    assert policy.check(Note(full.text, full.signatures[:-1]))


def test_a_plain_signature_of_a_witness_is_no_cosignature() -> None:
    plain = signer(11, WITNESSES["X1"].name)
    signed = parse_note(sign_note(HEAD.body(), [LOG, plain]))
    with refused("policy-quorum-not-met"):
        parse_policy(f"{W1}quorum w1\n").check(signed)


def test_one_witness_many_times_counts_once() -> None:
    who = WITNESSES["X1"]
    lines = tuple(who.sign(HEAD.body(), time) for time in range(5))
    with refused("policy-quorum-not-met"):
        parse_policy(f"{W1}{W2}group g 2 w1 w2\nquorum g\n").check(Note(HEAD.body(), lines))


def test_only_checkpoints_satisfy_a_policy() -> None:
    with refused("checkpoint-malformed"):
        parse_policy("quorum none\n").check(parse_note(sign_note("hello\n", [LOG])))


def test_layout_is_free_where_the_specification_says_so() -> None:
    policy = parse_policy(
        f"  # 注释\n\n\t \n\tlog\t {LOG.key.text()}   https://log.example/ \n"
        f" witness \u7532\u00a0\u4e59 {WITNESSES['X1'].key.text()} https://w.example/\n"
        "\tquorum  \u7532\u00a0\u4e59\t\n#\n"
    )
    assert policy.logs[0].url == "https://log.example/"
    assert policy.witnesses["\u7532\u00a0\u4e59"].url == "https://w.example/"
    assert policy.check(note("X1")) == [("\u7532\u00a0\u4e59", 1000)]


def test_written_plainly_it_is_the_same_policy() -> None:
    for text in (EXAMPLE, "quorum none\n", f"{W1[:-1]}  https://w.example/\nquorum w1\n"):
        policy = parse_policy(text)
        assert isinstance(policy, Policy)
        assert parse_policy(policy.text()) == policy
        assert parse_policy(policy.text()).text() == policy.text()


def test_names_are_compared_as_they_are() -> None:
    kelvin = "\u212a"
    with refused("policy-malformed"):
        parse_policy(f"witness K {WITNESSES['X1'].key.text()}\nquorum {kelvin}\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "# only words\n",
        W1,
        "quorum none",
        "quorum none\n# cut short",
        "# return \r\nquorum none\n",
        "# delete \x7f\nquorum none\n",
        "quorum none\r\n",
        "quorum\u00a0none\n",
        "quorum none\0\n",
        "quorum none\x7f\n",
        "quorum none # why\n",
        "Quorum none\n",
        "quorum\n",
        "quorum none\nquorum none\n",
        "quorum w1\n",
        f"quorum w1\n{W1}",
        f"{W1}{W1}quorum w1\n",
        f"{W1}{W1.replace('w1', 'w2')}quorum w1\n",
        f"{W1}{W2.replace('w2', 'w1')}quorum w1\n",
        f"{W1.replace('w1', 'none')}quorum none\n",
        f"{W1[:-1]} https://w.example/ more\nquorum w1\n",
        "witness w1\nquorum none\n",
        f"log {LOG.key.text()}\nlog {LOG.key.text()} https://log.example/\nquorum none\n",
        f"log {LOG.key.text()}\nlog {signer(1, 'x.example').key.text()}\nquorum none\n",
        f"log {LOG.key.text()} https://log.example/ more\nquorum none\n",
        "log\nquorum none\n",
        f"witness w1 {LOG.key.text()}\nquorum w1\n",
        f"{W1}group g any\nquorum g\n",
        f"{W1}group g\nquorum g\n",
        f"{W1}group g 0 w1\nquorum g\n",
        f"{W1}group g 2 w1\nquorum g\n",
        f"{W1}group g any w1 w1\nquorum g\n",
        f"{W1}{W2}group g any w1\ngroup h all w1 w2\nquorum h\n",
        f"{W1}group g any none\nquorum g\n",
        f"{W1}group g any w2\nquorum g\n",
        f"{W1}group g any g w1\nquorum g\n",
        f"{W1}group g any h\ngroup h any w1\nquorum g\n",
        f"{W1}group w1 any w1\nquorum w1\n",
        f"{W1}group g any w1\n{W2.replace('w2', 'g')}quorum g\n",
        f"{W1}group none any w1\nquorum none\n",
        f"{W1}trust w1\nquorum w1\n",
    ],
)
def test_what_is_not_a_policy(text: str) -> None:
    with refused("policy-malformed"):
        parse_policy(text)


@pytest.mark.parametrize("threshold", ["+1", "01", "-1", "1.0", "１", "most", "ALL"])
def test_thresholds_have_one_spelling(threshold: str) -> None:
    with refused("decimal-malformed"):
        parse_policy(f"{W1}group g {threshold} w1\nquorum g\n")


def test_keys_are_read_strictly() -> None:
    with refused("note-key-malformed"):
        parse_policy(f"log {LOG.key.text()}=\nquorum none\n")
    with refused("note-key-malformed"):
        parse_policy(f"log {LOG.key.public.hex()}\nquorum none\n")


def test_the_line_is_named() -> None:
    with refused("policy-malformed") as caught:
        parse_policy(f"{W1}\n# fine\ngroup g any w9\nquorum g\n")
    assert caught.value.detail == "line 4: not defined above: w9"


def test_sizes_are_bounded() -> None:
    def text(count: int) -> str:
        lines = [
            f"witness w{i} {signer(i, f'w{i}.example', COSIGNATURE).key.text()}\n"
            for i in range(count)
        ]
        groups = [f"group g{i} any w{i}\n" for i in range(count)]
        logs = [f"log {signer(i, f'log{i}.example').key.text()}\n" for i in range(count)]
        return "".join([*lines, *groups, *logs, "quorum g0\n"])

    policy = parse_policy(text(MAX_DEFINITIONS))
    assert len(policy.witnesses) == len(policy.groups) == len(policy.logs) == 48 >= 32
    with refused("too-large"):
        parse_policy(text(MAX_DEFINITIONS + 1))
    with refused("too-large"):
        parse_policy("#" * (256 << 10) + "\nquorum none\n")


def test_a_note_full_of_witnesses_fits() -> None:
    lines = tuple(witness(i).sign(HEAD.body(), 1000) for i in range(1, MAX_DEFINITIONS + 1))
    assert len(parse_note(format_note(Note(HEAD.body(), lines))).signatures) == MAX_DEFINITIONS


def test_how_few_are_enough() -> None:
    """Without addresses every witness is a party of its own; see also test_logged_policy."""
    policy = parse_policy(EXAMPLE)
    assert policy.least() == 3
    assert policy.parties() == list(WITNESSES)
    assert parse_policy("quorum none\n").least() == 0
