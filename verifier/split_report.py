"""Evidence of two histories, as text for people and as JSON."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from verifier.checkpoint import Checkpoint
from verifier.note import VerifierKey
from verifier.report import Page, clock, plain
from verifier.split_view import Cosigner, TwoHistories
from verifier.verdict import Colour

CODE = "two-histories"
ZH = "证据成立：此账本签署了两套互相矛盾的历史"
EN = "Proved: this log signed two histories that contradict each other"
_LONGEST_KEY = 400  # characters of a vkey; one of ML-DSA-44 has some 1,800


def split_view_page(found: TwoHistories, page: Page) -> None:
    """The sentence, the log and its keys, what it signed, who cosigned which."""
    page.banner(Colour.RED, ZH, EN)
    page.heading("账本", "The log")
    rows: list[tuple[str, str, Any]] = [("账本名", "Origin", found.origin)]
    keys = sorted(found.log_keys, key=lambda key: len(key.public))
    rows += [("账本密钥", "Key of the log", _key(key)) for key in keys]
    rows.append(("密钥来源", "Where the key is from", page.say(*_trust(found))))
    page.rows(rows)
    _checkpoint(found.first, found.cosigners[0], ("检查点甲", "Checkpoint A"), page)
    _checkpoint(found.second, found.cosigners[1], ("检查点乙", "Checkpoint B"), page)
    if found.first.size < found.second.size:
        zh, en = (
            f"乙的历史在规模 {found.first.size} 时的根",
            f"Root of B at size {found.first.size}",
        )
        page.rows([(zh, en, found.second_at_first.hex())])
    page.lines += ["", *_why(found, page)]


def split_view_json(found: TwoHistories) -> dict[str, Any]:
    """Hashes in hexadecimal, times in Unix seconds."""
    checkpoints = zip((found.first, found.second), found.cosigners, strict=True)
    return {
        "document": "split-view",
        "colour": Colour.RED.value,
        "code": CODE,
        "zh": ZH,
        "en": EN,
        "origin": found.origin,
        "log_keys": [key.text() for key in found.log_keys],
        "trust": "file" if found.trusted is None else "given",
        "checkpoints": [
            {
                "size": checkpoint.size,
                "root": checkpoint.root.hex(),
                "cosigners": [
                    {"name": one.name, "verified": one.timestamp is not None, "time": one.timestamp}
                    for one in cosigners
                ],
            }
            for checkpoint, cosigners in checkpoints
        ],
        "second_root_at_first_size": found.second_at_first.hex(),
        "cosigned_both": cosigned_both(found),
    }


def cosigned_both(found: TwoHistories) -> list[str]:
    """Witnesses whose own cosignatures are on both: they broke their promise too."""
    first, second = (
        {one.name for one in side if one.timestamp is not None} for side in found.cosigners
    )
    return sorted(first & second)


def _key(key: VerifierKey) -> str:
    """The vkey; of one too long to compare by eye its name, key id and SHA-256 of the vkey."""
    text = key.text()
    if len(text) <= _LONGEST_KEY:
        return text
    return f"{key.name}+{key.key_id:08x}+… (SHA-256 {sha256(text.encode()).hexdigest()})"


def _trust(found: TwoHistories) -> tuple[str, str]:
    if found.trusted is None:
        return (
            "证据文件自称，请与账本公布的公钥核对，或用 --vkey、--trust 给出",
            "named by the file: compare it with the log's public key, or give --vkey or --trust",
        )
    return "由您给出", "given by you"


def _checkpoint(
    checkpoint: Checkpoint, cosigners: Sequence[Cosigner], title: tuple[str, str], page: Page
) -> None:
    page.heading(*title)
    rows: list[tuple[str, str, Any]] = [
        ("规模", "Size", checkpoint.size),
        ("根", "Root", checkpoint.root.hex()),
    ]
    by_name: dict[str, list[int | None]] = {}
    for one in cosigners:
        by_name.setdefault(one.name, []).append(one.timestamp)
    rows += [_cosigner(name, times, page) for name, times in by_name.items()]
    if not cosigners:
        rows.append(("联署", "Cosigned by", page.say("无", "nobody")))
    page.rows(rows)


def _cosigner(name: str, times: Sequence[int | None], page: Page) -> tuple[str, str, str]:
    """One witness, by however many keys it signed; `times` are as in `Cosigner`."""
    unknown = page.say("不知其公钥", "its key is not known")
    checked = list(dict.fromkeys(clock(time) for time in times if time is not None))
    if not checked:
        return "未核验的联署", "Cosigned, not checked", f"{name} ({unknown})"
    if None in times:
        checked.append(page.say("另一签名未核验", "another signature not checked"))
    return "联署", "Cosigned by", f"{name} ({'; '.join(checked)})"


def _why(found: TwoHistories, page: Page) -> list[str]:
    if found.first.size == found.second.size:
        why = (
            "同一账本同一规模签署了两个不同的根。",
            "The log signed two different roots for one and the same size.",
        )
    else:
        why = (
            "只增不改的账本，乙必须包含甲；证明表明并非如此。",
            "In an append-only log B would contain A; the proof shows that it does not.",
        )
    names = list(map(plain, cosigned_both(found)))
    both = [
        (f"见证方 {name} 两个都联署了。", f"The witness {name} cosigned both.") for name in names
    ]
    return [page.say(*line) for line in (why, *both)]
