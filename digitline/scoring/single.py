"""Read single images, and show what the network saw: in the terminal or as a page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final, Protocol

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

    @property
    def verdict(self) -> str:
        """Say what was read, how sure, and whether a person should look."""
        status = f"{self.status}: {self.reason}" if self.reason else self.status
        return f"{self.answer}, {self.confidence:.2%} sure ({status})"

    def to_text(self) -> str:
        """Draw it for the terminal: the verdict, the digit in half blocks, ten bars."""
        picture = half_blocks(self.digit)
        bars = ["", *(_bar(digit, share) for digit, share in enumerate(self.shares))]
        bars += [""] * (len(picture) - len(bars))
        lines = [f"  {left}   {right}".rstrip() for left, right in zip(picture, bars, strict=True)]
        return "\n".join([f"{printable(self.name)}: {self.verdict}", *lines])

    def to_html(self) -> str:
        """Write it as a section of a page."""
        rows = "".join(
            f"<div>{digit} <meter value='{share:.4f}' aria-label='{digit}'></meter> "
            f"{share:.2%}</div>"
            for digit, share in enumerate(self.shares)
        )
        return (
            f"<section>{to_image(self.digit)}<div><h2>{escape(printable(self.name))}</h2>"
            f"<p>{escape(self.verdict)}</p>{rows}</div></section>"
        )

    @property
    def shares(self) -> list[float]:
        """Give the probabilities as plain numbers."""
        return [float(share) for share in self.probabilities]


class Shown(Protocol):
    """What a page can show."""

    def to_html(self) -> str:
        """Write it as a section of a page."""


@dataclass(frozen=True)
class Unread:
    """An image that could not be read: the reason code, and why."""

    name: str
    reason: str
    message: str

    def __str__(self) -> str:
        """Say it in one line."""
        return printable(f"{self.name}: {self.reason}: {self.message}")

    def to_html(self) -> str:
        """Write it as a section of a page."""
        words = escape(printable(f"{self.reason}: {self.message}"))
        name = escape(printable(self.name))
        return f"<section><div><h2>{name}</h2><p>{words}</p></div></section>"


def read_image(path: Path, model: Model, threshold: float, limits: Limits) -> Reading | Unread:
    """Read one image file, or say why that is not possible."""
    name, picture = portable(path), open_picture(path, limits)
    if isinstance(picture, Unread):
        return picture
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


def open_picture(path: Path, limits: Limits) -> NDArray[np.uint8] | Unread:
    """Open an image file, or say why that is not possible."""
    try:
        return decode(read_file(path, limits.max_bytes), limits)
    except (UnreadableError, UndecodableError) as error:
        return Unread(portable(path), error.reason, error.message)


def to_page(readings: Sequence[Shown]) -> str:
    """Write readings as one HTML page that needs nothing else."""
    sections = "\n".join(reading.to_html() for reading in readings)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>Digitline: {len(readings)} read</title>\n<style>{_STYLE}</style></head>\n"
        f"<body><h1>What was read</h1>\n{sections}\n</body></html>\n"
    )


def to_image(digit: NDArray[np.uint8]) -> str:
    """Write what the network saw, (28, 28), as an image of a page that needs no other file."""
    buffer = io.BytesIO()
    Image.fromarray(digit).save(buffer, "PNG")
    content = base64.b64encode(buffer.getvalue()).decode()
    return f"<img alt='what the network saw' src='data:image/png;base64,{content}'>"


def half_blocks(digit: NDArray[np.uint8]) -> list[str]:
    """Draw a (28, 28) digit in 14 lines of text."""
    inked = (digit > _INKED).astype(np.intp)
    cells = 2 * inked[0::2] + inked[1::2]
    return ["".join(_BLOCKS[cell] for cell in row) for row in cells.tolist()]


def _bar(digit: int, share: float) -> str:
    return f"{digit} {'█' * round(share * _BAR):<{_BAR}} {share:7.2%}"
