"""A department's own software, as tests play it: a key of its own, and files that it issues."""

import base64
import json
from collections.abc import Sequence
from itertools import count
from typing import Any

import cbor2
from httpx2 import Response

from api import change_facts
from api.principals import Role, create_client
from keys.signer import Signer
from tests.api.service import Service, decide
from tests.city import seeded, signer
from tests.decided import possession
from verifier.disclosure import disclosure_digest, make_disclosure
from verifier.kinds import DOCUMENT, DOCUMENT_SCOPE, KEY, KEY_CHANGED
from verifier.merkle import leaf_hash
from verifier.statement import Content, new_subject, sign_statement

COSE = {"Content-Type": "application/cose"}
NDJSON = {"Content-Type": "application/x-ndjson"}


class Software:
    """Signs documents in a department's name and sends them as a caller with the role for it."""

    def __init__(
        self,
        service: Service,
        slug: str = "market",
        *,
        scope: Sequence[str] = (DOCUMENT_SCOPE,),
        suite: str = "ed25519",
    ) -> None:
        self.service, self.slug, self.who = service, slug, f"software-{slug}"
        self.key = signer(f"software of {slug}", suite)
        self.numbers = count()
        self.enrol(self.key, scope)
        service.keys = {**service.keys, self.who: self.add_caller(self.who, slug)}

    def add_caller(self, name: str, slug: str | None, *roles: Role) -> str:
        city = self.service.city
        return create_client(
            city.store,
            client=name,
            name="部门软件",
            roles=roles or (Role.REGISTRAR,),
            department=slug,
            subject_nym=None,
            random=city.random,
            now=city.now(),
        )

    def enrol(self, key: Signer, scope: Sequence[str], **facts: Any) -> int:
        city = self.service.city
        cose_key, pop = possession(city.origin, self.slug, key)
        enrolled = change_facts.key(self.slug, cose_key, pop, scope, city.now() - 86_400)
        return decide(city, KEY, {**enrolled, **facts}, f"{self.slug}-1")

    def change_key(self, act: str) -> None:
        facts = change_facts.key_changed(self.key.kid, act)
        decide(self.service.city, KEY_CHANGED, facts, f"{self.slug}-1")

    def sign(
        self,
        *,
        age: int = 0,
        subject: str | None = None,
        issuer: str | None = None,
        by: Signer | None = None,
        kind: int = DOCUMENT,
        **content: Any,
    ) -> bytes:
        """A document's statement, signed `age` seconds ago; `content` replaces members."""
        number, city = next(self.numbers), self.service.city
        shown = make_disclosure("document", {"sha256": f"{number:064x}"}, seeded(f"{number}", 16))
        whole = Content(kind, digests=[disclosure_digest(shown)])._replace(**content)
        return sign_statement(
            whole,
            issuer=issuer or city.issuer(self.slug),
            subject=subject or new_subject(seeded(f"{self.slug} document {number}", 16)),
            issued_at=city.now() - age,
            signer=by or self.key,
        )

    def post(self, statement: bytes, who: str | None = None, **options: Any) -> Response:
        """One statement, to `/v1/log/entries` unless `path` says otherwise."""
        path = options.pop("path", "/v1/log/entries")
        options.setdefault("headers", COSE)
        return self.service.call(who or self.who, "POST", path, content=statement, **options)

    def bulk(self, body: Any, who: str | None = None) -> list[dict[str, Any]]:
        """The answers to NDJSON; the last holds the totals."""
        path = "/v1/log/bulk"
        answer = self.service.call(who or self.who, "POST", path, content=body, headers=NDJSON)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) for line in answer.text.splitlines()]


def line_of(statement: bytes) -> bytes:
    return b'{"statement":"' + base64.b64encode(statement) + b'"}\n'


def leaf_of(statement: bytes) -> str:
    return leaf_hash(statement).hex()


def concise_of(answer: Response) -> dict[str, Any]:
    """What a concise problem document says, of which every member is checked (RFC 9290): its
    `code`, `title` and `detail`."""
    assert answer.headers["content-type"] == "application/concise-problem-details+cbor"
    body: dict[Any, Any] = cbor2.loads(answer.content)
    assert set(body) == {-1, -2, "urn:zhenglian:error"}
    assert body[-1].isascii()
    assert isinstance(body[-2], str)
    own = body["urn:zhenglian:error"]
    assert any("\u4e00" <= char <= "\u9fff" for char in own["zh"])
    return {"code": own["code"], "title": body[-1], "detail": body[-2]}
