"""Read single images, and show what the network saw: in the terminal or as a page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitline.models.bundle import Model
from digitline.names import portable, printable
from digitline.pixels.decode import Limits, UndecodableError, decode
from digitline.pixels.normalise import normalise
from digitline.rows import PIXELS
from digitline.scoring.answers import ACCEPT, REVIEW
from digitline.sources.files import UnreadableError, read_file

_BLOCKS: Final = (" ", "▄", "▀", "█")
_BAR: Final = 20
_INKED: Final = 96
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}"
    "section{display:flex;gap:1.5rem;margin:2rem 0}img{width:168px;image-rendering:pixelated}"
    "h2{margin:0;font-size:1.2rem;overflow-wrap:anywhere}meter{width:12rem}"
)


@dataclass(frozen=True)
class Reading:
    """How one image was read; `reason` says why a person should look, where one should.

    `digit` is what the network saw, (28, 28) uint8, `probabilities` (10,).
    """

    name: str
    answer: int
    confidence: float
    probabilities: NDArray[np.float32]
    digit: NDArray[np.uint8]
    status: str
    reason: str


@dataclass(frozen=True)
class Unread:
    """An image that could not be read: the reason code, and why."""

    name: str
    reason: str
    message: str

    def __str__(self) -> str:
        """Say it in one line."""
        return printable(f"{self.name}: {self.reason}: {self.message}")


def read_image(path: Path, model: Model, threshold: float, limits: Limits) -> Reading | Unread:
    """Read one image file, or say why that is not possible."""
    name = portable(path)
    try:
        picture = decode(read_file(path, limits.max_bytes), limits)
    except (UnreadableError, UndecodableError) as error:
        return Unread(name, error.reason, error.message)
    normalised = normalise([picture])
    reading = model.read(normalised.digits.reshape(1, PIXELS))
    (probabilities,) = reading.probabilities
    confidence = float(probabilities.max())
    reason = normalised.diagnoses[0].doubt or ("unlike a digit" if reading.odd[0] else "")
    if not reason and confidence < threshold:
        reason = f"less sure than {threshold:.2%}"
    return Reading(
        name=name,
        answer=int(probabilities.argmax()),
        confidence=confidence,
        probabilities=probabilities,
        digit=normalised.digits[0],
        status=REVIEW if reason else ACCEPT,
        reason=reason,
    )


def to_text(reading: Reading) -> str:
    """Draw a reading for the terminal: the verdict, the digit in half blocks, ten bars."""
    picture = _half_blocks(reading.digit)
    bars = ["", *(_bar(digit, share) for digit, share in enumerate(reading.probabilities.tolist()))]
    bars += [""] * (len(picture) - len(bars))
    lines = [f"  {left}   {right}".rstrip() for left, right in zip(picture, bars, strict=True)]
    return "\n".join([f"{printable(reading.name)}: {verdict(reading)}", *lines])


def verdict(reading: Reading) -> str:
    """Say what was read, how sure, and whether a person should look."""
    status = f"{reading.status}: {reading.reason}" if reading.reason else reading.status
    return f"{reading.answer}, {reading.confidence:.2%} sure ({status})"


def to_page(readings: Sequence[Reading | Unread]) -> str:
    """Write readings as one HTML page that needs nothing else."""
    sections = "\n".join(map(_section, readings))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>Digitline: {len(readings)} read</title>\n<style>{_STYLE}</style></head>\n"
        f"<body><h1>What was read</h1>\n{sections}\n</body></html>\n"
    )


def _section(reading: Reading | Unread) -> str:
    name = escape(printable(reading.name))
    if isinstance(reading, Unread):
        words = escape(printable(f"{reading.reason}: {reading.message}"))
        return f"<section><div><h2>{name}</h2><p>{words}</p></div></section>"
    rows = "".join(
        f"<div>{digit} <meter value='{share:.4f}' aria-label='{digit}'></meter> {share:.2%}</div>"
        for digit, share in enumerate(reading.probabilities.tolist())
    )
    return (
        f"<section><img alt='what the network saw' src='{_data_uri(reading.digit)}'>"
        f"<div><h2>{name}</h2><p>{escape(verdict(reading))}</p>{rows}</div></section>"
    )


def _data_uri(digit: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(digit).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _half_blocks(digit: NDArray[np.uint8]) -> list[str]:
    inked = (digit > _INKED).astype(np.intp)
    cells = 2 * inked[0::2] + inked[1::2]
    return ["".join(_BLOCKS[cell] for cell in row) for row in cells.tolist()]


def _bar(digit: int, share: float) -> str:
    return f"{digit} {'█' * round(share * _BAR):<{_BAR}} {share:7.2%}"
