"""What is written: real statements, so that the whole audit can be made of what was logged.

The city is that of the audit's tests: genesis, two departments, their keys. On top of it each
writer signs licences of the market's department that nobody else makes.
"""

from functools import cache

from keys.signer import Signer
from ledger.model import Draft
from tests.ledger.logs import FOOD, NOW, TODAY, City, seeded
from verifier.kinds import LICENCE
from verifier.statement import Content, new_subject, sign_statement

ISSUED_AT = NOW - 399 * 86_400


@cache
def city() -> City:
    return City()


def base() -> list[Draft]:
    """The entries a log begins with."""
    return [Draft(entry, 1, "operator") for entry in city().entries]


def licence(name: str, number: int, at: int = ISSUED_AT, by: Signer | None = None) -> bytes:
    """A statement that is the same whenever it is made."""
    record = f"{name} {number}"
    content = Content(
        LICENCE,
        FOOD,
        valid_from=TODAY - 400,
        valid_until=TODAY + 400,
        status=(int.from_bytes(seeded(name, 3)), number),
        rule_set="order-36",
        digests=[seeded(f"digest {record}")],
    )
    return sign_statement(
        content,
        issuer=f"{city().origin}/market",
        subject=new_subject(seeded(f"record {record}", 16)),
        issued_at=at,
        signer=by or city().signers["market"],
    )


def licences(name: str, start: int, count: int) -> list[Draft]:
    return [Draft(licence(name, n), LICENCE, "market") for n in range(start, start + count)]
