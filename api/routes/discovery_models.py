"""The shapes of discovery documents, as their specifications name things."""

from pydantic import BaseModel, ConfigDict, Field


class Jwk(BaseModel):
    """RFC 7517; `x`, `y`, `pub`, `crv` and `x5c` as the kind of key has them."""

    model_config = ConfigDict(extra="allow")

    kty: str
    use: str
    alg: str
    kid: str = Field(description="Key id, hex, as in `/v1/departments`")


class JwkSet(BaseModel):
    keys: list[Jwk]


class IssuerMetadata(BaseModel):
    """JWT VC Issuer Metadata (draft-ietf-oauth-sd-jwt-vc §5)."""

    issuer: str
    jwks: JwkSet


class VerificationMethod(BaseModel):
    id: str
    type: str
    controller: str
    publicKeyJwk: Jwk  # noqa: N815  # the specification's name


class DidDocument(BaseModel):
    """DID Core §5. `assertionMethod` is absent while no key is in force."""

    context: list[str] = Field(alias="@context")
    id: str
    controller: str
    alsoKnownAs: list[str]  # noqa: N815
    verificationMethod: list[VerificationMethod]  # noqa: N815
    assertionMethod: list[str] | None = None  # noqa: N815


class Links(BaseModel):
    """Of one issuer. `did` is null where the service has no domain name."""

    issuer: str
    jwks_url: str
    jwks_sm2_url: str
    issuer_metadata_url: str
    did: str | None
    did_document_url: str | None


class DepartmentLinks(Links):
    slug: str
    zh: str
    en: str
    uscc: str
    ledger_issuer: str
    ended: str | None
    successor: str | None


class WitnessShown(BaseModel):
    """A witness of the policy in force, by its name there."""

    name: str
    vkey: str
    url: str


class LogLinks(BaseModel):
    zh: str
    en: str
    url: str
    vkey: str
    vkey_ml_dsa: str | None
    vkey_url: str
    policy_url: str
    witnesses: list[WitnessShown]


class PackLinks(BaseModel):
    zh: str
    en: str
    url: str


class Index(BaseModel):
    """`https` is false on a server that wallets elsewhere cannot use: see ZHENGLIAN_PUBLIC_URL."""

    zh: str
    en: str
    origin: str
    https: bool
    log: LogLinks
    trust_pack: PackLinks
    openapi: str
    operator: Links
    departments: list[DepartmentLinks]
