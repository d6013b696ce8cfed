"""QR pictures: what is drawn reads back, with its quiet zone, at the size the version says."""

import io
import random
import re

import pytest
import zxingcpp
from PIL import Image

from api.errors import ServiceError
from api.qrimage import LEVELS, QUIET_ZONE, qr_png, qr_size, qr_svg
from verifier.image import read_code

ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"


def code_text(length: int) -> str:
    chosen = random.Random(length)
    return "ZL1:" + "".join(chosen.choice(ALPHANUMERIC) for _ in range(length - 4))


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("length", [5, 400, 1200])
def test_png_reads_back(level: str, length: int) -> None:
    text = code_text(length)
    assert read_code(qr_png(text, level)) == text
    found = zxingcpp.read_barcode(opened(qr_png(text, level)))
    assert found is not None
    assert found.ec_level == level


@pytest.mark.parametrize(
    ("length", "level", "version"),
    [(970, "M", 20), (971, "M", 21), (2520, "L", 30), (2521, "L", 31), (4296, "L", 40)],
)
def test_alphanumeric_mode_is_used(length: int, level: str, version: int) -> None:
    """Capacities of ISO/IEC 18004 table 7; in byte mode these texts would not fit."""
    assert qr_size(code_text(length), level) == 17 + 4 * version


@pytest.mark.parametrize("scale", [1, 4, 9])
def test_quiet_zone_and_sharp_edges(scale: int) -> None:
    text = code_text(100)
    picture = opened(qr_png(text, scale=scale))
    side, border = picture.width, QUIET_ZONE * scale
    assert picture.mode == "1"
    assert picture.size == ((qr_size(text) + 2 * QUIET_ZONE) * scale,) * 2
    ink = Image.eval(picture.convert("L"), lambda value: 255 - value).getbbox()
    assert ink == (border, border, side - border, side - border)
    small = picture.resize((side // scale,) * 2, Image.Resampling.NEAREST)
    assert small.resize(picture.size, Image.Resampling.NEAREST).tobytes() == picture.tobytes()


def test_svg_draws_the_modules_of_the_png() -> None:
    text = code_text(300)
    svg, png = qr_svg(text), opened(qr_png(text, scale=1))
    drawn = Image.new("1", png.size, 1)
    runs = re.findall(r"M(\d+) (\d+)h(\d+)v1h-(\d+)z", svg)
    for x, y, length, back in runs:
        assert length == back
        drawn.paste(0, (int(x), int(y), int(x) + int(length), int(y) + 1))
    assert len(runs) > 500
    assert drawn.tobytes() == png.tobytes()
    assert f'viewBox="0 0 {png.width} {png.width}"' in svg
    assert "style" not in svg


def test_text_beyond_every_version_is_refused() -> None:
    with pytest.raises(ServiceError) as refused:
        qr_png(code_text(4297), "L")
    assert refused.value.code == "qr-over-capacity"
    assert refused.value.status == 422


def test_unknown_level_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="level"):
        qr_png("ZL1:AB", "X")
