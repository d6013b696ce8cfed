"""What others read to check our signatures, read the way their specifications say."""

import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509 import load_der_x509_certificate
from httpx2 import Response
from joserfc import jws
from joserfc.errors import BadSignatureError, InvalidKeyIdError
from joserfc.jwk import KeySet

from api import change_facts, discovery
from api.city import City
from api.errors import ServiceError
from api.keymaking import make_key
from api.signed_lists import compromise_facts
from keys.signer import Signer
from tests.api.service import CHIEFS, DAY, NOW, Service, decide, enrol_key, problem_of
from tests.verifier.certificates import NEW_KEY, root
from verifier import kinds
from verifier.checkpoint import parse_checkpoint
from verifier.codec import b64decode, b64url_encode
from verifier.note import parse_note, parse_vkey
from verifier.policy import parse_policy

PUBLIC = "https://zhenglian.example"


@pytest.fixture
def public(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The service under a public address."""
    monkeypatch.setattr(service.city.settings, "public_url", PUBLIC)
    return service


def read(service: Service, url: str) -> Response:
    """The answer to a public request for a whole address."""
    parts = urlsplit(url)
    assert (
        f"{parts.scheme}://{parts.netloc}"
        == urlsplit(service.city.settings.base_url)._replace(path="").geturl()
    )
    answer = service.get(None, parts.path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["access-control-allow-origin"] == "*"
    return answer


def index(service: Service) -> dict[str, Any]:
    return dict(service.get(None, "/.well-known/zhenglian").json())


def links(service: Service, slug: str) -> dict[str, Any]:
    (found,) = [each for each in index(service)["departments"] if each["slug"] == slug]
    return dict(found)


def key_set(service: Service, slug: str = "market") -> list[str]:
    return [key["kid"] for key in read(service, links(service, slug)["jwks_url"]).json()["keys"]]


def did_document(service: Service, slug: str = "market") -> dict[str, Any]:
    return dict(read(service, links(service, slug)["did_document_url"]).json())


def asserting(service: Service, slug: str = "market") -> list[str]:
    """Key ids that a DID document lets sign."""
    document = did_document(service, slug)
    named = document.get("assertionMethod", [])
    assert set(named) <= {method["id"] for method in document["verificationMethod"]}
    return [each.partition("#")[2] for each in named]


def token(signer: Signer, payload: bytes = b"{}") -> str:
    """A compact JWS (RFC 7515) by one of our keys."""
    header = {"alg": signer.suite.jose_alg, "kid": signer.kid.hex()}
    signed = f"{b64url_encode(json.dumps(header).encode())}.{b64url_encode(payload)}"
    return f"{signed}.{b64url_encode(signer.sign(signed.encode()))}"


def verify(service: Service, url: str, compact: str) -> bytes:
    """By an independent library, with nothing but the key set."""
    keys = KeySet.import_key_set(read(service, url).json())
    return bytes(jws.deserialize_compact(compact, keys, algorithms=["Ed25519", "ES256"]).payload)


def change_key(city: City, kid: bytes, act: str) -> None:
    decide(city, kinds.KEY_CHANGED, change_facts.key_changed(kid, act), "market-1")


# --- the index ------------------------------------------------------------------------------------


def test_every_link_of_the_index_leads_somewhere(public: Service) -> None:
    answer = read(public, f"{PUBLIC}/.well-known/zhenglian")
    found = answer.json()
    assert (found["zh"], found["en"], found["https"]) == ("试验市", "Test City", True)
    assert {each["slug"] for each in found["departments"]} == set(public.city.catalogue.departments)
    for each in (found["operator"], *found["departments"]):
        for name in ("jwks_url", "jwks_sm2_url", "issuer_metadata_url", "did_document_url"):
            read(public, each[name])
    for url in (found["log"]["vkey_url"], found["trust_pack"]["url"], found["openapi"]):
        assert public.get(None, urlsplit(url).path).status_code == 200
    assert public.get(None, urlsplit(found["log"]["url"]).path + "/checkpoint").status_code == 200
    assert parse_vkey(found["log"]["vkey"]) == public.city.trust().log_key


def test_the_index_says_when_wallets_elsewhere_cannot_use_it(service: Service) -> None:
    found = index(service)
    assert found["https"] is False
    assert found["operator"]["did"] == "did:web:localhost%3A8440"


# --- key sets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", ["market", "health"])
def test_another_library_verifies_with_the_key_set(public: Service, slug: str) -> None:
    url = links(public, slug)["jwks_url"]
    signer = public.city.signer(slug)
    assert verify(public, url, token(signer, b"signed")) == b"signed"
    head, _, tail = token(signer).rpartition(".")
    other = token(signer, b"[]").rpartition(".")[2]
    assert tail != other
    with pytest.raises(BadSignatureError):
        verify(public, url, f"{head}.{other}")
    with pytest.raises(InvalidKeyIdError):
        verify(public, index(public)["operator"]["jwks_url"], token(signer))


def test_the_city_s_key_set_is_the_operator_s(public: Service) -> None:
    url = index(public)["operator"]["jwks_url"]
    assert url == f"{PUBLIC}/.well-known/jwks.json"
    assert verify(public, url, token(public.city.signer("operator"), b"1")) == b"1"


def test_a_key_has_its_use_its_algorithm_and_nothing_private(public: Service) -> None:
    (key,) = read(public, links(public, "market")["jwks_url"]).json()["keys"]
    signer = public.city.signer("market")
    assert key == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": b64url_encode(signer.public),
        "use": "sig",
        "alg": "Ed25519",
        "kid": signer.kid.hex(),
    }


def test_former_and_future_keys_are_there_and_only_those_in_force_may_assert(
    public: Service,
) -> None:
    city = public.city
    old = city.signer("market").kid
    made = make_key(city, "market", "es256")
    scope = sorted(city.authorities.keys[old].scope)
    facts = change_facts.key("market", made.key, made.pop, scope, city.now() + DAY)
    decide(city, kinds.KEY, change_facts.rotation(facts, old, 3600), "market-1")
    new = made.kid
    assert key_set(public) == [new.hex(), old.hex()]
    assert asserting(public) == [old.hex()]
    before = token(city.signer("market"))
    public.clock.step(DAY + 60)
    assert asserting(public) == [new.hex(), old.hex()]
    public.clock.step(3600)
    assert asserting(public) == [new.hex()]
    url = links(public, "market")["jwks_url"]
    assert key_set(public) == [new.hex(), old.hex()]
    assert verify(public, url, before) == b"{}"
    change_key(city, old, "retire")
    assert verify(public, url, before) == b"{}"


def test_a_suspended_key_is_away_until_it_is_resumed(public: Service) -> None:
    city, kid = public.city, public.city.signer("market").kid
    change_key(city, kid, "suspend")
    assert (key_set(public), asserting(public)) == ([], [])
    assert "assertionMethod" not in did_document(public)
    assert did_document(public)["verificationMethod"] == []
    change_key(city, kid, "resume")
    assert (key_set(public), asserting(public)) == ([kid.hex()], [kid.hex()])


def test_a_compromised_key_is_nowhere(public: Service) -> None:
    city, kid = public.city, public.city.signer("market").kid
    enrol_key(city, "market", change_facts.catalogue_scope(city, "market"))
    assert kid.hex() in key_set(public)
    public.clock.step(DAY)
    facts = compromise_facts(city, kid, NOW + 1)
    decide(city, kinds.KEY_CHANGED, facts, "market-1")
    (other,) = key_set(public)
    assert asserting(public) == [other] != [kid.hex()]
    metadata = read(public, links(public, "market")["issuer_metadata_url"]).json()
    assert [key["kid"] for key in metadata["jwks"]["keys"]] == [other]


def test_sm2_keys_stand_apart_so_that_other_readers_are_not_put_off(public: Service) -> None:
    city = public.city
    scope = change_facts.catalogue_scope(city, "market")
    enrol_key(city, "market", scope, suite="sm2")
    enrol_key(city, "market", scope, suite="ml-dsa-44")
    found = links(public, "market")
    sets = [read(public, found[name]).json()["keys"] for name in ("jwks_url", "jwks_sm2_url")]
    assert [[key["alg"] for key in keys] for keys in sets] == [["ML-DSA-44", "Ed25519"], ["SM2"]]
    (sm2,) = sets[1]
    assert (sm2["kty"], sm2["crv"]) == ("EC", "SM2")
    usual = KeySet.import_key_set({"keys": sets[0]})
    assert [key.kid for key in usual.keys] == [sets[0][1]["kid"]]  # it passes over ML-DSA
    with pytest.raises(KeyError):
        KeySet.import_key_set({"keys": [*sets[0], *sets[1]]})
    assert len(asserting(public)) == 3


class _Held:
    """A key in custody, of which a CA sees the public half."""

    def __init__(self, public: bytes) -> None:
        self._public = public

    def public_key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self._public)


def test_a_key_with_a_certificate_shows_its_chain(public: Service) -> None:
    city = public.city
    ca = root(NEW_KEY["es256"](), "甲认证")
    middle = ca.ca(NEW_KEY["es256"](), "甲认证二级")
    decide(city, kinds.CA, change_facts.ca(ca.der, "甲认证", "CA one"))
    made = make_key(city, "market", "ed25519")
    raw = made.key[-32:]  # x, the last member of the COSE_Key
    leaf = middle.issue(_Held(raw), "市场监督管理局")
    chain = [leaf.der, middle.der]
    scope = change_facts.catalogue_scope(city, "market")
    facts = change_facts.key("market", made.key, made.pop, scope, city.now(), chain=chain)
    decide(city, kinds.KEY, facts, "market-1")
    keys = read(public, links(public, "market")["jwks_url"]).json()["keys"]
    shown = {key["kid"]: key for key in keys}
    assert [b64decode(each, max_bytes=9_999) for each in shown[made.kid.hex()]["x5c"]] == chain
    first = load_der_x509_certificate(b64decode(shown[made.kid.hex()]["x5c"][0], max_bytes=9_999))
    key = first.public_key()
    assert isinstance(key, Ed25519PublicKey)
    assert b64url_encode(key.public_bytes_raw()) == shown[made.kid.hex()]["x"]
    assert sum("x5c" in each for each in keys) == 1
    KeySet.import_key_set({"keys": keys})


# --- JWT VC issuer metadata -----------------------------------------------------------------------


def metadata_of(iss: str) -> str:
    """The rule of the draft, §5.1, as a wallet has it."""
    parts = urlsplit(iss)
    return f"{parts.scheme}://{parts.netloc}/.well-known/jwt-vc-issuer{parts.path.rstrip('/')}"


@pytest.mark.parametrize("base", [PUBLIC, f"{PUBLIC}/", f"{PUBLIC}:8443/a/b", f"{PUBLIC}/zl/"])
def test_a_wallet_finds_the_metadata_of_an_iss(
    service: Service, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    monkeypatch.setattr(service.city.settings, "public_url", base)
    found = index(service)
    for each in (found["operator"], *found["departments"]):
        iss = each["issuer"]
        assert not iss.endswith("/")
        assert metadata_of(iss) == each["issuer_metadata_url"]
        answer = read(service, metadata_of(iss))
        assert answer.headers["content-type"] == "application/json"
        document = answer.json()
        assert set(document) == {"issuer", "jwks"}
        assert document["issuer"] == iss
        assert document["jwks"]["keys"]


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/jwt-vc-issuer/departments/nobody",
        "/.well-known/jwt-vc-issuer/departments/operator",
        "/.well-known/jwt-vc-issuer/departments/market/",
        "/.well-known/jwt-vc-issuer/departments/market/x",
        "/.well-known/jwt-vc-issuer/departments",
        "/.well-known/jwt-vc-issuer/market",
        "/departments/nobody/jwks.json",
        "/departments/nobody/jwks-sm2.json",
        "/departments/nobody/did.json",
        "/departments/operator/jwks.json",
        "/departments/operator/jwks-sm2.json",
        "/departments/operator/did.json",
    ],
)
def test_of_an_unknown_department_there_is_nothing(public: Service, path: str) -> None:
    answer = public.get(None, path)
    problem_of(answer, "enrolment-unknown-department", 404)
    assert answer.headers["access-control-allow-origin"] == "*"


# --- DIDs -----------------------------------------------------------------------------------------


def resolved(did: str) -> str:
    """Where the did:web method reads a document (its section "Read")."""
    host, *path = did.removeprefix("did:web:").split(":")
    url = "/".join([f"https://{unquote(host)}", *map(unquote, path)])
    return f"{url}/did.json" if path else f"{url}/.well-known/did.json"


@pytest.mark.parametrize(
    ("base", "did"),
    [
        (PUBLIC, "did:web:zhenglian.example"),
        ("https://zhenglian.example:8443", "did:web:zhenglian.example%3A8443"),
        ("https://ZHENGLIAN.example:443", "did:web:zhenglian.example"),
        ("https://zhenglian.example/a/~b", "did:web:zhenglian.example:a:%7Eb"),
        ("https://证链.example", "did:web:xn--td3ay5p.example"),
        ("http://127.0.0.1:8440", "did:web:localhost%3A8440"),
        ("http://[::1]:8440", "did:web:localhost%3A8440"),
    ],
)
def test_did_web_of_an_address(base: str, did: str) -> None:
    place = discovery.place_of(base)
    assert discovery.did_of(place) == did
    assert discovery.did_of(place, "market") == f"{did}:departments:market"


@pytest.mark.parametrize("base", [PUBLIC, f"{PUBLIC}:8443", f"{PUBLIC}/zl", f"{PUBLIC}:8443/a/b"])
def test_a_resolver_finds_the_document_of_a_did(
    service: Service, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    monkeypatch.setattr(service.city.settings, "public_url", base)
    found = index(service)
    for each in (found["operator"], *found["departments"]):
        assert resolved(each["did"]) == each["did_document_url"]
        # A proxy in front takes the path of the base away.
        path = urlsplit(each["did_document_url"]).path.removeprefix(urlsplit(base).path)
        answer = service.get(None, path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"] == "application/did+json"
        document = answer.json()
        assert document["id"] == document["controller"] == each["did"]
        assert document["alsoKnownAs"] == [each["issuer"]]
        for method in document["verificationMethod"]:
            assert method["type"] == "JsonWebKey"
            assert method["controller"] == each["did"]
            assert method["id"] == f"{each['did']}#{method['publicKeyJwk']['kid']}"


def test_an_ip_address_has_no_did(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.city.settings, "public_url", "https://192.0.2.7")
    with pytest.raises(ServiceError, match="discovery-no-domain"):
        discovery.did_of(discovery.place_of("https://192.0.2.7"))
    for path in ("/.well-known/did.json", "/departments/market/did.json"):
        answer = service.get(None, path)
        problem_of(answer, "discovery-no-domain", 404)
        assert answer.headers["access-control-allow-origin"] == "*"
    found = index(service)["operator"]
    assert (found["did"], found["did_document_url"]) == (None, None)
    read(service, found["jwks_url"])


def test_a_merged_department_asserts_nothing_and_its_successor_controls_it(
    public: Service,
) -> None:
    city, signer = public.city, public.city.signer("market")
    decide(city, kinds.DEPARTMENT_CHANGED, change_facts.merged("market", "health"))
    document = did_document(public)
    assert "assertionMethod" not in document
    assert document["controller"] == links(public, "health")["did"]
    assert links(public, "market")["successor"] == "health"
    assert links(public, "market")["ended"].endswith("Z")
    assert verify(public, links(public, "market")["jwks_url"], token(signer)) == b"{}"


def test_a_closed_department_asserts_nothing(public: Service) -> None:
    decide(public.city, kinds.DEPARTMENT_CHANGED, change_facts.closed("market"), *CHIEFS)
    document = did_document(public)
    assert "assertionMethod" not in document
    assert document["controller"] == document["id"]
    assert (links(public, "market")["successor"], key_set(public)) == (
        None,
        [method["publicKeyJwk"]["kid"] for method in document["verificationMethod"]],
    )


# --- the policy, and how all of them are answered -------------------------------------------------


def test_the_policy_accepts_the_checkpoint_of_the_log(public: Service) -> None:
    answer = read(public, index(public)["log"]["policy_url"])
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    policy = parse_policy(answer.text)
    assert [party.key for party in policy.logs] == [public.city.trust().log_key]
    note = parse_note(public.get(None, "/log/checkpoint").content)
    assert policy.check(note) == []
    assert parse_checkpoint(note.text).origin == policy.logs[0].key.name


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/zhenglian",
        "/.well-known/jwks.json",
        "/departments/market/jwks.json",
        "/.well-known/jwt-vc-issuer/departments/market",
        "/departments/market/did.json",
        "/v1/log/policy",
    ],
)
def test_a_copy_may_be_used_for_minutes_and_is_told_to_be_still_good(
    public: Service, path: str
) -> None:
    first = public.get(None, path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "public, max-age=300"
    again = public.get(None, path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert again.headers["access-control-allow-origin"] == "*"
    assert public.get(None, path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert public.call(None, "HEAD", path).headers["etag"] == tag
    if path != "/v1/log/policy":
        scope = change_facts.catalogue_scope(public.city, "market")
        enrol_key(public.city, "market", scope)
        decide(public.city, kinds.DEPARTMENT_CHANGED, change_facts.renamed("market", "新局", "New"))
        changed = public.get(None, path, headers={"If-None-Match": tag}).status_code
        assert changed == (304 if path == "/.well-known/jwks.json" else 200)
