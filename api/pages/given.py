"""What somebody hands to the check page: one form, bounded before it is read."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import Request

from api.errors import ServiceError
from verifier.errors import Refused
from verifier.image import MAX_IMAGE_BYTES, read_code
from verifier.qr import MAX_CHARACTERS, PREFIX

MAX_BODY: Final = MAX_IMAGE_BYTES + 64 * 1024
"""The largest image, and room for the text field and the form around them."""
_STATEMENT: Final = b"\xd2"


@dataclass(frozen=True, slots=True)
class Given:
    """Text or an image (or the bytes of a statement); `part` says how much to answer with.

    `page` the whole page, `verdict` only that part of it, `frame` the same, or nothing at all
    where the picture shows no code.
    """

    text: str
    image: bytes
    part: str

    def payload(self) -> str | bytes:
        """What the judge is asked about. Raises `Refused` for an image that shows no code."""
        if not self.image:
            return self.text
        if self.image.startswith((_STATEMENT, PREFIX.encode())):
            return self.image
        return read_code(self.image)


async def read_given(request: Request) -> Given:
    """Reads the form. Raises `Refused` too-large, `ServiceError` page-form-malformed."""
    body = await _bounded_body(request)
    content_type = request.headers.get("content-type", "")
    try:
        if content_type.startswith("multipart/form-data"):
            form = await MultiPartParser(
                request.headers, _once(body), max_files=1, max_fields=4, max_part_size=64 * 1024
            ).parse()
        elif content_type.startswith("application/x-www-form-urlencoded"):
            form = await FormParser(request.headers, _once(body)).parse()
        else:
            raise ServiceError("page-form-malformed", content_type[:80])
    except MultiPartException as error:
        raise ServiceError("page-form-malformed", error.message) from error
    text, image, part = form.get("text", ""), form.get("image"), form.get("part", "page")
    content = await image.read() if isinstance(image, UploadFile) else b""
    await form.close()
    if not isinstance(text, str) or not isinstance(part, str):
        raise ServiceError("page-form-malformed")
    text = text.strip()  # base45 never ends with a blank
    if len(content) > MAX_IMAGE_BYTES or len(text) > 2 * MAX_CHARACTERS:
        raise Refused("too-large")
    if not content and not text:
        raise ServiceError("page-nothing-given")
    return Given(text, content, part)


async def _bounded_body(request: Request) -> bytes:
    announced = request.headers.get("content-length", "0")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > MAX_BODY:
        raise Refused("too-large")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused("too-large")
    return bytes(body)


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
    yield b""
