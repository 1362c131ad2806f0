import base64
import io

import numpy as np
import pytest
from PIL import Image

from digitline.report import charts
from digitline.report.pictures import THUMBNAIL, Shot, look
from tests.digitline.report import samples


def test_a_look_is_the_same_however_the_digits_come() -> None:
    digits = samples.sample()
    whole = look([(digits.px, digits.truth)])
    parts = look([(digits.px[i : i + 7], digits.truth[i : i + 7]) for i in range(0, 400, 7)])
    assert (whole.examples == parts.examples).all()
    assert whole.means == pytest.approx(parts.means)
    assert whole.means[3] == pytest.approx(digits.px[digits.truth == 3].mean(axis=0), rel=1e-5)
    assert (whole.examples[3] == digits.px[digits.truth == 3][:12]).all()


def test_a_digit_without_images_is_blank() -> None:
    nothing = look([])
    assert not nothing.examples.any()
    assert not nothing.means.any()


def test_what_the_network_saw_is_embedded_exactly() -> None:
    digit = samples.sample().px[0].reshape(28, 28)
    content = base64.b64decode(charts.picture(digit).partition(",")[2])
    with Image.open(io.BytesIO(content)) as image:
        assert (np.asarray(image.convert("L")) == digit).all()


def test_a_shot_is_small_whatever_came() -> None:
    seen = np.zeros(784, np.uint8)
    wide = Shot.of(np.zeros((500, 3000, 3), np.uint8), seen)
    assert wide.original is not None
    assert max(wide.original.shape) == THUMBNAIL
    assert wide.seen.shape == (28, 28)
    tiny = Shot.of(np.zeros((1, 1), np.uint8), seen)
    assert tiny.original is not None
    assert tiny.original.shape == (1, 1)
    thin = Shot.of(np.zeros((1, 40_000), np.uint8), seen)
    assert thin.original is not None
    assert thin.original.shape == (1, THUMBNAIL)


@pytest.mark.parametrize("mistakes", [False, True])
def test_writing_on_the_heat_map_has_contrast(mistakes: bool) -> None:  # noqa: FBT001 - a case
    values = np.geomspace(1, 1000, 100).reshape(10, 10)
    heat = charts.heat_map(values, mistakes=mistakes)
    for uri, dark in (
        (heat.chart.light, heat.dark_on_light_page),
        (heat.chart.dark, heat.dark_on_dark_page),
    ):
        content = base64.b64decode(uri.partition(",")[2])
        with Image.open(io.BytesIO(content)) as image:
            rgb = np.asarray(image.resize((10, 10), Image.Resampling.NEAREST).convert("RGB")) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        shades = np.tensordot(linear, [0.2126, 0.7152, 0.0722], 1)
        contrast = np.where(np.array(dark, bool), (shades + 0.05) / 0.05, 1.05 / (shades + 0.05))
        assert contrast.min() >= 4.5


def test_empty_cells_stay_clear() -> None:
    heat = charts.heat_map(np.zeros((10, 10)))
    content = base64.b64decode(heat.chart.light.partition(",")[2])
    with Image.open(io.BytesIO(content)) as image:
        assert image.convert("RGBA").getchannel("A").getextrema() == (0, 0)
