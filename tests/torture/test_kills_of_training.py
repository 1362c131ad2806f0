"""A training killed again and again ends with the weights of one left alone."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.home import Home
from digitline.learning.fit import Part, fit
from digitline.learning.recipe import Recipe
from digitline.models.pickling import to_bytes
from digitline.pixels.normalise import NORMALISER
from digitline.rows import normalised_batch, normalised_schema, write_rows
from tests.torture.attack import Attack
from tests.torture.nursery import Nursery

FITS = Attack(
    row=4,
    name="SIGKILL of a fit at random moments, and again until one is left to end",
    holds="resumes from its checkpoint to the same weights, bit for bit",
    small=6,
    full=200,
    batch=3,
)
RETRAININGS = Attack(
    row=16,
    name="SIGKILL of a whole retraining at random moments, and again until one is left to end",
    holds="the same model file, one version, a valid champion",
    small=0,
    full=50,
    batch=5,
)
RECIPE = Recipe(hidden=(16,), epochs=12, batch=32, rate=0.01)
SERVED = "hidden = [64]\nepochs = 15\nbatch = 50\nrate = 0.01\n"


def fit_rows(arguments: list[str]) -> int:
    """Fit and write the network, as the nursery calls it."""
    rows, checkpoint, out = map(Path, arguments)
    parts = [Part(rows / "train.parquet")]
    fitted = fit(RECIPE, parts, rows / "validation.parquet", seed=1, checkpoint=checkpoint)
    out.write_bytes(to_bytes(fitted.model))
    return 0


@pytest.fixture
def rows(tmp_path: Path, mnist: tuple[list[bytes], NDArray[np.int64]]) -> Path:
    dice = np.random.default_rng(0)
    digits = mnist[1].astype(np.int8)
    for name, count in (("train", 2000), ("validation", 200)):
        px = dice.integers(0, 256, (count, 784), np.uint8)
        ids = [dice.bytes(32) for _ in range(count)]
        batch = normalised_batch(ids, digits[:count], px, NORMALISER)
        write_rows(tmp_path / f"{name}.parquet", normalised_schema(NORMALISER), iter([batch]))
    return tmp_path


def test_a_fit_killed_at_any_moment(cradle: Nursery, rows: Path, tmp_path: Path) -> None:
    call = f"{__name__}:fit_rows"
    checkpoint = tmp_path / "run.npz"
    out = tmp_path / "network.joblib"
    order = (str(rows), str(checkpoint), str(out))
    began = time.monotonic()
    alone = cradle.run(*order, call=call)
    lasts = time.monotonic() - began
    assert alone.code == 0, alone.said
    expected = out.read_bytes()
    for trial in FITS.rounds():
        with trial as attack:
            checkpoint.unlink()
            out.unlink()
            for _ in range(attack.cases):
                run = cradle.start(*order, call=call)
                time.sleep(attack.dice.uniform(0, lasts))
                run.kill()
                run.wait()
            last = cradle.run(*order, call=call)
            assert last.code == 0, last.said
            assert out.read_bytes() == expected
            assert not list(tmp_path.glob(".run.npz.*")), "half a checkpoint was left"


@pytest.mark.skipif(not RETRAININGS.cases, reason="takes minutes: `make torture`")
def test_a_retraining_killed_at_any_moment(
    nursery: Nursery, mnist: tuple[list[bytes], NDArray[np.int64]], tmp_path: Path
) -> None:
    contents, labels = mnist
    for row in range(900):
        path = tmp_path / "labelled" / str(labels[row]) / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[row])
    (tmp_path / "tiny.toml").write_text(SERVED)
    settings = {
        "DIGITLINE_RECIPE": str(tmp_path / "tiny.toml"),
        "DIGITLINE_GATE__MIN_ACCURACY": "0.6",
        "DIGITLINE_MAX_ERROR": "0.3",
        "DIGITLINE_PRACTICE": "0",
    }
    order = ("retrain", str(tmp_path / "labelled"))
    began = time.monotonic()
    alone = nursery.run(*order, **settings, DIGITLINE_HOME=str(tmp_path / "alone"))
    lasts = time.monotonic() - began
    assert alone.code == 0, alone.said
    expected = (tmp_path / "alone" / "models" / "m0001" / "model.joblib").read_bytes()
    for trial in RETRAININGS.rounds():
        with trial as attack:
            home = Home(tmp_path / f"killed-{attack.first}")
            for _ in range(attack.cases):
                run = nursery.start(*order, **settings, DIGITLINE_HOME=str(home.root))
                time.sleep(attack.dice.uniform(0, lasts))
                run.kill()
                run.wait()
            last = nursery.run(*order, **settings, DIGITLINE_HOME=str(home.root))
            assert last.code == 0, last.said
            check_models(home, expected)
            shutil.rmtree(home.root)


def check_models(home: Home, expected: bytes) -> None:
    """Raise unless there is one model, the champion, as a retraining left alone gives it."""
    from digitline.models.registry import Registry

    registry = Registry(home.models, home.keys)
    assert registry.versions() == ("m0001",)
    assert registry.champion() == "m0001"
    assert all(finding.sound for finding in registry.verify())
    assert (home.models / "m0001" / "model.joblib").read_bytes() == expected
    assert len(list(home.runs.glob("retrain-*"))) == 1
