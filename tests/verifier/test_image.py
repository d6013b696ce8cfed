"""Codes in pictures: photographed at an angle, out of focus, too large, several, or none."""

import builtins
import io
import random
import zlib
from typing import Any, cast

import pytest
import zxingcpp
from PIL import Image, ImageFilter
from typing_extensions import Buffer

from tests.city import City
from tests.verifier.helpers import refused
from verifier import image
from verifier.image import MAX_IMAGE_BYTES, is_image, read_code

CITY = City()
LICENCE = CITY.issue()
COMPACT = LICENCE.qr()
TRANSPARENT = CITY.transparent(LICENCE)


def drawn(text: str, level: str = "M", scale: int = 6) -> Image.Image:
    """A QR code with its quiet zone."""
    code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level=level)
    bitmap = code.to_image(scale=scale)
    height, width = bitmap.shape
    return Image.frombytes("L", (width, height), bytes(cast(Buffer, bitmap)))


def saved(picture: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **how)
    return out.getvalue()


def photo(picture: Image.Image, angle: float, blur: float, slant: float = 0.0) -> bytes:
    """The picture on grey paper, turned, seen from the side, out of focus, as JPEG."""
    turned = picture.rotate(angle, expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC)
    width, height = turned.width + 300, turned.height + 200
    paper = Image.new("L", (width, height), 200)
    paper.paste(turned, (150, 100))
    corners = (0, 0, 0, height, width, height, width + slant * width, 0)
    seen = paper.transform(paper.size, Image.Transform.QUAD, corners, Image.Resampling.BICUBIC)
    return saved(seen.filter(ImageFilter.GaussianBlur(blur)), "JPEG", quality=70)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(("text", "level"), [(COMPACT, "M"), (TRANSPARENT, "L")])
def test_a_drawn_code_is_read(kind: str, text: str, level: str) -> None:
    data = saved(drawn(text, level), kind)
    assert is_image(data)
    assert read_code(data) == text


@pytest.mark.parametrize("angle", [0, 90, 180, 270, 7, 33, 200])
@pytest.mark.parametrize(("blur", "slant"), [(0.0, 0.0), (2.0, 0.0), (1.5, 0.06)])
def test_a_photo_is_read(angle: float, blur: float, slant: float) -> None:
    assert read_code(photo(drawn(COMPACT), angle, blur, slant)) == COMPACT


def test_noise_is_softened() -> None:
    picture = drawn(COMPACT, scale=8)
    pixels = random.Random(5)
    noisy = bytes(
        min(255, max(0, pixel + round(pixels.gauss(0, 70)))) for pixel in picture.tobytes()
    )
    data = saved(Image.frombytes("L", picture.size, noisy), "JPEG", quality=60)
    assert read_code(data) == COMPACT


def test_colours_and_transparency_do_no_harm() -> None:
    picture = drawn(COMPACT)
    clear = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), mask=picture.point(lambda level: 255 - level))
    assert read_code(saved(clear)) == COMPACT
    assert read_code(saved(picture.convert("RGB").convert("P"))) == COMPACT
    assert read_code(saved(picture.convert("1"))) == COMPACT


def test_white_on_black_is_read() -> None:
    assert read_code(saved(drawn(COMPACT).point(lambda level: 255 - level))) == COMPACT


def beside(*pictures: Image.Image) -> bytes:
    sheet = Image.new("L", (sum(p.width for p in pictures), max(p.height for p in pictures)), 255)
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width
    return saved(sheet)


def test_one_of_ours_among_others_is_read() -> None:
    foreign = drawn("https://example.org/menu")
    assert read_code(beside(foreign, drawn(COMPACT), foreign)) == COMPACT


def test_the_same_code_twice_is_one_code() -> None:
    assert read_code(beside(drawn(COMPACT), drawn(COMPACT))) == COMPACT


def test_two_of_ours_are_refused() -> None:
    with refused("image-several-codes"):
        read_code(beside(drawn(COMPACT), drawn(CITY.issue().qr())))


def test_only_others_are_left_to_the_judge() -> None:
    assert read_code(saved(drawn("https://example.org/menu"))) == "https://example.org/menu"


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_no_code(shade: int) -> None:
    with refused("image-no-code"):
        read_code(saved(Image.new("L", (300, 200), shade)))


PNG = saved(drawn(COMPACT, scale=2))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        b"not a picture",
        b"\x89PNG\r\n\x1a\n",
        PNG[: len(PNG) // 2],
        PNG[:40] + bytes([PNG[40] ^ 255]) + PNG[41:],
        saved(Image.new("L", (9, 9)), "BMP"),
        saved(Image.new("L", (9, 9)), "TIFF"),
    ],
    ids=["nothing", "gif", "text", "head only", "cut", "damaged", "bmp", "tiff"],
)
def test_what_is_no_picture_of_the_three_kinds_is_refused(data: bytes) -> None:
    with refused("image-malformed"):
        read_code(data)


def test_bytes_are_bounded_before_anything_is_read() -> None:
    with refused("too-large"):
        read_code(PNG + bytes(MAX_IMAGE_BYTES))


@pytest.mark.parametrize("size", [(8000, 6000), (40_001, 1000), (65_000, 65_000)])
def test_pixels_are_bounded_before_they_are_decoded(
    size: tuple[int, int],
) -> None:
    """The size is read off the header; the small file below would unfold to gigabytes."""
    header = bytearray(saved(Image.new("1", (8, 8))))
    header[16:24] = size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big")
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    with refused("too-large"):
        read_code(bytes(header))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def none_of_these(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] in {"zxingcpp", "PIL"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", none_of_these)
    with refused("image-support-missing") as caught:
        read_code(PNG)
    assert "zhenglian[image]" in caught.value.detail


@pytest.mark.parametrize("data", [b"", b"ZL1:", b"\xd2\x84", b"RIFF....WAVE", b"%PDF-1.7"])
def test_other_files_are_no_pictures(data: bytes) -> None:
    assert not is_image(data)


def test_the_retries_cost_a_picture_without_a_code_little() -> None:
    """Three attempts after the first, none of them on more than 1600 pixels."""
    attempts = list(image._attempts(Image.new("L", (5000, 3000), 255), ImageFilter))
    assert len(attempts) == 4
    assert all(max(attempt.size) <= 1600 for attempt in attempts[1:])
