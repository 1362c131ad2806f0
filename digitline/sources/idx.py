"""Digits in IDX, the format MNIST came in: big-endian header, then unsigned bytes."""

import gzip
import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitline.errors import DataError, SourceError
from digitline.sources.files import reading
from digitline.sources.item import Item, Part, Source

_NAME = re.compile(r"(?P<part>train|t10k|test)[-._](?P<what>images|labels)[-._]idx[13][-._]ubyte")
_IMAGES, _LABELS = 0x0803, 0x0801  # unsigned bytes (08) in three dimensions, in one
_CHUNK = 1 << 20  # bytes read at a time
_MAX_SIDE = 4096
_GZIP = b"\x1f\x8b"
_REMEDY = "Fetch the file again"


@dataclass(frozen=True)
class Pair:
    """The image file and the label file of one part."""

    images: Path
    labels: Path


def find_pairs(directory: Path) -> dict[Part, Pair]:
    """Find the IDX files of a directory under their usual names, plain or gzipped.

    Raises `SourceError` where a part has images or labels alone, or twice.
    """
    found: dict[tuple[Part, str], Path] = {}
    for path in sorted(directory.iterdir()):
        match = _match(path.name)
        if match is None:
            continue
        key: tuple[Part, str] = ("train" if match["part"] == "train" else "test", match["what"])
        if key in found:
            raise SourceError(
                f"both {found[key].name} and {path.name} hold the {key[0]} {key[1]}",
                where=directory,
                todo="Keep one of the two",
            )
        found[key] = path
    return {part: _pair(found, part, directory) for part, _ in found}


def is_idx(name: str) -> bool:
    """Tell whether a file goes by one of the usual names."""
    return _match(name) is not None


def open_idx(directory: Path) -> Source:
    """Open the IDX files of a directory; `DataError` for a wrong magic number or length."""
    pairs = find_pairs(directory)
    for pair in pairs.values():
        _check_pair(pair)
    return Source(
        kind="idx",
        where=str(directory),
        readers={part: partial(_read, part, pair) for part, pair in pairs.items()},
    )


def encode_png(px: NDArray[np.uint8]) -> bytes:
    """Encode pixels, (h, w) grey, with Pillow's defaults: anyone's export gives the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(px).save(buffer, "PNG")
    return buffer.getvalue()


def name_image(part: Part, number: int) -> str:
    """Name the image at that place of a part that has no names of its own."""
    return f"{part}/{number:05}.png"


def _match(name: str) -> re.Match[str] | None:
    return _NAME.fullmatch(name.lower().removesuffix(".gz"))


def _pair(found: dict[tuple[Part, str], Path], part: Part, directory: Path) -> Pair:
    for what in ("images", "labels"):
        if (part, what) not in found:
            raise SourceError(
                f"the {part} {what} are missing",
                where=directory,
                todo="IDX comes in pairs, such as train-images-idx3-ubyte and "
                "train-labels-idx1-ubyte",
            )
    return Pair(found[part, "images"], found[part, "labels"])


def _check_pair(pair: Pair) -> None:
    with _opened(pair.images) as images, _opened(pair.labels) as labels:
        count, _, _ = _image_header(images, pair.images)
        labelled = _label_header(labels, pair.labels)
    if count != labelled:
        raise DataError(
            f"{count} images but {labelled} labels", where=pair.images.parent, todo=_REMEDY
        )


def _read(part: Part, pair: Pair) -> Iterator[Item]:
    with _opened(pair.images) as images, _opened(pair.labels) as labels:
        count, height, width = _image_header(images, pair.images)
        if _label_header(labels, pair.labels) != count:
            raise DataError("not a label for each image", where=pair.labels, todo=_REMEDY)
        step = max(1, _CHUNK // (height * width))
        for start in range(0, count, step):
            size = min(step, count - start)
            digits = _take(images, size * height * width, pair.images)
            named = _take(labels, size, pair.labels)
            block = np.frombuffer(digits, np.uint8).reshape(size, height, width)
            for number, (px, label) in enumerate(zip(block, named, strict=True), start):
                yield Item(name_image(part, number), label, encode_png(px))
        for file, path in ((images, pair.images), (labels, pair.labels)):
            if _read_some(file, 1, path):
                raise DataError("longer than its header says", where=path, todo=_REMEDY)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, unpacking it where it is gzip whatever its name says."""
    with reading(path):
        plain = path.open("rb")
    with plain:
        if plain.peek(2)[:2] == _GZIP:
            with gzip.open(plain) as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            yield plain


def _image_header(file: IO[bytes], path: Path) -> tuple[int, int, int]:
    magic, count, height, width = struct.unpack(">IIII", _take(file, 16, path))
    if magic != _IMAGES:
        raise DataError(
            f"magic number {magic:#010x}, not {_IMAGES:#010x}", where=path, todo=_REMEDY
        )
    if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
        raise DataError(f"images of {height} x {width} pixels", where=path, todo=_REMEDY)
    return count, height, width


def _label_header(file: IO[bytes], path: Path) -> int:
    magic, count = struct.unpack(">II", _take(file, 8, path))
    if magic != _LABELS:
        raise DataError(
            f"magic number {magic:#010x}, not {_LABELS:#010x}", where=path, todo=_REMEDY
        )
    return int(count)


def _take(file: IO[bytes], size: int, path: Path) -> bytes:
    content = _read_some(file, size, path)
    if len(content) != size:
        raise DataError("shorter than its header says", where=path, todo=_REMEDY)
    return content


def _read_some(file: IO[bytes], size: int, path: Path) -> bytes:
    with reading(path):
        try:
            return file.read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError("the gzip stream is broken", where=path, todo=_REMEDY) from error
