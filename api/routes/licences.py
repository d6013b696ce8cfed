"""Licences: issue, look up, change state, hand out codes."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Row, select

from api.context import Caller, IdempotencyKey, Services, Use
from api.errors import ServiceError
from api.idempotency import Slot
from api.licence_rows import Issued, Prepared, StateChanged
from api.licences import MAX_MANY, Licences
from api.principals import Principal, Role
from api.qrimage import qr_png, qr_svg
from api.resign import renewed_record
from api.routes.models import (
    ChangedState,
    IssuedLicence,
    IssuedLicences,
    LicencePage,
    LicencesFound,
    LicenceWhole,
    StateName,
)
from api.routes.parts import Cursor, RecordId, answer_once, before, proof_path
from api.rules.codes import canonical_code
from api.rules.days import iso_day, iso_time
from api.tables import LICENCES
from ledger.ledger import FINAL
from verifier.codec import b64encode
from verifier.disclosure import parse_disclosure
from verifier.qr import format_qr
from verifier.states import BY_NAME, STATES

router = APIRouter(prefix="/v1/licences", tags=["证照 licences"])
FACE_ONLY = "face"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class IssueRequest(_Body):
    """A licence to issue. `fields` follow the type's dictionary, see `GET /v1/types`."""

    type: str = Field(description="Type code (证照类型代码) or slug", examples=["food-licence"])
    fields: dict[str, Any] = Field(description="Field code → value")
    renews: str | None = Field(None, description="Record id of the licence that this one renews")


class IssueManyRequest(_Body):
    """Up to a thousand licences, logged in one transaction: all or none."""

    licences: list[IssueRequest] = Field(min_length=1, max_length=MAX_MANY)


class StateRequest(_Body):
    """A change of legal state, with a reason of the catalogue that leads there."""

    state: StateName
    reason: str = Field(description="Reason code, see `GET /v1/reasons`")


class SearchRequest(_Body):
    """Find own licences by number, or by holder's code. In the body, so that no log keeps it."""

    type: str | None = None
    number: str | None = None
    holder: str | None = None


@router.post(
    "", status_code=201, summary="签发一份证照 Issue one licence", response_model=IssuedLicence
)
def issue(
    body: IssueRequest, use: Use, caller: Caller, response: Response, key: IdempotencyKey = None
) -> dict[str, Any]:
    """The answer holds what the holder is handed: statement, disclosures and compact QR text."""
    prepared_type = use.city.catalogue.licence_type(body.type)

    def write(slot: Slot | None) -> dict[str, Any]:
        def remember(connection: Connection, issued: Any) -> None:
            if slot is not None:
                slot.remember(connection, issued_json(issued[0]))

        issued = use.licences.issue(
            caller, prepared_type, body.fields, renews=body.renews, effects=remember
        )
        return issued_json(issued)

    return _answer(use, caller, key, body, write, response)


@router.post(
    "/batch",
    status_code=201,
    summary="批量签发 Issue many licences",
    response_model=IssuedLicences,
)
def issue_many(
    body: IssueManyRequest,
    use: Use,
    caller: Caller,
    response: Response,
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """All or none: every fault of every row is told in one `fields-invalid`."""

    def write(slot: Slot | None) -> dict[str, Any]:
        prepared = _prepare_all(use, caller, body.licences)

        def remember(connection: Connection, issued: Any) -> None:
            if slot is not None:
                slot.remember(connection, {"licences": [issued_json(one) for one in issued]})

        issued = use.licences.log(prepared, client=caller.client, effects=remember)
        return {"licences": [issued_json(one) for one in issued]}

    return _answer(use, caller, key, body, write, response)


def _prepare_all(use: Services, caller: Principal, requests: list[IssueRequest]) -> list[Prepared]:
    prepared, faults = [], []
    for position, request in enumerate(requests):
        try:
            type_ = use.city.catalogue.licence_type(request.type)
            prepared.append(
                use.licences.prepare_for(caller, type_, request.fields, renews=request.renews)
            )
        except ServiceError as error:
            if error.status in (401, 403) or error.status >= 500:
                raise  # nothing of this row, but of the caller or the service
            errors = error.extra.get("errors") or [
                {"field": "", "code": error.code, "zh": error.zh, "en": error.en}
            ]
            faults += [{"row": position, **fault} for fault in errors]
    if faults:
        rows = sorted({fault["row"] for fault in faults})
        raise ServiceError("fields-invalid", f"rows {rows[:20]}", extra={"errors": faults})
    return prepared


@router.get("", summary="本部门证照列表 List one's own licences", response_model=LicencePage)
def list_licences(
    use: Use,
    caller: Caller,
    type: Annotated[str | None, Query(description="Type code or slug")] = None,
    state: Annotated[str | None, Query(description="Legal state")] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> dict[str, Any]:
    """Newest first. No content: open a record for that."""
    caller.require(Role.CLERK, Role.SEAL_KEEPER)
    query = select(LICENCES).where(LICENCES.c.department.in_(use.city.acts_for(caller.department)))
    if type is not None:
        query = query.where(LICENCES.c.type_code == use.city.catalogue.licence_type(type).code)
    if state is not None:
        if state not in BY_NAME:
            raise ServiceError("request-invalid", "state")
        query = query.where(LICENCES.c.state == BY_NAME[state].number)
    last = before(cursor)
    if last is not None:
        query = query.where(LICENCES.c.issue_index < last)
    with use.city.store.read() as reader:
        query = query.order_by(LICENCES.c.issue_index.desc()).limit(limit + 1)
        rows = list(reader.connection.execute(query).all())
    more = len(rows) > limit
    return {
        "licences": [row_json(use, row) for row in rows[:limit]],
        "next": str(rows[limit - 1].issue_index) if more else None,
    }


@router.post(
    "/search",
    summary="按编号或持证主体查找 Find by number or holder",
    response_model=LicencesFound,
)
def search(body: SearchRequest, use: Use, caller: Caller) -> dict[str, Any]:
    """Only licences of the caller's own department are found."""
    caller.require(Role.CLERK, Role.SEAL_KEEPER)
    if body.number is not None and body.type is not None and body.holder is None:
        type_ = use.city.catalogue.licence_type(body.type)
        held = use.licences.by_number(type_, canonical_code(body.number))
        rows = [use.licences.row(one.record_id) for one in held]
    elif body.holder is not None and body.number is None and body.type is None:
        rows = use.licences.by_holder(canonical_code(body.holder))
    else:
        raise ServiceError("request-invalid", "type and number, or holder")
    own = [row for row in rows if row.department in use.city.acts_for(caller.department)]
    return {"licences": [row_json(use, row) for row in own]}


@router.get(
    "/{record_id}",
    summary="查看一份证照 One licence, with its history",
    response_model=LicenceWhole,
)
def show(record_id: RecordId, use: Use, caller: Caller) -> dict[str, Any]:
    """For the issuing department, and for the holder."""
    row = _visible(use, caller, record_id)
    identifier, disclosures = use.licences.content(row)
    statement = use.city.ledger.entry(row.issue_index)
    acts = [
        {
            "index": act.idx,
            "state": STATES[act.state].name,
            "zh": STATES[act.state].zh,
            "reason": act.reason,
            "at": iso_time(act.at),
        }
        for act in use.licences.acts(record_id)
    ]
    fields: dict[str, Any] = {}
    for raw in disclosures:
        fields.update(parse_disclosure(raw).fields)
    return {
        **row_json(use, row),
        "identifier": identifier,
        "fields": fields,
        "renews": renewed_record(use.licences, row),
        "statement": b64encode(statement),
        "disclosures": [b64encode(raw) for raw in disclosures],
        "acts": acts,
    }


@router.post(
    "/{record_id}/state",
    summary="暂扣、恢复、注销、撤销、吊销 Change the legal state",
    response_model=ChangedState,
)
def change_state(
    record_id: RecordId,
    body: StateRequest,
    use: Use,
    caller: Caller,
    response: Response,
    key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Suspend and restore: a clerk. End, or restore what was ended in error: a seal-keeper."""

    def write(slot: Slot | None) -> dict[str, Any]:
        def remember(connection: Connection, changed: StateChanged) -> None:
            if slot is not None:
                slot.remember(connection, changed_json(changed))

        changed = use.licences.change_state(
            caller, record_id, BY_NAME[body.state].number, body.reason, effects=remember
        )
        return changed_json(changed)

    request = [record_id, body.model_dump()]
    return answer_once(use, caller, key, request, write, response)[0]


@router.get(
    "/{record_id}/qr",
    summary="二维码 The QR code",
    response_class=Response,
    responses={
        200: {
            "description": "The picture, or its text",
            "content": {
                "image/png": {"schema": {"type": "string", "format": "binary"}},
                "image/svg+xml": {"schema": {"type": "string"}},
                "text/plain": {"schema": {"type": "string"}},
            },
        }
    },
)
def qr_code(
    record_id: RecordId,
    use: Use,
    caller: Caller,
    profile: Annotated[Literal["compact", "transparent"], Query()] = "compact",
    format: Annotated[Literal["png", "svg", "text"], Query()] = "png",
    groups: Annotated[
        list[str] | None, Query(description="Disclosure groups to show; default: the face")
    ] = None,
) -> Response:
    """What is shown is what `groups` names; everything else stays with the holder."""
    row = _visible(use, caller, record_id)
    text = qr_text(use.licences, row, profile, groups or [FACE_ONLY])
    if format == "text":
        return Response(text, media_type="text/plain")
    level = "M" if profile == "compact" else "L"
    if format == "svg":
        return Response(qr_svg(text, level), media_type="image/svg+xml")
    return Response(qr_png(text, level), media_type="image/png")


def qr_text(licences: Licences, row: Row[Any], profile: str, groups: list[str]) -> str:
    """The QR text of a licence row; raises `disclosure-group-unknown`, and `licence-not-witnessed`
    where a transparent code would show a checkpoint that is not final."""
    _, disclosures = licences.content(row)
    named = {parse_disclosure(raw).name: raw for raw in disclosures}
    if not set(groups) <= named.keys():
        raise ServiceError("disclosure-group-unknown", ", ".join(set(groups) - named.keys()))
    ledger = licences.city.ledger
    proof = None
    if profile == "transparent":
        proven = ledger.prove(row.issue_index)
        if proven.finality != FINAL:
            raise ServiceError("licence-not-witnessed", f"#{row.issue_index}")
        proof = proven.proof
    return format_qr(
        ledger.entry(row.issue_index), [named[name] for name in named if name in groups], proof
    )


def _visible(use: Services, caller: Principal, record_id: str) -> Row[Any]:
    row = use.licences.row(record_id)
    own = caller.subject_nym is not None and caller.subject_nym == row.holder_nym
    if not own:
        caller.require(Role.CLERK, Role.SEAL_KEEPER)
        use.city.require_department(caller, row.department)
    return row


def _answer(
    use: Services,
    caller: Principal,
    key: str | None,
    body: BaseModel,
    write: Any,
    response: Response,
) -> dict[str, Any]:
    # Characters that are no text (lone surrogates) stay escaped; the fields' rules refuse them.
    request = json.dumps(body.model_dump(), sort_keys=True)
    return answer_once(use, caller, key, [request], write, response)[0]


def issued_json(issued: Issued) -> dict[str, Any]:
    """What is handed over at issue. The proof is fetched from `proof`, once it is wanted."""
    return {
        "record_id": issued.record_id,
        "identifier": issued.identifier,
        "index": issued.index,
        "leaf": issued.leaf.hex(),
        "statement": b64encode(issued.statement),
        "disclosures": [b64encode(raw) for raw in issued.disclosures],
        "qr": format_qr(issued.statement, _face(issued.disclosures)),
        "proof": proof_path(issued.index),
    }


def _face(disclosures: Any) -> list[bytes]:
    return [raw for raw in disclosures if parse_disclosure(raw).name == FACE_ONLY]


def changed_json(changed: StateChanged) -> dict[str, Any]:
    state = STATES[changed.state]
    return {
        "record_id": changed.record_id,
        "state": state.name,
        "zh": state.zh,
        "reason": changed.reason,
        "index": changed.index,
        "leaf": changed.leaf.hex(),
        "proof": proof_path(changed.index),
    }


def row_json(use: Services, row: Row[Any]) -> dict[str, Any]:
    """What a list says of a licence: no content, nothing about its holder."""
    type_, state = use.city.catalogue.licence_type(row.type_code), STATES[row.state]
    return {
        "record_id": row.record_id,
        "type": type_.code,
        "type_zh": type_.zh,
        "type_en": type_.en,
        "version": row.version,
        "state": state.name,
        "state_zh": state.zh,
        "state_code": state.mohurd,
        "valid_from": iso_day(row.valid_from),
        "valid_until": iso_day(row.valid_until),
        "renewed_by": row.renewed_by,
        "issued_at": iso_time(row.issued_at),
        "index": row.issue_index,
    }
