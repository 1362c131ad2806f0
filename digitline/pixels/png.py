"""PNG files that hold a picture and nothing else: decoded by Pillow without its search for more."""

from struct import Struct
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Signature; length, kind, contents and checksum of the first chunk.
_HEAD: Final = Struct(">8s I4s IIBBBBB I")
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHUNK: Final = Struct(">I4s")
_CHECKSUM: Final = Struct(">I")
_GREY: Final = 0
_MODES: Final = {_GREY: "L", 2: "RGB"}
_EIGHT_BITS: Final = 8
# In larger pictures the search costs next to nothing.
_MOST_PIXELS: Final = 1 << 20


def decode_plain_png(content: bytes) -> NDArray[np.uint8] | None:
    """Decode a small PNG of 8 bits, grey (h, w) or RGB (h, w, 3), neither interlaced nor animated.

    `None` for whatever else there may be, and for anything damaged: that takes a closer look.
    """
    if len(content) < _HEAD.size:
        return None
    signature, length, kind, *header, checksum = _HEAD.unpack_from(content)
    width, height, depth, colour, *methods = header
    if (signature, length, kind) != (_SIGNATURE, 13, b"IHDR") or any(methods):
        return None
    if depth != _EIGHT_BITS or colour not in _MODES or not 0 < width * height <= _MOST_PIXELS:
        return None
    packed = _only_pixels(content) if crc32(content[12:29]) == checksum else None
    if packed is None:
        return None
    mode = _MODES[colour]
    try:
        image = Image.frombytes(mode, (width, height), packed, "zip", mode, 0)
    except ValueError:  # too few pixels, or broken ones
        return None
    shape = (height, width) if colour == _GREY else (height, width, 3)
    return np.frombuffer(image.tobytes(), np.uint8).reshape(shape)


def _only_pixels(content: bytes) -> bytes | None:
    """Join the packed pixels; `None` where there are other chunks, or one is not whole."""
    pieces: list[bytes] = []
    place = _HEAD.size
    while len(content) - place >= _CHUNK.size + _CHECKSUM.size:
        length, kind = _CHUNK.unpack_from(content, place)
        start, stop = place + _CHUNK.size, place + _CHUNK.size + length
        place = stop + _CHECKSUM.size
        if place > len(content) or kind not in {b"IDAT", b"IEND"}:
            return None
        if crc32(content[start - 4 : stop]) != _CHECKSUM.unpack_from(content, stop)[0]:
            return None
        if kind == b"IEND":
            return b"".join(pieces) if place == len(content) and pieces else None
        pieces.append(content[start:stop])
    return None
