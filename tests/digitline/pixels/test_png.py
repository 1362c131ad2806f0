"""Plain PNG files: what is decoded in the short way is what Pillow gives in its long one."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from digitline.pixels.png import decode_plain_png

Picture = NDArray[np.uint8]

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))
pictures = st.one_of(
    sizes.flatmap(lambda size: arrays(np.uint8, size)),
    sizes.flatmap(lambda size: arrays(np.uint8, (*size, 3))),
)


def encode(image: Image.Image, **options: object) -> bytes:
    out = BytesIO()
    image.save(out, "PNG", **options)
    return out.getvalue()


def decode_slowly(content: bytes) -> Picture:
    with Image.open(BytesIO(content)) as image:
        return np.asarray(image)


@given(pictures)
def test_a_plain_file_gives_its_pixels(picture: Picture) -> None:
    for content in (
        encode(Image.fromarray(picture)),
        bytes(cv2.imencode(".png", picture[..., ::-1] if picture.ndim == 3 else picture)[1]),
    ):
        decoded = decode_plain_png(content)
        assert decoded is not None
        assert np.array_equal(decoded, picture)


@settings(max_examples=200)
@given(
    picture=pictures,
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=3),
    kept=st.floats(0.5, 1.5),
)
def test_damage_is_left_to_the_long_way(
    picture: Picture, changes: list[tuple[float, int]], kept: float
) -> None:
    content = bytearray(encode(Image.fromarray(picture)))
    for place, value in changes:
        content[int(place * (len(content) - 1))] = value
    content = content[: int(kept * len(content))]
    decoded = decode_plain_png(bytes(content))
    if decoded is not None:
        assert np.array_equal(decoded, decode_slowly(bytes(content)))


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


GREY = Image.fromarray(np.arange(600, dtype=np.uint8).reshape(30, 20))
NOTED = PngImagePlugin.PngInfo()
NOTED.add_text("note", "x" * 100)


@pytest.mark.parametrize(
    "content",
    [
        encode(GREY, exif=turned()),
        encode(GREY, transparency=3),
        encode(GREY, pnginfo=NOTED),
        encode(GREY, save_all=True, append_images=[GREY.rotate(180)]),
        encode(GREY.convert("1")),
        encode(GREY.convert("P")),
        encode(GREY.convert("LA")),
        encode(GREY.convert("RGBA")),
        encode(GREY.convert("I;16")),
        encode(GREY.resize((1200, 1200))),
        encode(GREY)[:-1],
        encode(GREY) + b"\0",
        b"",
    ],
)
def test_anything_more_takes_a_closer_look(content: bytes) -> None:
    assert decode_plain_png(content) is None


def test_rows_that_were_never_packed_are_what_pillow_makes_of_them() -> None:
    """A file whose every checksum is right may still lack its last rows."""
    taller = encode(Image.new("L", (20, 31)))
    content = taller[:33] + encode(GREY)[33:]
    decoded = decode_plain_png(content)
    assert decoded is not None
    assert np.array_equal(decoded, decode_slowly(content))
