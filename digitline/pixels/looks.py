"""Ways for a picture of a digit to come to be: pen, paper, light, clutter and camera."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from digitline.pixels.dice import Dice

Kind = Literal["photo", "scan", "form", "drawing", "tiny", "board"]
Ruling = Literal["none", "box", "corner", "line", "table", "grid", "axis", "bar"]
Colour: TypeAlias = tuple[float, float, float]

_KINDS: Final[tuple[Kind, ...]] = (
    *("photo",) * 4,
    *("scan",) * 2,
    *("form",) * 2,
    *("drawing",) * 3,
    *("tiny",) * 2,
    "board",
)
_ON_PAPER: Final = frozenset({"photo", "scan", "form", "board"})


@dataclass(frozen=True)
class Pen:
    """How the digit is written: shares of its height, and degrees."""

    width: float
    own: bool
    slant: float
    turn: float
    stretch: float
    wobble: float
    gaps: float
    grain: float


@dataclass(frozen=True)
class Scene:
    """What the digit stands on and what stands around it; colours from 0 to 255."""

    ink: Colour
    paper: Colour
    texture: float
    shade: float
    shadow: float
    ruling: Ruling
    neighbours: int
    specks: int


@dataclass(frozen=True)
class Camera:
    """How the scene becomes pixels: size, framing and damage.

    `tight` cuts the frame to the digit, `fit` stretches the digit to the frame.
    """

    height: int
    width: int
    framing: float
    tight: bool
    fit: bool
    blur: float
    noise: float
    jpeg: int
    bilevel: bool
    grey: bool


@dataclass(frozen=True)
class Look:
    """Everything about one picture but the digit."""

    kind: Kind
    pen: Pen
    scene: Scene
    camera: Camera


_INKS: Final[tuple[Colour, ...]] = (
    (20, 20, 25),
    (40, 45, 60),
    (25, 40, 130),
    (40, 70, 170),
    (20, 90, 60),
    (160, 30, 40),
    (90, 90, 95),
    (130, 130, 135),
)
_PAPERS: Final[tuple[Colour, ...]] = (
    (250, 250, 250),
    (225, 225, 222),
    (190, 190, 195),
    (245, 238, 215),
    (250, 235, 110),
    (205, 180, 145),
    (200, 220, 240),
    (165, 160, 155),
)
_SIZES: Final[dict[Kind, tuple[int, int]]] = {
    "photo": (40, 700),
    "scan": (24, 300),
    "form": (30, 250),
    "drawing": (20, 500),
    "tiny": (8, 32),
    "board": (28, 400),
}
_WHITE: Final[Colour] = (255.0, 255.0, 255.0)
_BLACK: Final[Colour] = (0.0, 0.0, 0.0)


def draw_look(dice: Dice) -> Look:
    """Draw a way for a picture to come to be."""
    kind = dice.one_of(_KINDS)
    return Look(kind, _draw_pen(kind, dice), _draw_scene(kind, dice), _draw_camera(kind, dice))


def _draw_pen(kind: Kind, dice: Dice) -> Pen:
    return Pen(
        width=dice.scale(0.05 if kind == "tiny" else 0.012, 0.21),
        own=dice.happens(0.4),
        slant=dice.about(0, 0.15),
        turn=dice.about(0, 6),
        stretch=2 ** dice.about(0, 0.26),
        wobble=dice.between(0, 0.035),
        gaps=dice.between(0.1, 0.4) if dice.happens(0.05) else 0.0,
        grain=dice.between(0, 0.4) if kind in _ON_PAPER else 0.0,
    )


def _draw_scene(kind: Kind, dice: Dice) -> Scene:
    ink, paper = _draw_colours(kind, dice)
    crowded = kind in {"photo", "form"} and dice.happens(0.2)
    return Scene(
        ink=ink,
        paper=paper,
        texture=dice.between(0, 8) if kind in _ON_PAPER else 0.0,
        shade=dice.between(0, 0.6) if kind in {"photo", "board"} else 0.0,
        shadow=dice.between(0.1, 0.5) if kind == "photo" and dice.happens(0.3) else 0.0,
        ruling=_draw_ruling(kind, dice),
        neighbours=dice.whole(1, 2) if crowded else 0,
        specks=dice.whole(1, 12) if kind in _ON_PAPER and dice.happens(0.3) else 0,
    )


def _draw_colours(kind: Kind, dice: Dice) -> tuple[Colour, Colour]:
    """Draw the colours of ink and paper."""
    ink, paper = dice.one_of(_INKS), dice.one_of(_PAPERS)
    if kind != "photo":
        paper = _WHITE
    if kind not in _ON_PAPER and dice.happens(0.8):
        ink = _BLACK
    if kind == "board" or (kind not in _ON_PAPER and dice.happens(0.5)):
        dark = dice.one_of((0, 0, 10, 40, 70))
        light = dice.one_of((255, 255, 230, 180, dark + 45))
        ink, paper = (light, light, light), (dark, dark, dark)
    return ink, paper


def _draw_ruling(kind: Kind, dice: Dice) -> Ruling:
    if kind == "form":
        return dice.one_of(("box", "box", "corner", "line", "table"))
    if kind in _ON_PAPER:
        return dice.one_of(("none", "none", "box", "line", "grid", "corner"))
    return dice.one_of(("axis", "bar")) if dice.happens(0.14) else "none"


def _draw_camera(kind: Kind, dice: Dice) -> Camera:
    sharp = kind in {"drawing", "tiny"}
    height = round(dice.scale(*_SIZES[kind]))
    if sharp and dice.happens(0.5):
        height = dice.one_of((16, 28, 28, 32))
    aspect = 1.0 if dice.happens(0.6) else 2 ** dice.about(0, 0.43)
    damage = 0.2 if sharp else 0.6
    cut_off = 0.5 if sharp else 0.1 if kind in {"scan", "form"} else 0.0
    return Camera(
        height=height,
        width=max(8, round(height * aspect)),
        framing=dice.between(0.7 if kind == "tiny" else 0.39, 1.0),
        tight=dice.happens(0.12),
        fit=dice.happens(0.5 if kind == "tiny" else 0.04),
        blur=0.0 if sharp else dice.between(0, 0.012),
        noise=0.0 if sharp else dice.between(0, 7),
        jpeg=dice.whole(25, 95) if dice.happens(damage) else 0,
        bilevel=dice.happens(cut_off),
        grey=dice.happens(0.5),
    )
