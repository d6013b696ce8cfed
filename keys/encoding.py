"""The two encodings that public keys need on this floor, which imports nothing above it."""

import base64


def b64url(data: bytes) -> str:
    """URL-safe base64 without padding (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
