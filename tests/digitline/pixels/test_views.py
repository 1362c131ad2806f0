"""Whatever a picture of a digit is like, the digit comes out; what is none is in doubt."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from digitline.pixels.normalise import normalise

Picture = NDArray[np.uint8]
INK, PAPER, SIDE = 30, 220, 120


def draw(pen: int = 8, *, ink: int = INK, paper: int = PAPER) -> Picture:
    """Draw a 3 with `pen` wide strokes in the middle of a square sheet."""
    sheet: Picture = np.full((SIDE, SIDE), paper, np.uint8)
    for middle in (42, 76):
        cv2.ellipse(sheet, (56, middle), (20, 17), 0, -120, 100, float(ink), pen, cv2.LINE_AA)
    return sheet


def likeness(one: Picture, other: Picture) -> float:
    return float(np.corrcoef(one.ravel().astype(float), other.ravel().astype(float))[0, 1])


def digit_of(picture: Picture) -> Picture:
    digit: Picture = normalise([picture]).digits[0]
    return digit


def doubt_of(picture: Picture) -> str:
    return normalise([picture]).diagnoses[0].doubt


def frame(picture: Picture) -> Picture:
    return np.asarray(cv2.rectangle(picture, (3, 3), (116, 116), 40, 2), np.uint8)


def underline(picture: Picture) -> Picture:
    return np.asarray(cv2.line(picture, (0, 100), (119, 101), 40, 2), np.uint8)


def cross(picture: Picture) -> Picture:
    return np.asarray(cv2.line(picture, (0, 76), (119, 77), 60, 2), np.uint8)


def rule_a_table(picture: Picture) -> Picture:
    return np.asarray(cv2.line(picture, (108, 0), (108, 119), 60, 2), np.uint8)


def rule_a_grid(picture: Picture) -> Picture:
    for place in range(0, SIDE, 24):
        cv2.line(picture, (place, 0), (place, SIDE), 180, 1)
        cv2.line(picture, (0, place), (SIDE, place), 180, 1)
    return picture


def let_a_neighbour_in(picture: Picture) -> Picture:
    return np.asarray(cv2.ellipse(picture, (122, 60), (14, 30), 0, 0, 360, INK, 8), np.uint8)


def sprinkle(picture: Picture) -> Picture:
    for x, y in np.random.default_rng(0).integers(0, SIDE, (12, 2)).tolist():
        cv2.circle(picture, (x, y), 1, INK, -1)
    return picture


def shade(picture: Picture) -> Picture:
    return np.asarray(picture * np.linspace(0.35, 1, SIDE), np.uint8)


def cast_a_shadow(picture: Picture) -> Picture:
    down, across = np.mgrid[:SIDE, :SIDE]
    return np.asarray(picture * np.where(down + across > 130, 0.55, 1), np.uint8)


def tint(picture: Picture) -> Picture:
    channels = [
        np.interp(picture, (INK, PAPER), ends) for ends in ((30, 250), (50, 235), (140, 110))
    ]
    return np.stack(channels, axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    "trouble",
    [
        *(frame, underline, cross, rule_a_table, rule_a_grid, let_a_neighbour_in, sprinkle),
        *(shade, cast_a_shadow, tint),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_what_is_not_the_digit_goes(trouble: Callable[[Picture], Picture], *, turned: bool) -> None:
    picture = trouble(draw())
    normalised = normalise([~picture if turned else picture])
    assert normalised.diagnoses[0].doubt == ""
    assert normalised.diagnoses[0].polarity == ("light" if turned else "dark")
    assert likeness(normalised.digits[0], digit_of(draw())) > 0.85


@pytest.mark.parametrize("pen", [1, 2, 4, 8, 12, 16])
@pytest.mark.parametrize(("ink", "paper"), [(30, 220), (145, 220), (40, 0)])
def test_pens_thin_or_thick_faint_or_dim_write_the_same_digit(
    pen: int, ink: int, paper: int
) -> None:
    found = normalise([draw(pen, ink=ink, paper=paper)])
    assert found.diagnoses[0].doubt == ""
    assert likeness(found.digits[0], digit_of(draw())) > 0.75


@pytest.mark.parametrize("width", [0.01, 0.03, 0.1, 0.21])
@pytest.mark.parametrize("turned", [False, True])
def test_strokes_from_a_hundredth_to_a_fifth_of_the_height(width: float, *, turned: bool) -> None:
    large: Picture = np.full((600, 600), PAPER, np.uint8)
    pen = max(1, round(width * 400))
    for middle in (210, 380):
        cv2.ellipse(large, (280, middle), (100, 85), 0, -120, 100, float(INK), pen, cv2.LINE_AA)
    found = normalise([~large if turned else large])
    assert found.diagnoses[0].doubt == ""
    assert found.diagnoses[0].polarity == ("light" if turned else "dark")
    assert likeness(found.digits[0], digit_of(draw())) > 0.75


INKS = [(20, 20, 25), (40, 60, 160), (20, 90, 60), (170, 30, 40)]
PAPERS = [(250, 250, 250), (250, 235, 110), (205, 180, 145), (200, 220, 240), (150, 190, 150)]


@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize("paper", PAPERS)
def test_any_usual_ink_is_read_on_any_usual_paper(
    ink: tuple[int, int, int], paper: tuple[int, int, int]
) -> None:
    cover = (PAPER - draw(4).astype(float))[..., None] / (PAPER - INK)
    coloured = np.rint(paper + cover * (np.array(ink) - paper)).astype(np.uint8)
    found = normalise([coloured])
    assert (found.diagnoses[0].polarity, found.diagnoses[0].doubt) == ("dark", "")
    assert likeness(found.digits[0], digit_of(draw(4))) > 0.9


@pytest.mark.parametrize("turned", [False, True])
def test_a_bold_digit_may_cover_most_of_its_frame(*, turned: bool) -> None:
    eight = np.full((120, 90), PAPER, np.uint8)
    for middle, radius in ((34, 24), (84, 28)):
        cv2.circle(eight, (45, middle), radius, INK, 24, cv2.LINE_AA)
    picture = eight[4:116, 2:88]
    assert (picture < 120).mean() > 0.55
    found = normalise([~picture if turned else picture])
    assert found.diagnoses[0].polarity == ("light" if turned else "dark")
    assert found.digits[0][14, 14] > 128
    assert found.digits[0][4:24].max(axis=1).min() > 128


def test_faint_lines_do_not_stay_in_a_bold_digit() -> None:
    picture = draw(12)
    for place in (20, 57, 94):
        cv2.line(picture, (place, 0), (place, SIDE), 160, 2)
        cv2.line(picture, (0, place), (SIDE, place + 1), 160, 2)
    np.minimum(picture, draw(12), out=picture)
    assert likeness(digit_of(picture), digit_of(draw(12))) > 0.9


@pytest.mark.parametrize("turned", [False, True])
def test_a_line_goes_whatever_its_slope(*, turned: bool) -> None:
    for rise in (-3, -1, 0, 2, 3):
        picture = draw(6)
        cv2.line(picture, (0, 76 + rise), (SIDE, 76 - rise), 90, 5, cv2.LINE_AA)
        picture = np.minimum(picture, draw(6))
        digit = digit_of(~picture if turned else picture)
        assert likeness(digit, digit_of(draw(6))) > 0.75


def test_a_small_loop_stays_open_when_its_thin_stroke_is_thickened() -> None:
    nine = np.full((200, 120), PAPER, np.uint8)
    cv2.ellipse(nine, (52, 36), (11, 14), 0, 0, 360, float(INK), 3, cv2.LINE_AA)
    cv2.line(nine, (63, 34), (56, 180), INK, 3, cv2.LINE_AA)
    digit = digit_of(nine)
    _, holes = cv2.connectedComponents(np.where(digit > 160, 0, 255).astype(np.uint8), None, 4)
    assert len(np.unique(holes)) == 3  # ink, the paper around, and the loop


@settings(max_examples=30, deadline=None)
@given(
    framing=st.floats(0.39, 1.0),
    across=st.floats(0, 1),
    down=st.floats(0, 1),
    size=st.integers(28, 300),
    turned=st.booleans(),
)
def test_framing_place_and_size_change_nothing(
    *, framing: float, across: float, down: float, size: int, turned: bool
) -> None:
    digit = draw()[12:102, 28:88]
    side = round(90 / framing)
    picture = np.full((side, side), PAPER, np.uint8)
    top, left = round(down * (side - 90)), round(across * (side - 60))
    picture[top : top + 90, left : left + 60] = digit
    scaled = np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    found = digit_of(~scaled if turned else scaled)
    assert likeness(found, digit_of(draw())) > 0.7


@pytest.mark.parametrize(("width", "height"), [(40, 200), (200, 40), (8, 8), (1000, 200)])
def test_long_frames_keep_their_shape_in_either_polarity(width: int, height: int) -> None:
    tight = draw()[18:100, 30:82]
    picture = np.asarray(cv2.resize(tight, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    digit = digit_of(picture)
    np.testing.assert_array_equal(digit, digit_of(~picture))
    _, _, wide, tall = cv2.boundingRect(digit)
    assert wide / tall == pytest.approx(width / height, rel=0.35)


def test_a_huge_picture_is_read() -> None:
    huge = np.asarray(cv2.resize(draw(), (4000, 4000), interpolation=cv2.INTER_CUBIC), np.uint8)
    assert likeness(digit_of(huge), digit_of(draw())) > 0.9


def test_a_bar_apart_from_its_digit_stays_with_it() -> None:
    five = np.zeros((16, 16), np.uint8)
    five[0:2, 5:16] = five[7:9, 2:11] = five[14:16, 0:11] = 255
    five[3:8, 2:4] = five[8:15, 10:12] = 255
    five[2:4] = 0
    _, _, _, tall = cv2.boundingRect(digit_of(five))
    assert digit_of(five)[4:6].any()
    assert tall >= 19


def test_a_stroke_that_fades_stays_whole() -> None:
    two = np.full((SIDE, SIDE), PAPER, np.uint8)
    cv2.ellipse(two, (60, 42), (20, 20), 0, 180, 400, 90, 5, cv2.LINE_AA)
    cv2.line(two, (74, 57), (42, 96), 170, 4, cv2.LINE_AA)
    cv2.line(two, (42, 96), (88, 96), 90, 5, cv2.LINE_AA)
    _, top, _, tall = normalise([two]).diagnoses[0].box
    assert top < 26
    assert top + tall > 92


def write(text: str, width: int) -> Picture:
    sheet: Picture = np.full((120, width), 230, np.uint8)
    cv2.putText(sheet, text, (15, 95), cv2.FONT_HERSHEY_SIMPLEX, 2.6, 20, 6, cv2.LINE_AA)
    return sheet


def write_a_page() -> Picture:
    page: Picture = np.full((200, 300), 240, np.uint8)
    for line in range(6):
        place = (8, 30 + 28 * line)
        cv2.putText(page, "a page of 123", place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 20, 1, cv2.LINE_AA)
    return page


def draw_a_disc() -> Picture:
    sheet: Picture = np.full((SIDE, SIDE), PAPER, np.uint8)
    return np.asarray(cv2.circle(sheet, (60, 60), 45, INK, -1), np.uint8)


@pytest.mark.parametrize(
    ("picture", "doubts"),
    [
        (np.full((50, 70), 200, np.uint8), {"blank"}),
        (write("47", 160), {"several"}),
        (write("47", 160)[30:100, 14:130], {"several"}),
        (write("47", 160)[:, :100], {"several"}),
        (write("385", 220), {"several", "page"}),
        (write_a_page(), {"page"}),
        (draw_a_disc(), {"solid"}),
        (
            np.repeat([[0, 255] * 8], 96, axis=0).repeat(6, axis=1).astype(np.uint8),
            {"several", "page"},
        ),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_what_is_no_digit_is_in_doubt(picture: Picture, doubts: set[str], *, turned: bool) -> None:
    assert doubt_of(~picture if turned else picture) in doubts


def test_a_part_of_a_neighbour_leaves_no_doubt() -> None:
    assert doubt_of(write("47", 160)[:, :82]) == ""


def test_tiny_pictures_keep_their_wide_strokes() -> None:
    digits, _ = load_digits(return_X_y=True)
    pictures = np.rint(digits[:400].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    found = normalise(list(pictures)).diagnoses
    lost = [
        seen.ink_share < 0.6 * (picture > 160).mean()
        for picture, seen in zip(pictures, found, strict=True)
    ]
    assert not any(lost)
