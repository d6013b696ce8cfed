"""A counter without a network: it holds a trust pack, and knows what was true when it synced."""

import io
import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.api.service import Service
from verifier import cli
from verifier.judge import judge
from verifier.pack import open_pack, read_pack
from verifier.pack_update import apply_update, check_successor, parse_update
from verifier.verdict import Verdict


@dataclass
class Counter:
    """`sync` fetches a pack, later an update of it, with every check that a counter makes."""

    service: Service
    pack: bytes = b""

    def sync(self) -> "Counter":
        vkey = self.service.get(None, "/v1/log/key").text.strip()
        if not self.pack:
            answer = self.service.get(None, "/v1/pack")
            assert answer.status_code == 200, answer.text
            self.pack = answer.content
            open_pack(self.pack, log_key=vkey, thorough=True)
            return self
        held = sha256(self.pack).hexdigest()
        answer = self.service.get(None, f"/v1/pack/updates/{held}")
        assert answer.status_code == 200, answer.text
        update = parse_update(answer.content)
        new = apply_update(self.pack, update)
        check_successor(
            read_pack(self.pack, log_key=vkey),
            read_pack(new, log_key=vkey, thorough=True),
            update.consistency,
        )
        self.pack = new
        return self

    def judge(self, code: str) -> Verdict:
        return judge(code, open_pack(self.pack), self.service.clock.now)

    def codes(self, *codes: str) -> list[str]:
        return [self.judge(code).code for code in codes]

    def command(self, folder: Path, code: str, *options: str) -> tuple[int, str]:
        """(exit status, output) of `zhenglian verify` over files in `folder`."""
        pack, text = folder / "counter.zlpack", folder / "code.txt"
        pack.write_bytes(self.pack)
        text.write_text(code, encoding="utf-8")
        out, err = io.StringIO(), io.StringIO()
        argv = [str(text), "--trust", str(pack), *options]
        status = cli.run(argv, io.BytesIO(), out, err, self.service.clock.now)
        assert not err.getvalue(), err.getvalue()
        return status, out.getvalue()

    def command_json(self, folder: Path, code: str) -> dict[str, Any]:
        _, text = self.command(folder, code, "--json")
        return dict(json.loads(text))


def compact(service: Service, record_id: str, who: str = "market") -> str:
    return _code(service, record_id, who, "compact")


def transparent(service: Service, record_id: str, who: str = "market") -> str:
    """With its inclusion proof, under the checkpoint of now."""
    return _code(service, record_id, who, "transparent")


def _code(service: Service, record_id: str, who: str, profile: str) -> str:
    params = {"profile": profile, "format": "text"}
    answer = service.get(who, f"/v1/licences/{record_id}/qr", params=params)
    assert answer.status_code == 200, answer.text
    return answer.text
