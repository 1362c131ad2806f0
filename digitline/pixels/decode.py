"""From the bytes of an image file to an array of pixels, whatever the bytes are."""

import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from digitline.pixels.png import decode_plain_png

Reason = Literal["empty", "truncated", "unsupported", "too-large", "animated", "unreadable"]

# Raster formats whose content can be told from its first bytes; MPO (many phones' JPEG)
# comes in through JPEG. Formats that run programs or guess at headerless bytes stay out.
_FORMATS: Final = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")
_MAGIC: Final = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"\x00\x00\x00\x0cjP  \r\n": "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
    b"RIFF": "RIFF",
}
# One digit needs no more than this many pixels on the shorter side: the thinnest of strokes
# (0.01 of a height that is 0.39 of the frame) is still a pixel wide.
DETAIL: Final = 240
_GREY_AXES: Final = 2
_EIGHT_BITS: Final = 255
_TWELVE_BITS: Final = 4095
_SIXTEEN_BITS: Final = 65535

# One thread at a time may point the terminal elsewhere.
_STDERR: Final = threading.Lock()

# Pillow's warnings about a damaged file would reach the terminal through the last-resort handler.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Limits:
    """What one image may cost: bytes of the file, and pixels once decoded."""

    max_bytes: int = field(
        default=64 << 20, metadata={"description": "largest image file that is read, in bytes"}
    )
    max_pixels: int = field(
        default=64_000_000, metadata={"description": "largest image that is decoded, in pixels"}
    )


class UndecodableError(Exception):
    """The bytes give no picture: a short `reason` code, and a `message` for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        """Give the reason code and the sentence that explains it."""
        super().__init__(reason, message)
        self.reason: Reason = reason
        self.message = message

    def __str__(self) -> str:
        """Say both in one line."""
        return f"{self.reason}: {self.message}"


def decode(content: bytes, limits: Limits, *, detail: int = DETAIL) -> NDArray[np.uint8]:
    """Decode an image file to (h, w) grey or (h, w, 3) RGB; raise `UndecodableError`.

    The content decides about the format, never a name. Images whose shorter side has twice the
    `detail` (in pixels) or more come out smaller, 16-bit and float values scaled, transparency
    filled with a paper that the ink stands out from, EXIF-rotated pictures upright.
    """
    if not content:
        raise UndecodableError("empty", "the file has no bytes")
    if len(content) > limits.max_bytes:
        raise UndecodableError(
            "too-large", f"{len(content):,} bytes; the limit is {limits.max_bytes:,}"
        )
    plain = decode_plain_png(content)
    if plain is not None and plain.shape[0] * plain.shape[1] <= limits.max_pixels:
        return _shrink(plain if plain.ndim == _GREY_AXES else _plain(plain), detail)
    with (
        _silence(content),
        _explained(content),
        Image.open(BytesIO(content), formats=_FORMATS) as image,
    ):
        _refuse(image, limits)
        image.draft(None, (detail, detail))
        image.load()
        return _shrink(_to_array(_upright(image)), detail)


@contextmanager
def _silence(content: bytes) -> Iterator[None]:
    """Keep Pillow's warnings, and what libtiff writes to the terminal by itself, to ourselves."""
    with ExitStack() as quiet:
        quiet.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if _known(content) == "TIFF":
            quiet.enter_context(_STDERR)
            quiet.callback(os.close, saved := os.dup(2))
            quiet.callback(os.dup2, saved, 2)
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
        yield


@contextmanager
def _explained(content: bytes) -> Iterator[None]:
    try:
        yield
    except UndecodableError:
        raise
    except Image.DecompressionBombError as error:
        raise UndecodableError("too-large", _sentence(error)) from None
    except UnidentifiedImageError:
        raise _unidentified(content) from None
    except Exception as error:  # noqa: BLE001 -- on damaged bytes Pillow's plug-ins raise anything
        reason: Reason = "truncated" if _cut_short(content, error) else "unreadable"
        raise UndecodableError(reason, _sentence(error)) from None


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _cut_short(content: bytes, error: Exception) -> bool:
    return isinstance(error, EOFError) or "truncated" in str(error).lower() or _lacks_end(content)


def _lacks_end(content: bytes) -> bool:
    """Say whether the file is shorter than it promises, or lacks its format's last bytes."""
    if any(magic.startswith(content) for magic in _MAGIC):
        return True
    lacks_end = _ENDS.get(_known(content) or "")
    return lacks_end is not None and lacks_end(content)


def _little(content: bytes) -> int:
    return int.from_bytes(content, "little")


_ENDS: Final[dict[str, Callable[[bytes], bool]]] = {
    "PNG": lambda content: b"IEND" not in content[-12:],
    "JPEG": lambda content: b"\xff\xd9" not in content[-16:],
    "JPEG2000": lambda content: b"\xff\xd9" not in content[-16:],
    "GIF": lambda content: b";" not in content[-2:],
    "BMP": lambda content: len(content) < _little(content[2:6]),
    "WEBP": lambda content: len(content) < _little(content[4:8]) + 8,
    "TIFF": lambda content: (
        len(content)
        < int.from_bytes(content[4:8], "little" if content.startswith(b"II") else "big") + 2
    ),
}


def _known(content: bytes) -> str | None:
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in _MAGIC.items() if content.startswith(magic)), None)


def _unidentified(content: bytes) -> UndecodableError:
    if _lacks_end(content):
        return UndecodableError("truncated", "the file ends before its picture begins")
    if _known(content):
        return UndecodableError("unreadable", "the file begins like an image but is damaged")
    return UndecodableError(
        "unsupported", "not an image in a known format (PNG, JPEG, TIFF, BMP, GIF, WebP, PNM, JP2)"
    )


def _refuse(image: Image.Image, limits: Limits) -> None:
    pixels = image.width * image.height
    if pixels > limits.max_pixels:
        size = f"{image.width:,} x {image.height:,}"
        raise UndecodableError("too-large", f"{size} pixels; the limit is {limits.max_pixels:,}")
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise UndecodableError("animated", "the file holds several frames or pages")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 -- a damaged EXIF block says nothing about which way is up
        return image


def _to_array(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in {"I", "F"} or image.mode.startswith("I;"):
        return _to_eight_bits(np.asarray(image))
    if image.mode in {"LAB", "HSV"}:
        # Lightness, and value, are the grey picture.
        return np.asarray(image.getchannel("L" if image.mode == "LAB" else "V"))
    if image.has_transparency_data:
        return _without_alpha(np.asarray(image.convert("RGBA")))
    if image.mode in {"1", "L"}:
        return np.asarray(image.convert("L"))
    return _plain(np.asarray(image.convert("RGB")))


def _to_eight_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Scale (h, w) integers or floats to 0..255 by the depth their range points at."""
    deep = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(deep.min()), float(deep.max())
    whole = np.issubdtype(values.dtype, np.integer)
    depths = (
        (_EIGHT_BITS, _TWELVE_BITS, _SIXTEEN_BITS) if whole else (1, _EIGHT_BITS, _SIXTEEN_BITS)
    )
    top = float(next((depth for depth in depths if high <= depth), 0))
    if low < 0 or top == 0:
        deep, top = deep - low, high - low or 1.0
    scaled: NDArray[np.uint8] = np.rint(deep * (_EIGHT_BITS / top)).astype(np.uint8)
    return scaled


def _without_alpha(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a partly transparent (h, w, 4) picture on a paper its ink stands out from."""
    colour, alpha = rgba[..., :3], rgba[..., 3]
    if alpha.min() == _EIGHT_BITS or alpha.max() == 0:
        return _plain(colour)
    cover = alpha.astype(np.float32)[..., None] / _EIGHT_BITS
    laid = colour * cover + _paper(colour, alpha) * (1.0 - cover)
    return _plain(np.rint(laid).astype(np.uint8))


def _paper(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> float:
    """Choose black or white: what is seen is ink, unless most of it is a card written on."""
    grey = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)
    seen = grey[alpha > alpha.max() // 2]
    low, middle, high = np.percentile(seen, [2, 50, 98])
    card = seen.size > grey.size // 2 and high - low > _EIGHT_BITS // 4
    light = middle > _EIGHT_BITS // 2
    return float(_EIGHT_BITS) if light == card else 0.0


def _plain(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Drop the colours of a picture that is grey."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return np.ascontiguousarray(red)
    return rgb


def _shrink(pixels: NDArray[np.uint8], detail: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    factor = min(height, width) // detail
    if factor <= 1:
        return pixels
    size = (width // factor, height // factor)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
