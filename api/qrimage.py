"""QR codes as pictures: PNG for screens and print, SVG for pages that scale (ISO/IEC 18004).

The encoder picks the smallest version and the densest mode: the alphabet of `ZL1:` codes lies
within the alphanumeric mode, 5.5 bits a character.
"""

import io
import math
from typing import Any, Final, cast

import zxingcpp
from PIL import Image

from api.errors import ServiceError

QUIET_ZONE: Final = 4
"""Modules of white on every side (ISO/IEC 18004 §5.3.8)."""
LEVELS: Final = ("L", "M", "Q", "H")


def _picture(text: str, level: str) -> Image.Image:
    """One pixel a module, black 0 and white 255, no quiet zone. Raises `ServiceError`."""
    if level not in LEVELS:
        raise ValueError(f"no such error correction level: {level}")
    try:
        code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level=level)
    except ValueError as error:
        raise ServiceError("qr-over-capacity", f"{len(text)} characters at {level}") from error
    # A buffer of one byte a module, though its stub does not say so.
    modules = memoryview(cast(Any, code.to_image(scale=1, add_quiet_zones=False))).tobytes()
    side = math.isqrt(len(modules))
    return Image.frombytes("L", (side, side), modules)


def qr_size(text: str, level: str = "M") -> int:
    """Modules on a side, without the quiet zone: 17 + 4 × version."""
    return _picture(text, level).width


def qr_png(text: str, level: str = "M", scale: int = 4) -> bytes:
    """A 1-bit PNG, `scale` pixels a module, quiet zone included.

    Raises `ServiceError` qr-over-capacity when no version holds the text at this level.
    """
    modules = _picture(text, level)
    side = modules.width + 2 * QUIET_ZONE
    framed = Image.new("L", (side, side), 255)
    framed.paste(modules, (QUIET_ZONE, QUIET_ZONE))
    bits = framed.resize((side * scale, side * scale), Image.Resampling.NEAREST).convert(
        "1", dither=Image.Dither.NONE
    )
    out = io.BytesIO()
    bits.save(out, "PNG", optimize=True)
    return out.getvalue()


def qr_svg(text: str, level: str = "M", scale: int = 4) -> str:
    """The same as SVG: a view box in modules, so that any printed size keeps sharp edges."""
    modules = _picture(text, level)
    side = modules.width + 2 * QUIET_ZONE
    pixels = modules.tobytes()
    runs = []
    for y in range(modules.width):
        row = pixels[y * modules.width : (y + 1) * modules.width] + b"\xff"
        start = None
        for x, value in enumerate(row):
            if value == 0 and start is None:
                start = x
            elif value != 0 and start is not None:
                runs.append(f"M{start + QUIET_ZONE} {y + QUIET_ZONE}h{x - start}v1h-{x - start}z")
                start = None
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{side * scale}" height="{side * scale}" '
        f'viewBox="0 0 {side} {side}" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{side}v{side}H0z"/><path d="{"".join(runs)}"/></svg>\n'
    )
