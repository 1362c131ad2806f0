import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from digitline.errors import (
    BusyError,
    RetiredKeyError,
    SettingsError,
    StorageError,
    TamperedError,
)
from digitline.models.card import Facts
from digitline.models.champion import MARK_NAME, POINTER_NAME
from digitline.models.registry import Registry
from digitline.models.rotation import list_keys, retire, rotate
from digitline.models.signing import (
    NEXT_NAME,
    PRIVATE_NAME,
    PUBLIC_NAME,
    RETIRED_NAME,
    TRUSTED_NAME,
    check_keys,
    open_signer,
    open_verifier,
)

NOON = "2026-01-02T12:00:00Z"


@dataclass(frozen=True)
class Shelf:
    """A registry, and what it takes to register one model after another."""

    registry: Registry
    network: MLPClassifier
    facts: Facts
    golden: NDArray[np.uint8]

    def add(self, *, promote: bool = True) -> str:
        run = f"retrain-{len(self.registry.versions()) + 1:04d}"
        facts = self.facts.model_copy(update={"run": run})
        version = self.registry.register(self.network, facts, self.golden)
        if promote:
            self.registry.promote(version, reason="better", run=run, created=NOON)
        return version


@pytest.fixture
def shelf(registry: Registry, network: MLPClassifier, facts: Facts, px: NDArray[np.uint8]) -> Shelf:
    shelf = Shelf(registry, network, facts, px[:10])
    shelf.add()
    return shelf


def current(registry: Registry) -> str:
    return open_verifier(registry.keys).fingerprint


def is_sound(registry: Registry) -> bool:
    return all(finding.sound for finding in registry.verify())


def test_what_an_earlier_key_signed_stays_good(shelf: Shelf) -> None:
    registry = shelf.registry
    before, pointer = current(registry), (registry.models / POINTER_NAME).read_bytes()
    after = rotate(registry)
    assert after == current(registry) == open_signer(registry.keys).fingerprint != before
    assert is_sound(registry)
    assert before.encode() not in (registry.models / POINTER_NAME).read_bytes()
    assert before.encode() not in (registry.keys / MARK_NAME).read_bytes()
    (registry.models / POINTER_NAME).write_bytes(pointer)
    assert registry.champion() == "m0001", "the same pointer, by a key that is trusted"
    assert shelf.add() == "m0002"
    states = [(key.state, key.models) for key in list_keys(registry)]
    assert states == [("current", ("m0002",)), ("trusted", ("m0001",))]
    assert registry.rollback(reason="", run="r", created=NOON).version == "m0001"


def test_what_a_retired_key_signed_is_refused_with_the_reason(shelf: Shelf) -> None:
    registry, before = shelf.registry, current(shelf.registry)
    rotate(registry)
    shelf.add()
    kept = (registry.keys / TRUSTED_NAME / f"{before}.pub").read_bytes()
    assert retire(registry, before)
    assert not retire(registry, before), "it is no news"
    assert registry.load().version == "m0002"
    for use in (registry.card, registry.load):
        with pytest.raises(RetiredKeyError, match=f"a key that was retired \\({before}\\)"):
            use("m0001")
    with pytest.raises(RetiredKeyError):
        registry.rollback(reason="", run="r", created=NOON)
    assert [key.models for key in list_keys(registry)] == [("m0002",), ("m0001",)]
    (registry.keys / TRUSTED_NAME / f"{before}.pub").write_bytes(kept)
    with pytest.raises(RetiredKeyError):
        registry.card("m0001")


def test_work_goes_on_where_all_models_are_of_a_retired_key(shelf: Shelf) -> None:
    registry, before = shelf.registry, current(shelf.registry)
    (registry.models / POINTER_NAME).unlink()
    shutil.rmtree(registry.models / "m0001")
    assert shelf.add(promote=False) == "m0002", "no champion is in the way of retiring its key"
    shelf.registry.promote("m0002", reason="", run="r", created=NOON, repair=True)
    rotate(registry)
    challenger = shelf.add()
    retire(registry, before)
    assert shelf.add() == "m0004"
    assert (challenger, registry.champion()) == ("m0003", "m0004")


def test_the_key_in_use_is_not_retired(shelf: Shelf) -> None:
    registry, before = shelf.registry, current(shelf.registry)
    with pytest.raises(SettingsError, match="digitline keys rotate"):
        retire(registry, before)
    rotate(registry)
    with pytest.raises(BusyError, match=r"champion m0001 .*digitline retrain --force"):
        retire(registry, before)
    with pytest.raises(SettingsError, match="digitline keys show"):
        retire(registry, "../signing")
    assert is_sound(registry)


def test_keys_are_nobody_elses(shelf: Shelf) -> None:
    keys, before = shelf.registry.keys, current(shelf.registry)
    rotate(shelf.registry)
    shelf.add()
    retire(shelf.registry, before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (keys, *keys.iterdir())}
    assert {modes[name] for name in ("keys", TRUSTED_NAME, RETIRED_NAME)} == {0o700}
    assert modes[PRIVATE_NAME] == 0o600
    assert NEXT_NAME not in modes


@pytest.mark.parametrize("place", ["", TRUSTED_NAME, RETIRED_NAME])
def test_keys_that_others_could_replace_are_refused(shelf: Shelf, place: str) -> None:
    keys, before = shelf.registry.keys, current(shelf.registry)
    rotate(shelf.registry)
    shelf.add()
    retire(shelf.registry, before)
    (keys / place).chmod(0o777)
    with pytest.raises(StorageError, match="others can replace"):
        shelf.registry.champion()


def test_a_scorer_needs_public_keys_alone(shelf: Shelf, tmp_path: Path) -> None:
    before = current(shelf.registry)
    rotate(shelf.registry)
    shelf.add()
    keys = tmp_path / "scorer"
    (keys / TRUSTED_NAME).mkdir(parents=True)
    shutil.copy(shelf.registry.keys / PUBLIC_NAME, keys)
    shutil.copy(shelf.registry.keys / TRUSTED_NAME / f"{before}.pub", keys / TRUSTED_NAME)
    scorer = Registry(shelf.registry.models, keys)
    assert is_sound(scorer)
    assert retire(scorer, before)
    assert [finding.sound for finding in scorer.verify()] == [True, False, True]
    with pytest.raises(StorageError, match="only the public key"):
        rotate(scorer)


ROTATE = """
import os, signal, sys
from pathlib import Path
import digitline.commit, digitline.models.rotation as rotation, digitline.models.signing as signing
from digitline.models.registry import Registry
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
registry = Registry(Path(sys.argv[1]), Path(sys.argv[2]))
step, after = sys.argv[3], int(sys.argv[4])
room = signing if hasattr(signing, step) else rotation
real, calls = getattr(room, step), [0]
def call(*args, **kwargs):
    calls[0] += 1
    if calls[0] > after:
        die()
    return real(*args, **kwargs)
setattr(room, step, call)
if step == "write_bytes":
    rotation.write_bytes = call
rotation.rotate(registry)
"""


# Where a rotation can be killed: before each file that it writes (the old public key, the next
# private and public one, `signing.pub`, pointer and mark), and before the private keys change.
@pytest.mark.parametrize(
    ("step", "after"), [*(("write_bytes", count) for count in range(6)), ("_switch", 0)]
)
def test_killed_at_any_step_it_goes_on_from_there(shelf: Shelf, step: str, after: int) -> None:
    registry, before = shelf.registry, current(shelf.registry)
    arguments = [str(registry.models), str(registry.keys), step, str(after)]
    killed = subprocess.run([sys.executable, "-c", ROTATE, *arguments], check=False)
    assert killed.returncode == -9
    assert is_sound(registry), "whoever reads meanwhile finds all as it was"
    assert shelf.add() == "m0002"
    assert is_sound(registry)
    last = rotate(registry)
    keys = list_keys(registry)
    assert [key.state for key in keys][:2] == ["current", "trusted"]
    assert keys[0].fingerprint == last != before
    assert last in (registry.models / POINTER_NAME).read_text()
    assert shelf.add() == "m0003"
    assert not (registry.keys / NEXT_NAME).exists()
    assert is_sound(registry)


def test_a_public_key_of_somebody_else_is_no_rotation_that_was_killed(
    shelf: Shelf, tmp_path: Path
) -> None:
    keys = shelf.registry.keys
    rotate(shelf.registry)
    open_signer(tmp_path / "others")
    shutil.copy(tmp_path / "others" / PUBLIC_NAME, keys / PUBLIC_NAME)
    with pytest.raises(TamperedError, match="do not belong together"):
        open_signer(keys)
    assert {error.where for error in check_keys(keys)} == {
        str(keys / PRIVATE_NAME),
        str(keys / PUBLIC_NAME),
    }


def test_a_rotation_that_was_killed_is_not_done_twice(shelf: Shelf) -> None:
    registry, before = shelf.registry, current(shelf.registry)
    arguments = [str(registry.models), str(registry.keys), "_sign_anew", "0"]
    subprocess.run([sys.executable, "-c", ROTATE, *arguments], check=False)
    begun = current(registry)
    assert begun != before
    assert rotate(registry) == begun
    assert rotate(registry) != begun
