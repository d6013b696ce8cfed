"""What several routes share: record ids, pages by cursor, and answers given once per key."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Path, Query, Response

from api.context import Services
from api.errors import ServiceError
from api.idempotency import Slot, once
from api.principals import Principal

ID_PATTERN = r"^[A-Za-z0-9_-]{22}$"
RecordId = Annotated[str, Path(pattern=ID_PATTERN, description="Record id")]
Cursor = Annotated[str | None, Query(description="`next` of the page before")]


def before(cursor: str | None) -> int | None:
    """The ledger index that a page's rows lie below; `cursor-invalid`."""
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > 18:
        raise ServiceError("cursor-invalid")
    return int(cursor)


def answer_once(
    use: Services,
    caller: Principal,
    key: str | None,
    request: object,
    write: Callable[[Slot | None], Mapping[str, Any]],
    response: Response,
) -> tuple[dict[str, Any], bool]:
    """`api.idempotency.once`, and the header that says whether the answer is a repetition."""
    answer, repeated = once(use.city, caller.client, key, request, write)
    response.headers["Idempotency-Replayed"] = "true" if repeated else "false"
    return with_finality(use, answer), repeated


def with_finality(use: Services, answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer that names ledger entries, each with its finality as of now. Answers are kept
    without it: by the time of a repetition what was pending may be final."""
    told = dict(answer)
    for name, value in answer.items():
        if isinstance(value, list):
            told[name] = [
                with_finality(use, each) if isinstance(each, Mapping) else each for each in value
            ]
    if isinstance(index := answer.get("index"), int):
        told["finality"] = use.city.ledger.finality(index)
    return told


def proof_path(index: int) -> str:
    """Where the inclusion proof of an entry is fetched."""
    return f"/v1/log/proof/{index}"
