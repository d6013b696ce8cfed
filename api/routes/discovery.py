"""Discovery for others: key sets, JWT VC issuer metadata, DID documents, the witness policy.

Public, read-only, and open to scripts of any web page; refusals too.
"""

import json
from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.routing import APIRoute

from api import discovery
from api.context import Services, Use
from api.packs import policy_text
from api.problems import on_refusal
from api.routes.discovery_models import DidDocument, Index, IssuerMetadata, JwkSet
from api.static_answer import is_known
from keys.errors import ZhenglianError
from verifier.authorities import OPERATOR
from verifier.errors import Refused

FRESH = 300  # seconds for which a copy may be used: how long a leaked key may go on being trusted
_OPEN = {"Access-Control-Allow-Origin": "*"}
_TEXT = "text/plain; charset=utf-8"
_DID = "application/did+json"


class _OpenRoute(APIRoute):
    """A route whose answers and refusals any web page may read (Fetch, CORS protocol)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        usual = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response = await usual(request)
            except ZhenglianError as error:
                response = await on_refusal(request, error)
            response.headers.update(_OPEN)
            return response

        return handle


router = APIRouter(tags=["发现 discovery"], route_class=_OpenRoute)
Known = Annotated[str | None, Header(alias="If-None-Match")]


_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Not modified"}}
_AS_DID: dict[int | str, dict[str, Any]] = {
    **_UNCHANGED,
    200: {
        "model": DidDocument,
        "content": {_DID: {"schema": {"$ref": "#/components/schemas/DidDocument"}}},
    },
}


@router.get(
    "/.well-known/zhenglian",
    summary="目录 Where everything is",
    response_model=Index,
    responses=_UNCHANGED,
)
def index(use: Use, known: Known = None) -> Response:
    """Links to all of the documents below, for the city and each department."""
    return _json(discovery.index(use.city.authorities, _place(use)), known)


@router.get(
    "/.well-known/jwks.json",
    summary="城市公钥集 Keys of the city",
    response_model=JwkSet,
    responses=_UNCHANGED,
)
def city_keys(use: Use, known: Known = None) -> Response:
    """JWK Set (RFC 7517) of the operator, which signs receipts and trust packs."""
    return _key_set(use, OPERATOR, known)


@router.get(
    "/departments/{slug}/jwks.json",
    summary="部门公钥集 Keys of a department",
    response_model=JwkSet,
    responses=_UNCHANGED,
)
def department_keys(slug: str, use: Use, known: Known = None) -> Response:
    """JWK Set (RFC 7517): keys in force, to come, and former, unless compromised or suspended."""
    return _key_set(use, _department(slug), known)


@router.get(
    "/.well-known/jwks-sm2.json",
    summary="城市 SM2 公钥集 SM2 keys of the city",
    response_model=JwkSet,
    responses=_UNCHANGED,
)
def city_sm2_keys(use: Use, known: Known = None) -> Response:
    """As `jwks.json`, for SM2: `crv` and `alg` are names of our own, as none are registered."""
    return _key_set(use, OPERATOR, known, sm2=True)


@router.get(
    "/departments/{slug}/jwks-sm2.json",
    summary="部门 SM2 公钥集 SM2 keys of a department",
    response_model=JwkSet,
    responses=_UNCHANGED,
)
def department_sm2_keys(slug: str, use: Use, known: Known = None) -> Response:
    """As `jwks.json`, for SM2: `crv` and `alg` are names of our own, as none are registered."""
    return _key_set(use, _department(slug), known, sm2=True)


@router.get(
    "/.well-known/jwt-vc-issuer",
    summary="城市签发者元数据 JWT VC issuer metadata of the city",
    response_model=IssuerMetadata,
    responses=_UNCHANGED,
)
def city_metadata(use: Use, known: Known = None) -> Response:
    """SD-JWT VC: the keys behind an `iss` that is this service's address."""
    return _metadata(use, "", known)


@router.get(
    "/.well-known/jwt-vc-issuer/{path:path}",
    summary="部门签发者元数据 JWT VC issuer metadata of a department",
    response_model=IssuerMetadata,
    responses=_UNCHANGED,
)
def department_metadata(path: str, use: Use, known: Known = None) -> Response:
    """SD-JWT VC: the keys behind an `iss`, whose path follows the well-known string."""
    return _metadata(use, f"/{path}", known)


@router.get(
    "/.well-known/did.json",
    summary="城市 DID 文档 DID document of the city",
    response_class=Response,
    responses=_AS_DID,
)
@router.get("/did.json", include_in_schema=False)
def city_did(use: Use, known: Known = None) -> Response:
    """did:web of the city. Below a path, a resolver asks for `/did.json` there."""
    return _did(use, OPERATOR, known)


@router.get(
    "/departments/{slug}/did.json",
    summary="部门 DID 文档 DID document of a department",
    response_class=Response,
    responses=_AS_DID,
)
def department_did(slug: str, use: Use, known: Known = None) -> Response:
    """did:web of a department: `assertionMethod` lists the keys in force now."""
    return _did(use, _department(slug), known)


@router.get(
    "/v1/log/policy",
    summary="见证策略 The witness policy",
    response_class=Response,
    responses={
        **_UNCHANGED,
        200: {"description": "OK", "content": {_TEXT: {"schema": {"type": "string"}}}},
    },
)
def policy(use: Use, known: Known = None) -> Response:
    """C2SP tlog-policy: the log's vkey, the witnesses, and how many must cosign."""
    return _answer(policy_text(use.city).encode(), _TEXT, known)


def _place(use: Services) -> discovery.Place:
    return discovery.place_of(use.city.settings.base_url)


def _department(slug: str) -> str:
    if slug == OPERATOR:  # goes by the city's own address
        raise Refused("enrolment-unknown-department", slug)
    return slug


def _key_set(use: Services, slug: str, known: str | None, *, sm2: bool = False) -> Response:
    authorities = use.city.authorities
    issuer = discovery.department(authorities, slug).issuer
    keys = discovery.published_keys(authorities, issuer)
    return _json(discovery.jwk_set(keys, sm2=sm2), known)


def _metadata(use: Services, path: str, known: str | None) -> Response:
    place = _place(use)
    slug = discovery.slug_of_path(place, path)
    return _json(discovery.issuer_metadata(use.city.authorities, place, slug), known)


def _did(use: Services, slug: str, known: str | None) -> Response:
    city = use.city
    document = discovery.did_document(city.authorities, _place(use), slug, city.now())
    return _json(document, known, _DID)


def _json(document: object, known: str | None, media_type: str = "application/json") -> Response:
    return _answer(json.dumps(document, ensure_ascii=False).encode(), media_type, known)


def _answer(body: bytes, media_type: str, known: str | None) -> Response:
    tag = f'"{sha256(body).hexdigest()[:32]}"'
    headers = {"Cache-Control": f"public, max-age={FRESH}", "ETag": tag}
    if is_known(tag, known):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)
