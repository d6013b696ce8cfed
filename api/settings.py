"""Settings: one class, read from the environment (`ZHENGLIAN_…`) and an optional `.env` file."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Everything an operator may set. Every field is in docs/settings.md."""

    model_config = SettingsConfigDict(env_prefix="ZHENGLIAN_", env_file=".env", extra="ignore")

    data: Path = Field(Path("var"), description="Folder for the database, custody and exports.")
    database: str = Field(
        "", description="Database URL; empty means `sqlite:///<data>/zhenglian.db`."
    )
    origin: str = Field(
        "demo.zhenglian.example",
        description="Name of the log: a schema-less URL, fixed for ever at the genesis.",
    )
    name_zh: str = Field("证链示范市", description="Name of the city in Chinese.")
    name_en: str = Field("Zhenglian Demo City", description="Name of the city in English.")
    passphrase: str = Field(
        "",
        description="Passphrase of custody; empty means the file `<data>/passphrase`.",
        repr=False,
    )
    custody: str = Field(
        "file",
        description="Where signature keys are kept: `file`, `pkcs11:<module>?token=<label>` or "
        "`socket:<path>`.",
    )
    pin: str = Field("", description="PIN of the PKCS#11 token that keeps the keys.", repr=False)
    former_custody: str = Field(
        "",
        description="Where keys made earlier still are, in the form of `custody`: they are opened "
        "there, none is made there.",
    )
    former_pin: str = Field("", description="PIN of the former custody's token.", repr=False)
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8440, ge=1, le=65535, description="Port to listen on.")
    public_url: str = Field(
        "", description="Where others reach this service; empty means http://host:port."
    )
    catalogue: Path | None = Field(
        None, description="Folder with a catalogue of one's own; empty means the built-in one."
    )
    pack_hours: int = Field(
        72, ge=1, le=24 * 31, description="Hours for which a trust pack may give green answers."
    )
    status_age_hours: int = Field(
        72, ge=1, le=24 * 31, description="Hours after which a signed status is stale."
    )
    receipt_minutes: int = Field(
        10, ge=1, le=60, description="Minutes for which an answered question's receipt is valid."
    )
    max_body_mib: int = Field(12, ge=1, le=1024, description="Largest request body in MiB.")
    max_import_mib: int = Field(
        512, ge=1, le=16_384, description="Largest file in MiB that may be imported over HTTP."
    )
    argon2_mib: int = Field(
        256, ge=64, le=2048, description="Memory in MiB that opening a key of custody takes."
    )
    witness_seconds: float = Field(
        5.0,
        ge=0.1,
        le=60,
        description="Seconds that a witness may take to answer; nobody else waits for it.",
    )
    final_seconds: int = Field(
        60,
        ge=1,
        le=86_400,
        description="Seconds after which entries that are not final yet are reported as overdue.",
    )
    demo: bool = Field(False, description="Whether the start page shows demo keys and samples.")

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.data / 'zhenglian.db'}"

    @property
    def base_url(self) -> str:
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"
