"""A service that counters get their packs from, over HTTP."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPException
from typing import Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from api.errors import ServiceError
from verifier.pack import MAX_PACK
from verifier.pack_cli import proof_of_json

SECONDS: Final = 30.0
_MAX_PROOF: Final = 65_536


class HttpPackSource:
    """`verifier.pack_cli.PackSource` at the address of a service, `https://host[:port][/path]`.

    `seconds` bounds each wait for the server. Raises `ServiceError` pack-source-failed.
    """

    def __init__(self, url: str, *, seconds: float = SECONDS) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
            raise ServiceError("pack-source-failed", url)
        self._base = url.rstrip("/").removesuffix("/v1/pack")
        self._seconds = seconds
        self._opener = build_opener(ProxyHandler({}))

    def update(self, held: bytes) -> bytes | None:
        """An update from the pack of this SHA-256, or None where the service does not know it."""
        try:
            return self._get(f"/v1/pack/updates/{held.hex()}", MAX_PACK)
        except _Absent:
            return None

    def pack(self) -> bytes:
        """The newest pack, whole."""
        return self._must("/v1/pack", MAX_PACK)

    def consistency(self, old: int, new: int) -> Sequence[bytes]:
        """The proof between two sizes of the tree."""
        path = f"/v1/log/consistency?old={old}&new={new}"
        try:
            return proof_of_json(json.loads(self._must(path, _MAX_PROOF)))
        except ValueError as error:
            raise ServiceError("pack-source-failed", f"{path}: not JSON") from error

    def _must(self, path: str, limit: int) -> bytes:
        try:
            return self._get(path, limit)
        except _Absent as error:
            raise ServiceError("pack-source-failed", f"{path}: HTTP 404") from error

    def _get(self, path: str, limit: int) -> bytes:
        request = Request(self._base + path, headers={"Accept-Encoding": "identity"})  # noqa: S310 - the scheme was checked
        try:
            with self._opener.open(request, timeout=self._seconds) as answer:
                data: bytes = answer.read(limit + 1)
                announced = answer.headers.get("Content-Length")
        except HTTPError as error:
            with error:
                if error.code == HTTPStatus.NOT_FOUND:
                    raise _Absent from error
            raise ServiceError("pack-source-failed", f"{path}: HTTP {error.code}") from error
        except (OSError, HTTPException, ValueError) as error:
            raise ServiceError("pack-source-failed", f"{path}: {error}") from error
        if len(data) > limit or (announced is not None and announced != str(len(data))):
            raise ServiceError("pack-source-failed", f"{path}: too long, or cut short")
        return data


class _Absent(Exception):
    """The service has nothing there."""
