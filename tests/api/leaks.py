"""What the tests of a leaked key share: the leak, what a thief signs, and the new key."""

from typing import Any

from api.city import City
from api.demo_people import _food_number
from api.rules.codes import make_uscc
from api.signed_lists import compromise_facts
from keys.signer import Signer
from ledger.model import Draft
from tests.api.service import Service, decide, enrol_key, sample
from verifier.disclosure import disclosure_digest, make_disclosure
from verifier.kinds import KEY_CHANGED, LICENCE, LICENCE_STATE
from verifier.qr import format_qr
from verifier.statement import Content, new_subject, sign_statement

FOOD = "food-licence"


def food(number: int) -> dict[str, Any]:
    """Fields of a food licence of a holder of its own."""
    return {
        **sample(FOOD),
        "name": f"示例餐馆{number}",
        "no": _food_number(20_000 + number),
        "uscc": make_uscc("91339900", f"MC{number:06d}"),
    }


def issue_food(service: Service, number: int, **changes: Any) -> dict[str, Any]:
    return service.issue(FOOD, **{**food(number), **changes})


def report_leak(city: City, kid: bytes, since: int, slug: str = "market") -> int:
    """Two officers say that others had the key from `since`; the statement's ledger index."""
    return decide(city, KEY_CHANGED, compromise_facts(city, kid, since), f"{slug}-1")


def enrol_successor(city: City, slug: str = "market") -> bytes:
    """A new key with all that the department's keys may sign; its kid."""
    scope = set[str]()
    for key in city.authorities.keys_of(city.issuer(slug)):
        scope |= key.scope
    enrol_key(city, slug, sorted(scope))
    return city.signer(slug).kid


def forged_licence(
    city: City, stolen: Signer, *, at: int, type_: str = FOOD, slug: str = "market"
) -> tuple[bytes, list[bytes]]:
    """(statement, disclosures) that whoever has the key can make, dated `at`."""
    day = at // 86_400
    face = make_disclosure("face", {"name": "冒名餐馆", "no": _food_number(1)}, bytes(16))
    content = Content(
        LICENCE,
        type_code=city.catalogue.licence_type(type_).code,
        valid_from=day - 10,
        valid_until=day + 900,
        status=(0, 0),
        rule_set="2026",
        digests=[disclosure_digest(face)],
    )
    statement = sign_statement(
        content,
        issuer=city.issuer(slug),
        subject=new_subject(city.random(16)),
        issued_at=at,
        signer=stolen,
    )
    return statement, [face]


def forged_code(city: City, stolen: Signer, **options: Any) -> str:
    """A compact code of a forged licence."""
    return format_qr(*forged_licence(city, stolen, **options))


def forged_state(
    city: City, stolen: Signer, issued: dict[str, Any], state: int, reason: str, *, at: int
) -> bytes:
    """A change of state of somebody's licence, which follows its issuing."""
    content = Content(
        LICENCE_STATE,
        type_code=city.catalogue.licence_type(FOOD).code,
        predecessor=bytes.fromhex(issued["leaf"]),
        rule_set="2026",
        state=state,
        reason=reason,
    )
    return sign_statement(
        content,
        issuer=city.issuer("market"),
        subject=issued["record_id"],
        issued_at=at,
        signer=stolen,
    )


def log_past_the_service(city: City, *statements: bytes, kind: int = LICENCE) -> list[int]:
    """A hostile replica: straight into the ledger, with no word to the city. The indices."""
    drafts = [Draft(statement, kind, "market") for statement in statements]
    return [entry.index for entry in city.ledger.append(drafts).appended]
