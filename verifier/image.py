"""QR codes in pictures: the only code of this floor that needs more than the base dependencies.

Pillow and zxing-cpp (the extra `image`) are imported when a picture is read, not before. Bytes
and pixels are bounded before anything is decoded, and only formats that cameras and screens
produce are tried.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Final

from verifier.errors import Refused
from verifier.qr import PREFIX

if TYPE_CHECKING:
    from PIL import Image

MAX_IMAGE_BYTES: Final = 10 << 20
MAX_PIXELS: Final = 40_000_000
FORMATS: Final = ("PNG", "JPEG", "WEBP")
_PNG, _JPEG, _RIFF, _WEBP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"WEBP"
_SIDES: Final = (1600, 640)
"""Longer sides in pixels at which a photo is tried again."""


def is_image(data: bytes) -> bool:
    """Whether the bytes begin as a picture that `read_code` would try."""
    return data.startswith((_PNG, _JPEG)) or (data[:4] == _RIFF and data[8:12] == _WEBP)


def read_code(data: bytes) -> str:
    """The text of the one code of ours in a PNG, JPEG or WebP picture, upright or not.

    A picture that holds other codes only gives the text of one of them, for the judge to refuse
    by its own name. Raises `Refused`: too-large, image-malformed, image-no-code,
    image-several-codes, image-support-missing.
    """
    if len(data) > MAX_IMAGE_BYTES:
        raise Refused("too-large", f"a picture of at most {MAX_IMAGE_BYTES >> 20} MiB")
    texts = _texts(data)
    ours = [text for text in texts if text.startswith(PREFIX)]
    if len(ours) > 1:
        raise Refused("image-several-codes", str(len(ours)))
    if not texts:
        raise Refused("image-no-code")
    return ours[0] if ours else texts[0]


def _texts(data: bytes) -> list[str]:
    """The different texts of the QR codes in a picture, in reading order."""
    try:
        import zxingcpp
        from PIL import Image, ImageFilter
    except ImportError as error:
        raise Refused("image-support-missing", "pip install 'zhenglian[image]'") from error

    def scan(picture: Image.Image) -> list[str]:
        codes = zxingcpp.read_barcodes(
            picture,
            formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode),
            text_mode=zxingcpp.TextMode.Plain,
        )
        return list(dict.fromkeys(code.text for code in codes))

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise Refused("too-large", f"at most {MAX_PIXELS // 1_000_000} megapixels")
                grey = _on_white(opened).convert("L")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused("too-large", "pixels") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise Refused("image-malformed", type(error).__name__) from error
    return next(filter(None, map(scan, _attempts(grey, ImageFilter))), [])


def _on_white(picture: Image.Image) -> Image.Image:
    """What is transparent is paper, not ink."""
    if not picture.has_transparency_data:
        return picture
    ink, alpha = picture.convert("LA").split()
    paper = ink.point(lambda _: 255)
    paper.paste(ink, mask=alpha)
    return paper


def _attempts(grey: Image.Image, filters: ModuleType) -> Iterator[Image.Image]:
    """The picture as it is, then sharpened against blur, then softened against noise."""
    yield grey
    for side in _SIDES:
        smaller = grey.copy()
        smaller.thumbnail((side, side))
        yield smaller.filter(filters.UnsharpMask(radius=3, percent=200, threshold=2))
    grey.thumbnail((_SIDES[0], _SIDES[0]))
    yield grey.filter(filters.GaussianBlur(1.5))
