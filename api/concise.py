"""Concise problem details (RFC 9290): the refusals of the SCITT resources, in CBOR.

    {-1: title, -2: detail, "urn:zhenglian:error": {"code": …, "zh": …}}

The titles are those of draft-ietf-scitt-scrapi-11 where it has one; the stable code stands beside.
"""

from collections.abc import Mapping
from typing import Any, Final

from verifier.codec import cbor_encode

MEDIA_TYPE: Final = "application/concise-problem-details+cbor"
_TITLE, _DETAIL = -1, -2
_OWN: Final = "urn:zhenglian:error"
_PREFIXES: Final = ("/scitt/", "/.well-known/scitt-keys")
_TITLES: Final[Mapping[str, str]] = {
    "too-large": "Malformed request",
    "scitt-locator-malformed": "Invalid locator",
    "scitt-entry-unknown": "Not Found",
    "scitt-key-unknown": "No such key",
}
_TITLES_OF: Final[Mapping[str, str]] = {
    "cbor": "Malformed request",
    "cose": "Malformed request",
    "statement": "Rejected",
    "register": "Rejected",
    "key": "Rejected",
    "department": "Rejected",
    "role": "Rejected",
}
"""By the first word of a code."""


def is_concise(path: str) -> bool:
    """Whether refusals at a path are told so."""
    return path.startswith(_PREFIXES)


def concise_status(status: int) -> int:
    """What other resources call 422, the draft calls 400."""
    return 400 if status == 422 else status


def concise_problem(problem: Mapping[str, Any]) -> bytes:
    """The concise form of a problem document of `api.problems`."""
    code, en = problem["code"], problem["title_en"]
    title = _TITLES.get(code) or _TITLES_OF.get(code.partition("-")[0], en)
    detail = f"{en}: {problem['detail']}" if problem["detail"] else en
    own = {"code": code, "zh": problem["title"]}
    text = {_TITLE: title, _DETAIL: detail.encode("utf-8", "replace").decode()}
    # Keys of two types: integers stand before texts (RFC 8949 §4.2.1), as in this literal.
    return b"\xa3" + cbor_encode(text)[1:] + cbor_encode({_OWN: own})[1:]
