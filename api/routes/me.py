"""What is held about oneself: for citizens and companies with an API key of their own."""

from typing import Any

from fastapi import APIRouter
from sqlalchemy import Row

from api.consents import subject_nym
from api.context import Caller, Services, Use
from api.routes.licences import row_json
from api.routes.models import OwnLicences
from verifier.disclosure import parse_disclosure

router = APIRouter(prefix="/v1/me", tags=["本人 oneself"])


@router.get("/licences", summary="本人证照 My own licences", response_model=OwnLicences)
def my_licences(use: Use, caller: Caller) -> dict[str, Any]:
    """Every licence whose holder the caller is, oldest first, with its content.

    The code to show at a counter is at `/v1/licences/{record_id}/qr`. What was erased is no
    longer linked to anybody, and is not here.
    """
    rows = use.licences.by_subject(subject_nym(caller))
    return {"licences": [{**row_json(use, row), **_content(use, row)} for row in rows]}


def _content(use: Services, row: Row[Any]) -> dict[str, Any]:
    identifier, disclosures = use.licences.content(row)
    fields: dict[str, Any] = {}
    for raw in disclosures:
        fields.update(parse_disclosure(raw).fields)
    return {"identifier": identifier, "fields": fields}
