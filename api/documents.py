"""Documents of a department whose key is in this custody: signed here, and registered."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from api.city import City
from api.register import Checked, Logged, Registrar
from keys.errors import ZhenglianError
from verifier.authorities import check_use
from verifier.disclosure import SALT_SIZE, disclosure_digest, make_disclosure
from verifier.kinds import DOCUMENT, DOCUMENT_SCOPE
from verifier.statement import Content, Statement, parse_statement, sign_statement

GROUP = "document"
"""Name of the disclosure that says which file a document is."""


class LoggedFile(NamedTuple):
    """What the holder of a file keeps: the statement and the disclosure; and where it stands."""

    statement: bytes
    disclosure: bytes
    logged: Logged


def log_file(
    city: City,
    department: str,
    fields: Mapping[str, Any],
    *,
    type_code: str | None = None,
    replaces: Statement | None = None,
) -> LoggedFile:
    """Signs and logs the document that `fields` tell, such as the file's SHA-256 in hex.

    `replaces` is the statement of the version before. Raises `Refused` key-…, `ServiceError`
    signer-missing, register-predecessor-wrong; `LedgerError`.
    """
    at = city.now()
    chosen = city.choose(department, DOCUMENT_SCOPE, at)
    check_use(chosen.key, DOCUMENT, type_code, at)
    disclosure = make_disclosure(GROUP, fields, city.random(SALT_SIZE))
    content = Content(
        DOCUMENT,
        type_code,
        digests=[disclosure_digest(disclosure)],
        predecessor=None if replaces is None else replaces.leaf,
    )
    raw = sign_statement(
        content,
        issuer=chosen.key.issuer,
        subject=city.new_record_id() if replaces is None else replaces.subject,
        issued_at=at,
        signer=chosen.signer,
    )
    statement = parse_statement(raw)
    city.key_of(statement, at)  # so that its power is asked for again as it is logged
    checked = Checked(statement, chosen.department.slug)
    (outcome,) = asyncio.run(Registrar(city).log_all([checked]))
    if isinstance(outcome, ZhenglianError):
        raise outcome
    return LoggedFile(raw, disclosure, outcome)
