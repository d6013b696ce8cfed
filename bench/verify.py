"""Judging a compact code offline against one bare signature verification; and how large codes are.

Both sides of the ratio see the same messages, one after the other, so that whatever else the
machine does disturbs them alike; of each message the best of many rounds counts.

Sizes are of real companies where ../shared/data is at hand, else of the sample licence.
"""

import csv
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nacl.bindings as sodium
import zxingcpp

from tests.city import FACE, NOW, City, Licence, seeded
from tests.verifier.long_life import EVENTS, long_lived
from verifier.checkpoint import Checkpoint, add_cosignatures, cosign, sign_checkpoint
from verifier.codec import base45_decode, cbor_encode
from verifier.cose import to_be_signed
from verifier.judge import judge
from verifier.merkle import leaf_hash, root_from_inclusion
from verifier.proof import TlogProof, proof_to_cbor
from verifier.qr import PREFIX, format_qr
from verifier.statement import parse_statement
from verifier.verdict import Colour

COMPANIES = Path(__file__).resolve().parents[2] / "shared" / "data" / "shanghai_2004.csv"
CODES = 200
ROUNDS = 60
LOG_SIZE = 1_000_000
Row = dict[str, Any]


def bench() -> list[Row]:
    return [speed(), long_history(), *sizes()]


def speed() -> Row:
    """Microseconds to judge a compact business licence, green, and to verify its signature."""
    city = City()
    licences = [city.issue() for _ in range(CODES)]
    trust = city.trust()
    codes = [licence.qr() for licence in licences]
    if any(judge(code, trust, NOW).colour is not Colour.GREEN for code in codes):
        raise RuntimeError("a code is not green, so its speed means nothing")
    public = city.departments["market"].public
    signed = [_signed(licence) for licence in licences]
    ours, raw = [_NEVER] * CODES, [_NEVER] * CODES
    for _ in range(ROUNDS):
        for i in range(CODES):
            begun = time.perf_counter_ns()
            judge(codes[i], trust, NOW)
            judged = time.perf_counter_ns()
            sodium.crypto_sign_open(signed[i], public)
            ended = time.perf_counter_ns()
            ours[i] = min(ours[i], judged - begun)
            raw[i] = min(raw[i], ended - judged)
    value, bare = statistics.fmean(ours) / 1000, statistics.fmean(raw) / 1000
    bound = "≤ 2.5 × one raw Ed25519 verification"
    return {
        **_row("judging a compact code, offline", value, "µs", bound, value / bare <= 2.5),
        "raw": bare,
        "ratio": value / bare,
    }


def long_history() -> Row:
    """Microseconds to judge a code by a key with thousands of events, and by one with none.

    The first judgement after a pack is opened checks what the key rests on; it does not count.
    """
    cities = [long_lived(EVENTS), City()]
    codes = [[city.issue().qr() for _ in range(CODES)] for city in cities]
    trusts = [city.trust() for city in cities]
    for trust, (code, *_) in zip(trusts, codes, strict=True):
        if judge(code, trust, NOW).colour is not Colour.GREEN:
            raise RuntimeError("a code is not green, so its speed means nothing")
    rounds: list[tuple[float, float]] = []
    for number in range(ROUNDS):
        spent = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):
            begun = time.perf_counter()
            for code in codes[which]:
                judge(code, trusts[which], NOW)
            spent[which] = (time.perf_counter() - begun) / CODES * 1e6
        rounds.append((spent[0], spent[1]))
    ratio = statistics.median(old / young for old, young in rounds)
    old, young = (statistics.median(column) for column in zip(*rounds, strict=True))
    name = f"judging after {EVENTS:,} events of the key"
    row = _row(name, old, "µs", "≤ 1.10 × by a key without any", ratio <= 1.10)
    return {**row, "raw": young, "ratio": ratio}


def sizes() -> list[Row]:
    """QR versions over all companies, and the parts of the median one in bytes."""
    city = City()
    licence = city.issue()
    compact: list[tuple[int, str, Licence]] = []
    for face in faces():
        shown = city.issue(face=face)
        city.entries.pop()
        compact.append((len(shown.qr()), shown.qr(), shown))
    compact.sort(key=lambda entry: entry[0])
    transparent = sorted((in_a_large_log(city, one) for _, _, one in compact), key=len)
    texts = [text for _, text, _ in compact]
    rows = [
        *_versions("compact code", texts, "M", 20),
        *_versions(f"transparent code, log of {LOG_SIZE:,}", transparent, "L", 30),
    ]
    median = compact[len(compact) // 2][2]
    return rows + _parts(city, median if compact else licence)


def faces() -> Sequence[dict[str, Any]]:
    """The face of a business licence for every company: code, representative, dates and all."""
    if not COMPANIES.exists():
        return [dict(FACE)]
    with COMPANIES.open(encoding="utf-8-sig", newline="") as file:
        return [
            {
                "name": row["企业名称"],
                "uscc": row["统一社会信用代码"],
                "kind": FACE["kind"] if row["企业类型"] == "N/A" else row["企业类型"],
                "rep": FACE["representative"],
                "addr": row["注册地址"],
                "capital": row["注册资金"],
                "founded": row["注册日期"],
                "until": "2034-01-01",
            }
            for row in csv.DictReader(file)
        ]


def in_a_large_log(city: City, licence: Licence) -> str:
    """Its transparent code in a log of a million entries, three witnesses."""
    index = 777_777
    hashes = [seeded(f"hash {level}") for level in range(20)]
    leaf = leaf_hash(licence.statement)
    root = root_from_inclusion(index=index, size=LOG_SIZE, leaf=leaf, proof=hashes)
    checkpoint = Checkpoint(city.origin, LOG_SIZE, root)
    lines = [cosign(checkpoint.body(), NOW, witness) for witness in city.witnesses]
    note = add_cosignatures(sign_checkpoint(checkpoint, [city.log]), lines)
    proof = TlogProof(index, tuple(hashes), note)
    return format_qr(licence.statement, licence.disclosures[:1], proof)


def version(text: str, level: str) -> int:
    """The QR version that zxing-cpp needs (side = 17 + 4 × version modules)."""
    code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level=level)
    side: int = code.to_image(scale=1, add_quiet_zones=False).shape[0]
    return (side - 17) // 4


def _versions(name: str, texts: Sequence[str], level: str, most: int) -> list[Row]:
    """`texts` by length: the median, the longest, and how many fit."""
    fits = _first(lambda i: version(texts[i], level) > most, len(texts))
    share = 100 * fits / len(texts)
    middle, longest = texts[len(texts) // 2], texts[-1]
    bound = f"≤ version {most} at level {level}"
    median = version(middle, level)
    unit = "QR version"
    return [
        _row(f"{name}: median of {len(texts):,} ({len(middle)} characters)", median, unit, bound,
             median <= most),
        _row(f"{name}: longest ({len(longest)} characters)", version(longest, level), unit),
        _row(f"{name}: share that fits version {most}-{level}", share, "%"),
    ]  # fmt: skip


def _first(true: Callable[[int], bool], end: int) -> int:
    """The first index for which a monotone condition holds, or `end`."""
    low, high = 0, end
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if true(middle) else (middle + 1, high)
    return low


def _parts(city: City, licence: Licence) -> list[Row]:
    """What the bytes of a code are spent on."""
    statement = parse_statement(licence.statement)
    sign1, content = statement.sign1, statement.content
    text = in_a_large_log(city, licence)
    presented = base45_decode(text[len(PREFIX) :], max_bytes=5000)
    proof = TlogProof(777_777, tuple(seeded(f"h{i}") for i in range(20)), city.checkpoint())
    index, path, (size, root, signatures) = proof_to_cbor(proof)
    labels = {
        1: "kind", 2: "type code", 3: "valid from", 4: "valid until", 5: "status reference",
        6: "predecessor", 7: "rule set", 8: "digests",
    }  # fmt: skip
    parts = {
        "protected header": len(sign1.protected),
        **{
            f"payload: {labels[label]}": len(cbor_encode({label: value})) - 1
            for label, value in content.to_map().items()
        },
        "signature": len(sign1.signature),
        "statement": len(licence.statement),
        "disclosure: salt and frame": len(licence.disclosures[0])
        - sum(len(cbor_encode({k: v})) - 1 for k, v in _shown(licence).items()),
        **{
            f"disclosure: {code}": len(cbor_encode({code: value})) - 1
            for code, value in _shown(licence).items()
        },
        "disclosure": len(licence.disclosures[0]),
        "proof: hashes": len(cbor_encode(path)),
        "proof: index, size, root": len(cbor_encode([index, [size, root]])),
        "proof: log signature and cosignatures": len(cbor_encode(signatures)),
        "transparent code, whole": len(presented),
    }
    return [_row(f"bytes: {name}", size, "B") for name, size in parts.items()]


def _shown(licence: Licence) -> dict[str, Any]:
    from verifier.disclosure import parse_disclosure

    return dict(parse_disclosure(licence.disclosures[0]).fields)


def _signed(licence: Licence) -> bytes:
    sign1 = parse_statement(licence.statement).sign1
    return sign1.signature + to_be_signed(sign1.protected, sign1.payload)


_NEVER = 1 << 62


def _row(
    name: str, value: float, unit: str, bound: str | None = None, holds: bool | None = None
) -> Row:
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "raw": None,
        "ratio": None,
        "bound": bound,
        "holds": holds,
    }
