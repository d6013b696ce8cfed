"""Static files and response headers of the pages.

All static files share one folder named by the hash of their content, so that modules may import
each other by relative name and every file may be cached for ever.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
IMMUTABLE: Final = "public, max-age=31536000, immutable"

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'"
)
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), clipboard-read=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PAGE_HEADERS: Final[Mapping[str, str]] = {**SECURITY_HEADERS, "Cache-Control": "no-store"}
"""A verdict may show personal data: pages are never stored."""


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    media_type: str


@dataclass(frozen=True)
class Assets:
    """Every static file in memory, and the version (16 hex digits) that names their folder."""

    version: str
    files: Mapping[str, Asset]

    def path(self, name: str) -> str:
        """The address of a file of this name; KeyError if there is none."""
        self.files[name]
        return f"/pages/{self.version}/{name}"


def load_assets(folder: Path = HERE / "static") -> Assets:
    digest = hashlib.sha256()
    files: dict[str, Asset] = {}
    for file in sorted(folder.iterdir()):
        media_type = MEDIA_TYPES.get(file.suffix)
        if media_type is None:
            continue
        content = file.read_bytes()
        digest.update(f"{file.name}\0{len(content)}\0".encode() + content)
        files[file.name] = Asset(content, media_type)
    return Assets(digest.hexdigest()[:16], files)
