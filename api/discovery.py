"""What others read to check our signatures: key sets, issuer metadata, DID documents, an index.

Sources: RFC 7517 (JWK Set), draft-ietf-oauth-sd-jwt-vc §5 (JWT VC Issuer Metadata), the did:web
method and DID Core with Controlled Identifiers 1.0 (`JsonWebKey`). All of them are read off the
register; nothing here is a statement of its own, and whoever wants proof takes the trust pack.

Of a city at https://city.example and its department `market`:

    iss       https://city.example                  https://city.example/departments/market
    keys      /.well-known/jwks.json                /departments/market/jwks.json
    SM2 keys  /.well-known/jwks-sm2.json            /departments/market/jwks-sm2.json
    metadata  /.well-known/jwt-vc-issuer            /.well-known/jwt-vc-issuer/departments/market
    did       did:web:city.example                  did:web:city.example:departments:market
    document  /.well-known/did.json                 /departments/market/did.json
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from api.errors import ServiceError
from api.rules.days import iso_time
from verifier.authorities import OPERATOR, Authorities, Department, EnrolledKey, check_outside
from verifier.codec import b64encode
from verifier.errors import Refused

WELL_KNOWN = "/.well-known"
PRIVATE_USE = -65_536
"""COSE algorithms below it are for private use (IANA, COSE Algorithms); our number of SM2 is."""
CONTEXT = ("https://www.w3.org/ns/did/v1", "https://w3id.org/security/jwk/v1")


class Place(NamedTuple):
    """Where the service is reached: `url` without a slash at its end, and the parts of it."""

    url: str
    secure: bool
    authority: str
    path: str


def place_of(url: str) -> Place:
    """Of the settings' base URL."""
    url = url.rstrip("/")
    parts = urlsplit(url)
    return Place(url, parts.scheme == "https", f"{parts.scheme}://{parts.netloc}", parts.path)


def issuer_url(place: Place, slug: str = OPERATOR) -> str:
    """The `iss` of what a department signs for wallets; the operator speaks for the city."""
    return place.url if slug == OPERATOR else f"{place.url}/departments/{slug}"


def jwks_url(place: Place, slug: str = OPERATOR, *, sm2: bool = False) -> str:
    folder = place.url + WELL_KNOWN if slug == OPERATOR else issuer_url(place, slug)
    return f"{folder}/jwks-sm2.json" if sm2 else f"{folder}/jwks.json"


def metadata_url(place: Place, slug: str = OPERATOR) -> str:
    """The well-known string stands between the host and the path of `iss` (§5.1 of the draft)."""
    path = urlsplit(issuer_url(place, slug)).path
    return f"{place.authority}{WELL_KNOWN}/jwt-vc-issuer{path}"


def did_url(place: Place, slug: str = OPERATOR) -> str:
    """Where did:web looks for a document: below the path, or the well-known folder without one."""
    path = urlsplit(issuer_url(place, slug)).path
    return f"{place.authority}{path or WELL_KNOWN}/did.json"


def did_of(place: Place, slug: str = OPERATOR) -> str:
    """did:web of a department, or of the city. The colon before a port is %3A.

    did:web knows no IP addresses: the loopback address goes by `localhost`, which is good for
    trying things out; any other is refused (discovery-no-domain).
    """
    parts = urlsplit(issuer_url(place, slug))
    host = _domain(parts.hostname or "")
    port = parts.port
    if port is not None and port != 443:
        host += f"%3A{port}"
    segments = [quote(each, safe="").replace("~", "%7E") for each in parts.path.split("/") if each]
    return ":".join(["did", "web", host, *segments])


def _domain(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    if not address.is_loopback:
        raise ServiceError("discovery-no-domain", host)
    return "localhost"


# --- keys -----------------------------------------------------------------------------------------


def published_keys(authorities: Authorities, issuer: str) -> list[EnrolledKey]:
    """The keys that others may still check signatures with, the newest first.

    Former keys stay, or what they signed could not be checked any more, and keys of the future are
    there early, so that a rotation finds them in every cache. A compromised key never appears, as
    a reader has only the signer's word for when something was signed; a suspended one not while
    it is suspended.
    """
    keys = [
        key
        for key in authorities.keys_of(issuer)
        if key.compromise is None and not key.is_suspended
    ]
    return sorted(keys, key=lambda key: (key.valid_from, key.index), reverse=True)


def is_in_force(authorities: Authorities, key: EnrolledKey, now: int) -> bool:
    """Whether the key may sign at Unix time `now`."""
    if authorities.departments[key.issuer].ended is not None:
        return False
    try:
        check_outside(key, now)
    except Refused:
        return False
    return True


def jwk(key: EnrolledKey) -> dict[str, Any]:
    """RFC 7517. `kid` is our key id in hex, as everywhere; `x5c` the chain, if there is one."""
    found: dict[str, Any] = dict(key.suite.jwk(key.public))
    found |= {"use": "sig", "alg": key.suite.jose_alg, "kid": key.kid.hex()}
    if key.chain:
        found["x5c"] = [b64encode(der) for der in key.chain]
    return found


def jwk_set(keys: Iterable[EnrolledKey], *, sm2: bool = False) -> dict[str, Any]:
    """A JWK Set of the keys whose algorithm is registered for JOSE, or else of the SM2 keys.

    Readers should pass over a curve they do not know (RFC 7517 §5), but some refuse the whole set;
    so the names of our own that SM2 has to use are kept apart.
    """
    return {"keys": [jwk(key) for key in keys if (key.suite.cose_alg < PRIVATE_USE) == sm2]}


# --- documents ------------------------------------------------------------------------------------


def department(authorities: Authorities, slug: str) -> Department:
    """The issuer of this slug; `Refused` enrolment-unknown-department."""
    found = authorities.departments.get(f"{authorities.origin}/{slug}")
    if found is None:
        raise Refused("enrolment-unknown-department", slug[:40])
    return found


def issuer_metadata(authorities: Authorities, place: Place, slug: str) -> dict[str, Any]:
    """JWT VC Issuer Metadata: `issuer` is the very `iss`; the keys are given by value."""
    keys = published_keys(authorities, department(authorities, slug).issuer)
    return {"issuer": issuer_url(place, slug), "jwks": jwk_set(keys)}


def slug_of_path(place: Place, path: str) -> str:
    """Whose metadata is asked for by a path after the well-known string, "" or "/…"."""
    if path == place.path:
        return OPERATOR
    slug = path.removeprefix(f"{place.path}/departments/")
    if slug in (path, OPERATOR):
        raise Refused("enrolment-unknown-department", path[:40])
    return slug


def did_document(authorities: Authorities, place: Place, slug: str, now: int) -> dict[str, Any]:
    """The DID document of a department or of the city.

    `verificationMethod` has all published keys, `assertionMethod` those in force at Unix time
    `now`. `revoked` and `expires` are left out: they would have readers refuse what a key signed
    before. A closed or merged department keeps its document, without `assertionMethod`, and who
    took it over becomes its `controller`.
    """
    found = department(authorities, slug)
    did = did_of(place, slug)
    keys = published_keys(authorities, found.issuer)
    document: dict[str, Any] = {
        "@context": list(CONTEXT),
        "id": did,
        "controller": did_of(place, authorities.acting(slug)),
        "alsoKnownAs": [issuer_url(place, slug)],
        "verificationMethod": [
            {
                "id": f"{did}#{key.kid.hex()}",
                "type": "JsonWebKey",
                "controller": did,
                "publicKeyJwk": jwk(key),
            }
            for key in keys
        ],
    }
    asserting = [f"{did}#{key.kid.hex()}" for key in keys if is_in_force(authorities, key, now)]
    if asserting:  # the property is a set of one or more
        document["assertionMethod"] = asserting
    return document


def index(authorities: Authorities, place: Place) -> dict[str, Any]:
    """Where everything is, in both languages. Without a domain name there are no DIDs: null."""
    log_key, second, policy = authorities.log_key, authorities.log_pq_key, authorities.policy
    return {
        "zh": authorities.name_zh,
        "en": authorities.name_en,
        "origin": authorities.origin,
        "https": place.secure,
        "log": {
            "zh": "账本",
            "en": "The log (C2SP tlog-tiles)",
            "url": f"{place.url}/log",
            "vkey": "" if log_key is None else log_key.text(),
            "vkey_ml_dsa": None if second is None else second.text(),
            "vkey_url": f"{place.url}/v1/log/key",
            "policy_url": f"{place.url}/v1/log/policy",
            "witnesses": [
                {"name": name, "vkey": witness.key.text(), "url": witness.url}
                for name, witness in ({} if policy is None else policy.witnesses).items()
            ],
        },
        "trust_pack": {
            "zh": "离线核验包",
            "en": "The trust pack, for checking offline",
            "url": f"{place.url}/v1/pack",
        },
        "openapi": f"{place.url}/openapi.json",
        "operator": _links(place, OPERATOR),
        "departments": [
            {
                "slug": each.slug,
                "zh": each.zh,
                "en": each.en,
                "uscc": each.uscc,
                "ledger_issuer": each.issuer,
                "ended": None if each.ended is None else iso_time(each.ended.at),
                "successor": None
                if each.successor is None
                else authorities.departments[each.successor].slug,
                **_links(place, each.slug),
            }
            for each in authorities.departments.values()
            if each.slug != OPERATOR
        ],
    }


def _links(place: Place, slug: str) -> dict[str, Any]:
    try:
        did = did_of(place, slug)
    except ServiceError:
        did = None
    return {
        "issuer": issuer_url(place, slug),
        "jwks_url": jwks_url(place, slug),
        "jwks_sm2_url": jwks_url(place, slug, sm2=True),
        "issuer_metadata_url": metadata_url(place, slug),
        "did": did,
        "did_document_url": None if did is None else did_url(place, slug),
    }
