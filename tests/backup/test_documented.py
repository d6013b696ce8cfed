"""docs/formats.md says what stands in the file of a backup."""

import io
import re
from hashlib import sha256
from pathlib import Path
from struct import unpack

from cddl_verifier import Validator

from verifier.codec import cbor_encode


def frames(data: bytes) -> list[bytes]:
    """The CBOR of each frame, read as the page says."""
    file, found = io.BytesIO(data), []
    assert file.readline() == b"zhenglian-backup 1\n"
    while length := file.read(4):
        found.append(file.read(*unpack(">I", length)))
        assert sha256(data[: file.tell()]).digest() == file.read(32)
    return found


def test_a_backup_is_what_the_page_says(repo: Path, backup: bytes) -> None:
    page = (repo / "docs" / "formats.md").read_text(encoding="utf-8")
    grammar = Validator("\n".join(re.findall(r"```cddl\n(.*?)```", page, re.DOTALL)))

    def fits(data: bytes, rule: str) -> bool:
        return bool(grammar.validate(data, rule).valid)

    contents, *blocks, end = frames(backup)
    assert fits(contents, "backup-contents")
    assert fits(end, "backup-end")
    assert len(blocks) > 5
    for block in blocks:
        assert fits(block, "backup-block")
        assert not fits(block, "backup-end")
    assert not fits(cbor_encode(["entries", [[1.5]]]), "backup-block")
    assert not fits(cbor_encode({"rows": {"entries": -1}}), "backup-end")
