"""Checking codes, receipts and trust packs: open to everyone, no account."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from api.checking import verify
from api.context import Use
from api.errors import ServiceError
from verifier.image import read_code

router = APIRouter(prefix="/v1", tags=["核验 verification"])
_IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp")
_BINARY_TYPES = ("application/cbor", "application/cose", "application/octet-stream")
_MAX_TEXT = 16_384


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


@router.get("/pack", summary="离线核验包 The trust pack", response_class=Response)
def pack(use: Use) -> Response:
    """Everything a counter needs to check codes without a network. Holds nothing personal."""
    return Response(
        use.packs.get(),
        media_type="application/cose; cose-type=cose-sign1",
        headers={
            "Content-Disposition": f'attachment; filename="{use.city.origin}.zlpack"',
            "Cache-Control": "public, max-age=60",
        },
    )
