"""Read single images of a row of digits, and show what the network saw of each digit."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

from digitline.models.bundle import Model
from digitline.names import portable, printable
from digitline.pixels.decode import Limits
from digitline.scoring.fields import Field, read_field
from digitline.scoring.legal import Legal
from digitline.scoring.single import Unread, half_blocks, open_picture, to_image


@dataclass(frozen=True)
class FieldReading:
    """How one image of a row of digits was read."""

    name: str
    field: Field

    @property
    def verdict(self) -> str:
        """Say what was read, how sure, and whether a person should look."""
        field = self.field
        status = f"{field.status}: {field.reason}" if field.reason else field.status
        return f"{field.text or 'nothing'}, {field.confidence:.2%} sure ({status})"

    def to_text(self) -> str:
        """Draw it for the terminal: the verdict, and what was seen, in half blocks."""
        pictures = map(half_blocks, self.field.seen)
        lines = ["".join(row).rstrip() for row in zip(*pictures, strict=True)]
        while lines and not lines[0]:
            del lines[0]
        while lines and not lines[-1]:
            del lines[-1]
        shares = "".join(
            f"{f'{digit} {share:.2%}':^28}"
            for digit, share in zip(self.field.text, self.field.sure, strict=True)
        ).rstrip()
        return "\n".join([f"{printable(self.name)}: {self.verdict}", *lines, shares]).rstrip()

    def to_html(self) -> str:
        """Write it as a section of a page."""
        images = "".join(map(to_image, self.field.seen))
        return (
            f"<section><div><h2>{escape(printable(self.name))}</h2>"
            f"<p>{escape(self.verdict)}</p>{images}</div></section>"
        )


def read_field_image(
    path: Path, model: Model, threshold: float, limits: Limits, legal: Legal
) -> FieldReading | Unread:
    """Read one image file, or say why that is not possible."""
    name, picture = portable(path), open_picture(path, limits)
    if isinstance(picture, Unread):
        return picture
    return FieldReading(name, read_field(picture, model, threshold, legal.rules(name)))
