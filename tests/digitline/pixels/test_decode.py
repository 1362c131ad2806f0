"""Any bytes give an array or a reason: formats, depths, transparency, damage, bombs."""

import pickle
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from digitline.pixels.decode import Limits, UndecodableError, decode

REASONS = {"empty", "truncated", "unsupported", "too-large", "animated", "unreadable"}
LIMITS = Limits()


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    out = BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def stroke(height: int = 40, width: int = 30) -> NDArray[np.uint8]:
    """Draw a dark bar on light paper, left of the middle."""
    pixels = np.full((height, width), 230, np.uint8)
    pixels[5:-5, 6:11] = 20
    return pixels


def noisy() -> Image.Image:
    return Image.fromarray(np.random.default_rng(7).integers(0, 255, (60, 50, 3), dtype=np.uint8))


def outcome(content: bytes) -> NDArray[np.uint8] | str:
    try:
        return decode(content, LIMITS)
    except UndecodableError as error:
        return error.reason


def reason_of(content: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(UndecodableError) as caught:
        decode(content, limits)
    assert caught.value.message
    return caught.value.reason


FILES = {
    "png": encode(noisy(), "PNG"),
    "jpeg": encode(noisy(), "JPEG"),
    "progressive": encode(noisy(), "JPEG", progressive=True),
    "bmp": encode(noisy(), "BMP"),
    "gif": encode(noisy(), "GIF"),
    "tiff": encode(noisy(), "TIFF"),
    "tiff-lzw": encode(noisy(), "TIFF", compression="tiff_lzw"),
    "tiff-jpeg": encode(noisy(), "TIFF", compression="jpeg"),
    "tiff-fax": encode(noisy().convert("1"), "TIFF", compression="group4"),
    "webp": encode(noisy(), "WEBP"),
    "ppm": encode(noisy(), "PPM"),
    "jpeg2000": encode(noisy(), "JPEG2000"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_its_size(name: str) -> None:
    assert decode(FILES[name], LIMITS).shape[:2] == (60, 50)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.15, 0.5, 0.85])
def test_a_file_cut_short_is_truncated(name: str, share: float) -> None:
    content = FILES[name]
    assert reason_of(content[: int(len(content) * share)]) == "truncated"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(
    name=st.sampled_from(sorted(FILES)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    early=st.booleans(),
)
def test_damaged_files_give_pixels_or_a_reason(
    name: str, changes: list[tuple[float, int]], *, early: bool
) -> None:
    content = bytearray(FILES[name])
    reach = min(len(content), 200) if early else len(content)
    for place, value in changes:
        content[int(place * (reach - 1))] = value
    result = outcome(bytes(content))
    if isinstance(result, str):
        assert result in REASONS
    else:
        assert result.dtype == np.uint8
        assert result.ndim == 2 or result.shape[2] == 3


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_reason(content: bytes) -> None:
    assert reason_of(content) in REASONS


@pytest.mark.parametrize("name", ["tiff-lzw", "tiff-jpeg", "tiff-fax", "jpeg", "webp", "jpeg2000"])
def test_damage_writes_nothing_to_the_terminal(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        content = bytearray(FILES[name])
        for place in rng.integers(4, len(content), 5):
            content[place] = rng.integers(256)
        outcome(bytes(content))
    written = capfd.readouterr()
    assert (written.out, written.err) == ("", "")


def test_the_reasons() -> None:
    assert reason_of(b"") == "empty"
    assert reason_of(b"3,1,4\n1,5,9\n" * 20) == "unsupported"
    assert reason_of(b"<svg xmlns='http://www.w3.org/2000/svg'/>") == "unsupported"
    assert reason_of(FILES["png"], Limits(max_bytes=1000)) == "too-large"
    assert reason_of(FILES["png"], Limits(max_pixels=2999)) == "too-large"
    assert decode(FILES["png"], Limits(max_pixels=3000)).shape[:2] == (60, 50)


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = encode(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 100_000
    assert reason_of(bomb) == "too-large"


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_are_animated(form: str) -> None:
    frames = [Image.fromarray(np.full((20, 20), value, np.uint8)) for value in (0, 128, 255)]
    assert reason_of(encode(frames[0], form, save_all=True, append_images=frames[1:])) == "animated"


def test_a_phone_picture_with_a_preview_is_its_first_frame() -> None:
    first, second = Image.fromarray(stroke()), Image.new("L", (10, 10))
    content = encode(first, "MPO", save_all=True, append_images=[second])
    assert Image.open(BytesIO(content)).format == "MPO"
    assert decode(content, LIMITS).shape == (40, 30)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    deep = stroke().astype(np.uint16) * 257
    np.testing.assert_array_equal(decode(encode(Image.fromarray(deep), "PNG"), LIMITS), stroke())
    np.testing.assert_array_equal(decode(encode(Image.fromarray(deep), "TIFF"), LIMITS), stroke())


def test_twelve_bits_in_sixteen_use_the_whole_range() -> None:
    deep = stroke().astype(np.uint16) * 16
    pixels = decode(encode(Image.fromarray(deep), "PNG"), LIMITS)
    assert np.abs(pixels.astype(int) - stroke()).max() <= 1


@pytest.mark.parametrize(
    "values",
    [
        stroke().astype(np.float32),
        stroke().astype(np.float32) / 255,
        (stroke().astype(np.float32) - 20) * 1e6 - 5,
        stroke().astype(np.int32) * 257,
    ],
)
def test_floats_and_wide_integers_keep_their_contrast(values: NDArray[np.generic]) -> None:
    pixels = decode(encode(Image.fromarray(values), "TIFF"), LIMITS)
    assert int(pixels[0, 0]) - int(pixels[20, 8]) > 200


def test_a_float_picture_of_one_negative_value_is_a_picture() -> None:
    pixels = decode(encode(Image.fromarray(np.full((9, 9), -3.5, np.float32)), "TIFF"), LIMITS)
    assert np.ptp(pixels) == 0


def test_ink_in_the_alpha_alone_is_ink() -> None:
    cover = 255 - stroke()
    for ink in (0, 255):
        rgba = np.dstack([np.full((40, 30, 3), ink, np.uint8), cover])
        pixels = decode(encode(Image.fromarray(rgba), "PNG"), LIMITS).astype(int)
        assert abs(pixels[20, 8] - pixels[0, 0]) > 180


def test_a_card_with_transparent_corners_stays_light() -> None:
    alpha = np.full((40, 30), 255, np.uint8)
    alpha[:3, :3] = 0
    rgba = np.dstack([np.dstack([stroke()] * 3), alpha])
    pixels = decode(encode(Image.fromarray(rgba), "PNG"), LIMITS)
    assert pixels[0, 0] == 255
    assert pixels[20, 8] == 20


def test_a_transparent_palette_colour_is_paper() -> None:
    image = Image.fromarray((stroke() > 100).astype(np.uint8))
    image.putpalette([0, 0, 0, 10, 10, 10])
    pixels = decode(encode(image, "GIF", transparency=1), LIMITS)
    assert int(pixels[0, 0]) - int(pixels[20, 8]) > 200


def test_opaque_and_wholly_transparent_pictures_show_their_colours() -> None:
    for alpha in (0, 255):
        rgba = np.dstack([np.dstack([stroke()] * 3), np.full((40, 30), alpha, np.uint8)])
        pixels = decode(encode(Image.fromarray(rgba), "PNG"), LIMITS)
        np.testing.assert_array_equal(pixels, stroke())


def bits(image: Image.Image) -> Image.Image:
    return image.point(lambda value: 255 * (value > 100)).convert("1")


def cmyk(image: Image.Image) -> Image.Image:
    return image.convert("CMYK")


def palette(image: Image.Image) -> Image.Image:
    return image.convert("P")


def lab(image: Image.Image) -> Image.Image:
    cube = np.dstack([np.asarray(image), np.full((40, 30, 2), 128, np.uint8)])
    return Image.frombytes("LAB", image.size, cube.tobytes())


@pytest.mark.parametrize(
    ("change", "form"),
    [(bits, "TIFF"), (palette, "PNG"), (cmyk, "JPEG"), (cmyk, "TIFF"), (lab, "TIFF")],
)
def test_every_mode_keeps_ink_dark(change: Callable[[Image.Image], Image.Image], form: str) -> None:
    pixels = decode(encode(change(Image.fromarray(stroke())), form), LIMITS)
    assert pixels.shape == (40, 30)
    assert int(pixels[0, 0]) - int(pixels[20, 8]) > 180


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(form: str, orientation: int) -> None:
    stored = {
        1: lambda image: image,
        2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
        4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
        6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
        7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
        8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
    }
    upright = stroke()
    upright[:10, 15:] = 20
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(stored[orientation](Image.fromarray(upright)), form, exif=exif)
    pixels = decode(content, LIMITS)
    assert pixels.shape[:2] == (40, 30)
    grey = pixels if pixels.ndim == 2 else pixels.mean(2)
    assert np.abs(grey.astype(float) - upright).mean() < 12


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_pictures_far_larger_than_needed_come_out_smaller(form: str) -> None:
    large = Image.fromarray(stroke()).resize((1500, 2000), Image.Resampling.NEAREST)
    pixels = decode(encode(large, form), LIMITS)
    assert 240 <= min(pixels.shape) < 480
    assert pixels.shape[0] / pixels.shape[1] == pytest.approx(4 / 3, abs=0.01)
    assert int(pixels[0, 0]) - int(pixels[pixels.shape[0] // 2, pixels.shape[1] // 4]) > 180


def test_the_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(UndecodableError("animated", "two frames")))  # noqa: S301 -- our own bytes
    assert (error.reason, error.message) == ("animated", "two frames")
    assert str(error) == "animated: two frames"
