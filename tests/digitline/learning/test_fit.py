import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from digitline.errors import SettingsError, TrainingError
from digitline.learning.checkpoint import load
from digitline.learning.feed import Meal
from digitline.learning.fit import Epoch, Fitted, Part, fit
from digitline.learning.network import new_model, step_through
from digitline.learning.recipe import Recipe
from digitline.models.pickling import to_bytes

Digits = tuple[NDArray[np.uint8], NDArray[np.int8]]
Write = Callable[[str, NDArray[np.uint8], NDArray[np.int8]], Path]


@pytest.fixture
def rows(write: Write, digits: Digits) -> tuple[Path, Path]:
    """800 digits to train on and 200 to validate with."""
    pixels, labels = digits
    return write("train", pixels[:800], labels[:800]), write("valid", pixels[800:], labels[800:])


def error(model: MLPClassifier, digits: Digits) -> float:
    pixels, labels = digits
    return 1 - float(model.score(pixels / np.float32(255), labels))


def timeless(fitted: Fitted) -> tuple[Epoch, ...]:
    return tuple(replace(epoch, seconds=0) for epoch in fitted.curve)


def same(one: Fitted, other: Fitted) -> bool:
    pairs = zip(
        one.model.coefs_ + one.model.intercepts_,
        other.model.coefs_ + other.model.intercepts_,
        strict=True,
    )
    return all(np.array_equal(a, b) for a, b in pairs) and timeless(one) == timeless(other)


def test_a_fit_learns_and_tells_its_curve(
    recipe: Recipe, rows: tuple[Path, Path], digits: Digits
) -> None:
    train, validation = rows
    told: list[Epoch] = []
    recipe = recipe.model_copy(update={"epochs": 12})
    fitted = fit(recipe, [Part(train)], validation, seed=1, on_epoch=told.append)
    assert tuple(told) == fitted.curve
    assert [epoch.number for epoch in told] == list(range(1, 13))
    assert {epoch.of for epoch in told} == {12}
    assert told[-1].train_loss < told[0].train_loss
    assert told[-1].rate < told[1].rate
    assert fitted.rows == 800
    assert fitted.seconds == sum(epoch.seconds for epoch in told)
    assert (fitted.warm, fitted.resumed, fitted.stopped_early) == (False, 0, False)
    best = told[fitted.best_epoch - 1]
    assert best.validation_loss == min(epoch.validation_loss for epoch in told)
    pixels, labels = digits
    assert error(fitted.model, (pixels[800:], labels[800:])) == pytest.approx(best.validation_error)
    assert best.validation_error < 0.3


def test_the_model_is_a_plain_float32_classifier_of_ten_digits(
    recipe: Recipe, write: Write, digits: Digits
) -> None:
    pixels, labels = digits
    few = labels < 2
    path = write("few", pixels[few], labels[few])
    model = fit(recipe, [Part(path)], path, seed=1).model
    assert type(model) is MLPClassifier
    assert list(model.classes_) == list(range(10))
    assert {array.dtype for array in model.coefs_ + model.intercepts_} == {np.dtype(np.float32)}
    assert model.predict_proba(pixels[:5] / np.float32(255)).dtype == np.float32
    assert not {"_optimizer", "_best_coefs"} & set(vars(model))
    assert model.get_params()["batch_size"] == recipe.batch
    assert len(model.loss_curve_) == model.n_iter_ == recipe.epochs


def test_a_seed_decides_the_result(recipe: Recipe, rows: tuple[Path, Path]) -> None:
    train, validation = rows
    one, again, other = (fit(recipe, [Part(train)], validation, seed=s) for s in (1, 1, 2))
    assert same(one, again)
    assert not same(one, other)


CHILD = """
import sys, time
from pathlib import Path
from digitline.learning.feed import Meal
from digitline.learning.fit import Part, fit
from digitline.learning.recipe import Recipe
from digitline.models.pickling import to_bytes
recipe, train, validation, checkpoint = sys.argv[1:]

def tell(epoch):
    print(epoch.number, flush=True)
    if epoch.number == 4:
        time.sleep(60)

fit(Recipe.model_validate_json(recipe), [Part(Path(train))], Path(validation), seed=1,
    checkpoint=Path(checkpoint), on_epoch=tell)
"""


def test_a_killed_training_resumes_to_the_same_result(
    recipe: Recipe, rows: tuple[Path, Path], tmp_path: Path
) -> None:
    train, validation = rows
    recipe = recipe.model_copy(update={"epochs": 6, "focus": 0.6})
    checkpoint = tmp_path / "half.npz"
    arguments = [recipe.model_dump_json(), str(train), str(validation), str(checkpoint)]
    command = [sys.executable, "-c", CHILD, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(4)] == ["1\n", "2\n", "3\n", "4\n"]
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    told: list[Epoch] = []
    resumed = fit(
        recipe, [Part(train)], validation, seed=1, checkpoint=checkpoint, on_epoch=told.append
    )
    assert resumed.resumed == 4
    assert [epoch.number for epoch in told] == [1, 2, 3, 4, 5, 6]
    alone = fit(recipe, [Part(train)], validation, seed=1)
    assert same(resumed, alone)
    whole = fit(recipe, [Part(train)], validation, seed=1, checkpoint=checkpoint)
    assert whole.resumed == 6
    assert same(whole, resumed)
    assert to_bytes(whole.model) == to_bytes(resumed.model) == to_bytes(alone.model)


def test_a_checkpoint_of_another_training_is_refused(
    recipe: Recipe, rows: tuple[Path, Path], tmp_path: Path
) -> None:
    train, validation = rows
    checkpoint = tmp_path / "c.npz"
    fit(recipe, [Part(train)], validation, seed=1, checkpoint=checkpoint)
    hotter = recipe.model_copy(update={"rate": 0.02})
    others: tuple[tuple[Recipe, Part, Path, int], ...] = (
        (recipe, Part(train), validation, 2),
        (hotter, Part(train), validation, 1),
        (recipe, Part(train, 2.0), validation, 1),
        (recipe, Part(validation), train, 1),
    )
    for other, part, held_out, seed in others:
        with pytest.raises(TrainingError, match="belongs to another") as caught:
            fit(other, [part], held_out, seed=seed, checkpoint=checkpoint)
        assert str(checkpoint) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"no archive at all"])
def test_a_broken_checkpoint_is_refused(
    recipe: Recipe, rows: tuple[Path, Path], tmp_path: Path, content: bytes
) -> None:
    checkpoint = tmp_path / "c.npz"
    checkpoint.write_bytes(content)
    with pytest.raises(TrainingError, match="cannot be read"):
        fit(recipe, [Part(rows[0])], rows[1], seed=1, checkpoint=checkpoint)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    checkpoint = tmp_path / "c.npz"
    np.savez(checkpoint, progress=np.array([Trap()], dtype=object))
    with pytest.raises(TrainingError, match="cannot be read"):
        load(checkpoint, "plan", {})
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_with_missing_or_misshapen_arrays_is_refused(
    recipe: Recipe, rows: tuple[Path, Path], tmp_path: Path
) -> None:
    train, validation = rows
    checkpoint = tmp_path / "c.npz"
    fit(recipe, [Part(train)], validation, seed=1, checkpoint=checkpoint)
    with np.load(checkpoint) as archive:
        arrays = {name: archive[name] for name in archive.files}
    short = arrays | {"first_0": arrays["first_0"][:, :-1]}
    del arrays["first_0"]
    for broken in (arrays, short):
        np.savez(checkpoint, allow_pickle=False, **broken)
        with pytest.raises(TrainingError, match="cannot be read"):
            fit(recipe, [Part(train)], validation, seed=1, checkpoint=checkpoint)


def test_a_checkpoint_is_for_its_owner_alone(
    recipe: Recipe, rows: tuple[Path, Path], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "deep" / "c.npz"
    fit(recipe, [Part(rows[0])], rows[1], seed=1, checkpoint=checkpoint)
    assert checkpoint.stat().st_mode & 0o777 == 0o600


def test_rows_that_weigh_more_count_more(recipe: Recipe, write: Write, digits: Digits) -> None:
    pixels, labels = digits
    swapped = ((labels + 1) % 10).astype(np.int8)
    right, wrong = write("right", pixels, labels), write("wrong", pixels, swapped)
    plan = recipe.model_copy(update={"epochs": 8})
    heavy = fit(plan, [Part(right, 5.0), Part(wrong)], right, seed=1).model
    light = fit(plan, [Part(right), Part(wrong, 5.0)], wrong, seed=1).model
    assert error(heavy, (pixels, labels)) < 0.3
    assert error(light, (pixels, swapped)) < 0.3


def test_balanced_classes_find_a_rare_digit(recipe: Recipe, write: Write, digits: Digits) -> None:
    pixels, labels = digits
    threes, eights = pixels[labels == 3], pixels[labels == 8]
    path = write(
        "rare",
        np.concatenate([threes[:80], eights[:4]]),
        np.array([3] * 80 + [8] * 4, np.int8),
    )
    found = []
    for kind in ("none", "balanced"):
        plan = recipe.model_copy(update={"class_weight": kind, "epochs": 6})
        model = fit(plan, [Part(path)], path, seed=1).model
        found.append(float(model.predict_proba(eights[4:] / np.float32(255))[:, 8].mean()))
    assert found[1] > found[0] + 0.1


def test_label_noise_keeps_the_network_from_certainty(
    recipe: Recipe, rows: tuple[Path, Path], digits: Digits
) -> None:
    train, validation = rows
    sure = []
    for noise in (0.0, 0.5):
        plan = recipe.model_copy(update={"label_noise": noise, "epochs": 8})
        model = fit(plan, [Part(train)], validation, seed=1).model
        sure.append(model.predict_proba(digits[0] / np.float32(255)).max(axis=1).mean())
    assert sure[1] < sure[0] - 0.2


def test_training_stops_early_when_validation_stops_improving(
    recipe: Recipe, rows: tuple[Path, Path], digits: Digits, write: Write
) -> None:
    pixels, labels = digits
    # Wrong on purpose: the more the network learns, the worse it does here.
    wrong = write("wrong", pixels[800:], ((labels[800:] + 1) % 10).astype(np.int8))
    plan = recipe.model_copy(update={"epochs": 50, "patience": 3})
    fitted = fit(plan, [Part(rows[0])], wrong, seed=1)
    assert fitted.stopped_early
    assert len(fitted.curve) == fitted.best_epoch + 3 < 50


def test_a_warm_start_goes_on_from_the_given_weights(
    recipe: Recipe, rows: tuple[Path, Path], digits: Digits
) -> None:
    train, validation = rows
    first = fit(recipe.model_copy(update={"epochs": 10}), [Part(train)], validation, seed=1)
    before = [layer.copy() for layer in first.model.coefs_]
    short = recipe.model_copy(update={"epochs": 4, "rate": 4e-4})
    second = fit(short, [Part(train)], validation, seed=2, start=first.model)
    cold = fit(short, [Part(train)], validation, seed=2)
    assert second.warm
    assert [epoch.of for epoch in second.curve] == [1]
    assert second.curve[0].rate == pytest.approx(1e-4)
    assert error(second.model, digits) < error(cold.model, digits) - 0.2
    assert all(map(np.array_equal, first.model.coefs_, before))


def test_a_start_of_another_shape_is_refused(recipe: Recipe, rows: tuple[Path, Path]) -> None:
    other = new_model(recipe.model_copy(update={"hidden": (20, 10)}), seed=0)
    with pytest.raises(SettingsError, match=r"784 inputs and layers of 20-10 \(relu\)"):
        fit(recipe, [Part(rows[0])], rows[1], seed=1, start=other)


def test_a_start_that_sees_something_else_is_refused(
    recipe: Recipe, rows: tuple[Path, Path]
) -> None:
    other = new_model(recipe, 0, ("upright",))
    with pytest.raises(SettingsError, match="sees digits upright, the recipe wants them plain"):
        fit(recipe, [Part(rows[0])], rows[1], seed=1, start=other)


def test_a_start_that_knows_fewer_digits_is_refused(
    recipe: Recipe, rows: tuple[Path, Path]
) -> None:
    other = MLPClassifier((32,), batch_size=2)
    other.partial_fit(np.zeros((2, 784), np.float32), [0, 1], classes=[0, 1])
    with pytest.raises(SettingsError, match="all ten digits"):
        fit(recipe, [Part(rows[0])], rows[1], seed=1, start=other)


def test_a_loss_that_is_no_number_ends_the_training(
    recipe: Recipe, rows: tuple[Path, Path]
) -> None:
    deep = recipe.model_copy(update={"hidden": (32, 32, 32), "rate": 1.0, "alpha": 1000.0})
    hot = deep.model_copy(update={"warm_up": 0, "final_rate": 1.0, "epochs": 60, "batch": 5})
    broken = new_model(hot, seed=0)
    broken.coefs_[0][:] = np.float32(3e38)
    with pytest.raises(TrainingError, match="no longer a number"):
        fit(hot, [Part(rows[0])], rows[1], seed=1, start=broken)


@pytest.mark.parametrize("count", [0, 3, 19])
def test_too_few_rows_are_refused(recipe: Recipe, write: Write, digits: Digits, count: int) -> None:
    path = write("few", digits[0][:count], digits[1][:count])
    with pytest.raises(TrainingError, match=f"{count} training rows, but at least 20"):
        fit(recipe, [Part(path)], path, seed=1)


def test_a_single_digit_is_refused(recipe: Recipe, write: Write, digits: Digits) -> None:
    fives = digits[1] == 5
    path = write("fives", digits[0][fives], digits[1][fives])
    with pytest.raises(TrainingError, match="every training row is a 5"):
        fit(recipe, [Part(path)], path, seed=1)


def test_validation_without_rows_is_refused(
    recipe: Recipe, rows: tuple[Path, Path], write: Write
) -> None:
    empty = write("empty", np.zeros((0, 784), np.uint8), np.zeros(0, np.int8))
    with pytest.raises(TrainingError, match="no rows to validate with"):
        fit(recipe, [Part(rows[0])], empty, seed=1)


def test_focus_spends_steps_on_hard_rows(recipe: Recipe, rows: tuple[Path, Path]) -> None:
    train, validation = rows
    seen: list[int] = []
    focused = recipe.model_copy(update={"focus": 0.75, "hard": 0.25, "epochs": 5})
    with pytest.MonkeyPatch.context() as patch:

        def count(model: MLPClassifier, meal: Meal, batch: int) -> float:
            seen.append(len(meal.labels))
            return step_through(model, meal, batch)

        patch.setattr("digitline.learning.fit.step_through", count)
        fitted = fit(focused, [Part(train)], validation, seed=1)
    assert seen == [800, 800, 350, 350, 350]
    # The schedule ends with the last step, however many rows the epochs had.
    assert fitted.curve[-1].rate < 0.01 * focused.rate
