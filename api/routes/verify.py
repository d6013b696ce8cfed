"""Checking codes, receipts and trust packs: open to everyone, no account."""

from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from api.checking import verify
from api.context import Use
from api.errors import ServiceError
from api.static_answer import is_known
from verifier.image import read_code

router = APIRouter(prefix="/v1", tags=["核验 verification"])
_IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp")
_BINARY_TYPES = ("application/cbor", "application/cose", "application/octet-stream")
_PACK_TYPE = "application/cose; cose-type=cose-sign1"
_MAX_TEXT = 16_384
Digest = Annotated[
    str, Path(alias="sha256", pattern="^[0-9a-f]{64}$", description="SHA-256 in hex")
]


def _binary(media_type: str) -> dict[str, Any]:
    """An answer of bytes, for OpenAPI."""
    return {
        "description": "OK",
        "content": {media_type: {"schema": {"type": "string", "format": "binary"}}},
    }


class VerifyRequest(BaseModel):
    """QR text as scanned."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=_MAX_TEXT, examples=["ZL1:…"])


_TEXT = TypeAdapter(VerifyRequest)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": VerifyRequest.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string"},
                        "image": {"type": "string", "format": "binary"},
                    },
                }
            },
            "image/png": {"schema": {"type": "string", "format": "binary"}},
            "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
            "image/webp": {"schema": {"type": "string", "format": "binary"}},
            "application/cbor": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post("/verify", summary="核验二维码、图片或文书 Check a code", openapi_extra=_BODY)
async def verify_code(request: Request, use: Use) -> dict[str, Any]:
    """QR text as JSON, an image (raw or multipart), or a statement's bytes.

    Answers 200 with a verdict for anything that could be read, red ones included; the numbered
    checks say what was found. What is not an image with a code is a problem document.
    """
    payload = await _payload(request)
    verdict = await run_in_threadpool(verify, use.city, payload)
    return dict(verdict.to_json())


async def _payload(request: Request) -> str | bytes:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        async with request.form(max_files=1, max_fields=4) as form:
            image, text = form.get("image"), form.get("text")
            if isinstance(image, UploadFile) and image.size:
                return await run_in_threadpool(read_code, await image.read())
            if isinstance(text, str) and text.strip():
                return text.strip()[: _MAX_TEXT + 1]
        raise ServiceError("request-invalid", "text or image")
    body = await request.body()
    if media_type in _IMAGE_TYPES:
        return await run_in_threadpool(read_code, body)
    if media_type in _BINARY_TYPES:
        return body
    if media_type == "application/json":
        try:
            return _TEXT.validate_json(body).text.strip()
        except ValidationError as error:
            raise ServiceError("request-invalid", "text") from error
    raise ServiceError("media-type-unsupported", media_type[:64])


@router.get(
    "/pack",
    summary="离线核验包 The trust pack",
    response_class=Response,
    responses={200: _binary(_PACK_TYPE), 304: {"description": "Not modified"}},
)
def pack(use: Use, known: Annotated[str | None, Header(alias="If-None-Match")] = None) -> Response:
    """Everything a counter needs to check codes without a network. Holds nothing personal.

    The entity tag is the pack's SHA-256 in hex. 304 where the caller has it already.
    """
    data = use.packs.get()
    tag = f'"{sha256(data).hexdigest()}"'
    headers = {"Cache-Control": "public, max-age=60", "ETag": tag}
    if is_known(tag, known):
        return Response(status_code=304, headers=headers)
    name = f"{use.city.origin}.zlpack"
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(data, media_type=_PACK_TYPE, headers=headers)


@router.get(
    "/pack/updates/{sha256}",
    summary="离线核验包的增量更新 An update of a trust pack",
    response_class=Response,
    responses={200: _binary("application/cbor")},
)
def pack_update(held: Digest, use: Use) -> Response:
    """What makes the newest pack out of the one held, with the consistency proof between them.

    `sha256` is that of the pack held, in hex. 404 `pack-unknown`: it is not kept here any more;
    fetch a whole pack, and `/v1/log/consistency` from the size of its tree.
    """
    return Response(use.packs.update(bytes.fromhex(held)), media_type="application/cbor")
