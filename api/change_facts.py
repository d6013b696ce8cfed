"""The facts of each change of authority, as its rule in `verifier.authority_rules` reads them."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from api.city import City
from api.errors import ServiceError
from api.officers import Card
from verifier.errors import Refused
from verifier.kinds import DOCUMENT_SCOPE
from verifier.logged_policy import parse_logged_policy
from verifier.policy import parse_policy

Facts = dict[str, Any]


def department(slug: str, zh: str, en: str, uscc: str, officers: Sequence[Card]) -> Facts:
    """DEPARTMENT, with its first officers."""
    listed = [card.facts() for card in officers]
    return {"id": slug, "zh": zh, "en": en, "uscc": uscc, "officers": listed}


def key(
    dept: str,
    cose_key: bytes,
    pop: bytes,
    scope: Sequence[str],
    start: int,
    *,
    until: int | None = None,
    chain: Sequence[bytes] = (),
) -> Facts:
    """KEY. Times in Unix seconds; `chain` in DER, the key's own certificate first."""
    facts: Facts = {
        "dept": dept,
        "key": cose_key,
        "pop": pop,
        "scope": sorted(set(scope)),
        "from": start,
    }
    if until is not None:
        facts["until"] = until
    if chain:
        facts["x5c"] = list(chain)
    return facts


def rotation(facts: Facts, replaces: bytes, overlap: int) -> Facts:
    """KEY that takes another's place at `from`; that one signs on for `overlap` seconds."""
    return {**facts, "replaces": replaces, "overlap": facts["from"] + overlap}


def key_changed(kid: bytes, act: str) -> Facts:
    """KEY_CHANGED suspend, resume or retire; for compromise see `api.signed_lists`."""
    return {"key": kid, "act": act}


def renamed(slug: str, zh: str, en: str) -> Facts:
    return {"id": slug, "act": "rename", "zh": zh, "en": en}


def merged(slug: str, into: str) -> Facts:
    return {"id": slug, "act": "merge", "into": into}


def closed(slug: str) -> Facts:
    return {"id": slug, "act": "close"}


def officer(card: Card) -> Facts:
    """OFFICER."""
    return {"id": card.id, "of": card.of, "key": card.key, "pop": card.pop}


def officer_left(officer_id: str) -> Facts:
    return {"id": officer_id}


def ca(cert: bytes, zh: str, en: str) -> Facts:
    return {"cert": cert, "zh": zh, "en": en}


def ca_withdrawn(cert: bytes) -> Facts:
    return {"cert": sha256(cert).digest()}


def witnesses(text: str, override: str | None = None) -> Facts:
    """WITNESSES: a C2SP tlog-policy, put in its one spelling; with the reason of an override.

    Raises what `verifier.logged_policy.parse_logged_policy` refuses.
    """
    policy = parse_policy(text).text()
    parse_logged_policy(policy)
    return {"policy": policy} if override is None else {"policy": policy, "override": override}


def catalogue_scope(city: City, slug: str) -> list[str]:
    """Codes of all types that the catalogue lets a department sign."""
    catalogue = city.catalogue
    scope = [kind.code for kind in catalogue.licence_types.values() if kind.issuer == slug]
    scope += [
        kind.code
        for kind in catalogue.credit_types.values()
        if not kind.issuers or slug in kind.issuers
    ]
    return scope


def scope_codes(city: City, slug: str, names: Sequence[str] | None) -> list[str]:
    """Codes of these types, each told by code or slug, or `document`; of all that the catalogue
    gives a department where none is told. Raises `ServiceError` catalogue-unknown-type."""
    if names is None:
        return catalogue_scope(city, slug)
    catalogue = city.catalogue
    codes = {kind.slug: kind.code for kind in catalogue.licence_types.values()}
    codes |= {kind.slug: kind.code for kind in catalogue.credit_types.values()}
    codes |= {code: code for code in (*codes.values(), DOCUMENT_SCOPE)}
    if unknown := [name for name in names if name not in codes]:
        raise ServiceError("catalogue-unknown-type", ", ".join(unknown)[:200])
    return [codes[name] for name in names]


def signing_key(city: City, slug: str) -> bytes:
    """The kid of the key that a rotation of this department replaces: the newest that still has
    power and was not replaced. Raises `Refused` key-not-enrolled."""
    keys = [
        each
        for each in city.authorities.keys_of(city.issuer(slug))
        if each.replaced_by is None and each.retired is None and each.compromise is None
    ]
    if not keys:
        raise Refused("key-not-enrolled", slug)
    return max(keys, key=lambda each: (each.valid_from, each.index)).kid
