"""Registering callers: the checks that need the city, before `api.principals` stores one."""

from collections.abc import Sequence
from typing import Final

from api.city import City
from api.errors import ServiceError
from api.principals import Role, create_client
from api.rules.codes import canonical_code
from verifier.errors import Refused

FOR_A_DEPARTMENT: Final = frozenset({Role.CLERK, Role.SEAL_KEEPER, Role.REGISTRAR})
"""Roles that can do nothing but for the department that the caller belongs to."""


def register_client(
    city: City,
    *,
    client: str,
    name: str,
    roles: Sequence[Role],
    department: str | None = None,
    subject_code: str | None = None,
) -> str:
    """The new caller's API key. `subject_code` is the code of the citizen or company it is.

    Raises `ServiceError`: request-invalid where roles and the rest do not go together,
    client-department-missing for a role of `FOR_A_DEPARTMENT` without one,
    catalogue-unknown-entry for a department that is not enrolled, client-name-invalid,
    client-exists. Raises `Refused` department-ended.
    """
    if not roles:
        raise ServiceError("request-invalid", "roles")
    if (Role.SUBJECT in roles) != (subject_code is not None):
        raise ServiceError("request-invalid", "subject_code goes with the role subject")
    for role in roles:
        if department is None and role in FOR_A_DEPARTMENT:
            raise ServiceError("client-department-missing", role.value)
    if department is not None:
        enrolled = city.authorities.departments.get(city.issuer(department))
        if enrolled is None:
            raise ServiceError("catalogue-unknown-entry", department[:40])
        if enrolled.ended is not None:
            raise Refused("department-ended", department)
    nym = None
    if subject_code is not None:
        nym = city.vault.pseudonym("subject", canonical_code(subject_code))
    return create_client(
        city.store,
        client=client,
        name=name,
        roles=list(dict.fromkeys(roles)),
        department=department,
        subject_nym=nym,
        random=city.random,
        now=city.now(),
    )
