import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from digitline.errors import (
    BusyError,
    IncompatibleError,
    NoModelError,
    StorageError,
    TamperedError,
)
from digitline.models.card import Facts, to_json
from digitline.models.champion import MARK_NAME, POINTER_NAME, HighWater
from digitline.models.registry import Registry
from digitline.models.sealing import seal
from digitline.models.signing import PRIVATE_NAME, PUBLIC_NAME, Purpose, open_signer

NOON = "2026-01-02T12:00:00Z"


class Shelf:
    """Register and promote with what does not matter filled in."""

    def __init__(
        self,
        registry: Registry,
        network: MLPClassifier,
        facts: Facts,
        golden: NDArray[np.uint8],
    ) -> None:
        self.registry = registry
        self.network = network
        self.facts = facts
        self.golden = golden

    def register(self, run: str) -> str:
        facts = self.facts.model_copy(update={"run": run})
        return self.registry.register(self.network, facts, self.golden)

    def promote(self, version: str, expected: str | None = None, *, repair: bool = False) -> None:
        self.registry.promote(
            version, reason="better", run="r", created=NOON, expected=expected, repair=repair
        )

    def rollback(self) -> str:
        return self.registry.rollback(reason="worse", run="r", created=NOON).version

    def fill(self, count: int) -> list[str]:
        versions = [self.register(f"retrain-{number:04d}") for number in range(1, count + 1)]
        for version in versions:
            self.promote(version)
        return versions


@pytest.fixture
def shelf(registry: Registry, network: MLPClassifier, facts: Facts, px: NDArray[np.uint8]) -> Shelf:
    return Shelf(registry, network, facts, px[:10])


def test_an_empty_registry_says_what_to_do(registry: Registry) -> None:
    assert registry.versions() == ()
    assert registry.history() == ()
    for ask in (registry.champion, registry.load):
        with pytest.raises(NoModelError, match="digitline retrain"):
            ask()
    assert not registry.keys.exists(), "asking makes no keys"


def test_versions_count_up(shelf: Shelf) -> None:
    assert [shelf.register(f"run {number}") for number in range(3)] == ["m0001", "m0002", "m0003"]
    assert shelf.registry.versions() == ("m0001", "m0002", "m0003")


def test_versions_go_by_number_not_by_letter(registry: Registry) -> None:
    for name in ("m10000", "m9999", "m0002", "m00003", "mine", ".m0001.0123456789ab"):
        (registry.models / name).mkdir(parents=True)
    assert registry.versions() == ("m0002", "m9999", "m10000")


def test_a_number_is_never_given_out_again(shelf: Shelf) -> None:
    shelf.register("one")
    shutil.rmtree(shelf.registry.models / shelf.register("two"))
    assert shelf.register("three") == "m0003"
    shutil.rmtree(shelf.registry.models)
    assert shelf.register("four") == "m0004"


def test_registering_for_the_same_run_again_gives_the_same_version(shelf: Shelf) -> None:
    assert shelf.register("retrain-0007") == shelf.register("retrain-0007") == "m0001"


def test_a_failed_registration_leaves_nothing_visible(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("digitline.models.bundle.to_json", fail)
        with pytest.raises(KeyboardInterrupt):
            shelf.register("one")
    assert [path.name for path in shelf.registry.models.iterdir()] == [".lock"]
    assert shelf.register("one") == "m0002"


def test_drafts_of_killed_processes_are_swept_away(shelf: Shelf) -> None:
    models = shelf.registry.models
    (models / ".m0001.0123456789ab").mkdir(parents=True)
    (models / ".m0001.0123456789ab" / "model.joblib").touch()
    (models / ".champion.json.0123456789ab").touch()
    (models / ".mine").touch()
    shelf.register("one")
    assert {path.name for path in models.iterdir()} == {".lock", ".mine", "m0001"}


def test_the_champion_is_who_was_promoted(shelf: Shelf) -> None:
    first, second = shelf.register("one"), shelf.register("two")
    shelf.promote(first)
    assert shelf.registry.champion() == shelf.registry.load().version == first
    shelf.promote(second)
    assert shelf.registry.champion() == shelf.registry.load().version == second
    history = shelf.registry.history()
    assert [(entry.serial, entry.version, entry.action) for entry in history] == [
        (1, first, "promote"),
        (2, second, "promote"),
    ]


def test_promoting_the_champion_again_changes_nothing(champion: Registry) -> None:
    before = (champion.models / POINTER_NAME).read_bytes()
    champion.promote("m0001", reason="again", run="r", created=NOON)
    assert (champion.models / POINTER_NAME).read_bytes() == before


def test_a_verdict_against_another_champion_does_not_count(shelf: Shelf) -> None:
    first, second = shelf.fill(2)
    third = shelf.register("three")
    with pytest.raises(BusyError, match=f"not {first} any more"):
        shelf.promote(third, expected=first)
    assert shelf.registry.champion() == second
    shelf.promote(third, expected=second)
    assert shelf.registry.champion() == third


@pytest.mark.parametrize("version", ["m0009", "m1", "../m0001", "", "m0001/", "m0001\n"])
def test_an_unknown_version_is_named(champion: Registry, version: str) -> None:
    for ask in (champion.card, champion.load):
        with pytest.raises(NoModelError, match="digitline models list"):
            ask(version)
    with pytest.raises(NoModelError):
        champion.promote(version, reason="", run="r", created=NOON)
    assert champion.champion() == "m0001"


def test_rolling_back_goes_down_the_line_of_champions(shelf: Shelf) -> None:
    first, second, third = shelf.fill(3)
    assert shelf.rollback() == second
    shelf.promote(third)
    assert shelf.rollback() == second
    assert shelf.rollback() == first
    with pytest.raises(NoModelError, match=f"no champion before {first}"):
        shelf.rollback()
    assert shelf.registry.champion() == first
    actions = [entry.action for entry in shelf.registry.history()]
    assert actions == ["promote"] * 3 + ["rollback", "promote", "rollback", "rollback"]


def test_rolling_back_without_a_champion_says_what_to_do(registry: Registry) -> None:
    with pytest.raises(NoModelError, match="digitline retrain"):
        registry.rollback(reason="", run="r", created=NOON)


def test_a_damaged_model_is_neither_promoted_nor_rolled_back_to(shelf: Shelf) -> None:
    first, second = shelf.fill(2)
    path = shelf.registry.models / first / "model.joblib"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(TamperedError):
        shelf.promote(first)
    with pytest.raises(TamperedError):
        shelf.rollback()
    assert shelf.registry.champion() == second


def test_any_byte_of_the_pointer_that_differs_is_refused(champion: Registry) -> None:
    path = champion.models / POINTER_NAME
    content = path.read_bytes()
    for at in range(len(content)):
        mutated = bytearray(content)
        mutated[at] ^= 1 << (at % 8)
        path.write_bytes(mutated)
        with pytest.raises(TamperedError):
            champion.champion()
    path.write_bytes(content + b"\n")
    with pytest.raises(TamperedError, match="--repair"):
        champion.load()


def test_a_pointer_signed_by_another_key_is_refused(champion: Registry) -> None:
    (champion.keys / PUBLIC_NAME).unlink()
    (champion.keys / PRIVATE_NAME).unlink()
    (champion.keys / MARK_NAME).unlink()
    open_signer(champion.keys)
    with pytest.raises(TamperedError, match="another key"):
        champion.champion()


def test_an_old_pointer_that_is_put_back_is_refused(shelf: Shelf) -> None:
    path = shelf.registry.models / POINTER_NAME
    shelf.fill(1)
    yesterday = path.read_bytes()
    shelf.promote(shelf.register("two"))
    path.write_bytes(yesterday)
    for use in (shelf.registry.champion, shelf.registry.load, shelf.rollback):
        with pytest.raises(TamperedError, match="an old champion's pointer was put back"):
            use()


def test_a_removed_pointer_does_not_look_like_a_fresh_start(champion: Registry) -> None:
    (champion.models / POINTER_NAME).unlink()
    with pytest.raises(TamperedError, match="pointer is missing"):
        champion.champion()
    shutil.rmtree(champion.models)
    with pytest.raises(NoModelError):
        champion.champion()


def test_a_removed_champion_does_not_look_like_a_fresh_start(shelf: Shelf) -> None:
    first, second = shelf.fill(2)
    shutil.rmtree(shelf.registry.models / second)
    for use in (shelf.registry.champion, shelf.registry.load):
        with pytest.raises(TamperedError, match=f"the champion {second} is missing"):
            use()
    assert shelf.rollback() == first


@pytest.mark.parametrize("damage", ["removed", "broken", "old"])
def test_repair_signs_a_new_pointer_that_outlives_the_old(shelf: Shelf, damage: str) -> None:
    path = shelf.registry.models / POINTER_NAME
    first, second = shelf.fill(1)[0], shelf.register("two")
    yesterday = path.read_bytes()
    shelf.promote(second)
    match damage:
        case "removed":
            path.unlink()
        case "broken":
            path.write_bytes(b"{}")
        case _:
            path.write_bytes(yesterday)
    with pytest.raises(TamperedError):
        shelf.promote(first)
    shelf.promote(first, repair=True)
    assert shelf.registry.champion() == first
    assert [(entry.serial, entry.action) for entry in shelf.registry.history()] == [(3, "repair")]
    path.write_bytes(yesterday)
    with pytest.raises(TamperedError):
        shelf.registry.champion()


def test_repair_replaces_a_broken_mark(shelf: Shelf) -> None:
    first = shelf.fill(1)[0]
    (shelf.registry.keys / MARK_NAME).write_bytes(b"{}")
    with pytest.raises(TamperedError, match="--repair"):
        shelf.registry.champion()
    shelf.promote(first, repair=True)
    assert shelf.registry.champion() == first
    assert shelf.register("two") == "m0002"


def test_a_crash_between_pointer_and_mark_leaves_a_valid_champion_and_heals(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    shelf.fill(1)
    second = shelf.register("two")
    path = shelf.registry.models / POINTER_NAME
    yesterday = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("digitline.models.champion.raise_mark", crash)
        with pytest.raises(KeyboardInterrupt):
            shelf.promote(second)
    assert shelf.registry.champion() == second
    shelf.promote(second)  # as the resumed run does
    path.write_bytes(yesterday)
    with pytest.raises(TamperedError, match="put back"):
        shelf.registry.champion()


def test_a_mark_is_no_pointer_and_a_pointer_no_mark(champion: Registry) -> None:
    signer = open_signer(champion.keys)
    mark = HighWater(serial=9, version=9)
    (champion.keys / MARK_NAME).write_bytes(seal(mark, Purpose.CHAMPION, signer))
    with pytest.raises(TamperedError, match="does not match"):
        champion.champion()
    (champion.keys / MARK_NAME).write_bytes(to_json(mark))
    with pytest.raises(TamperedError, match="not a file as Digitline writes it"):
        champion.champion()


def test_the_public_key_alone_suffices_to_score(
    champion: Registry, tmp_path: Path, px: NDArray[np.uint8]
) -> None:
    (tmp_path / "scorer").mkdir()
    shutil.copy(champion.keys / PUBLIC_NAME, tmp_path / "scorer")
    scorer = Registry(champion.models, tmp_path / "scorer")
    expected = champion.load().probabilities(px)
    np.testing.assert_array_equal(scorer.load().probabilities(px), expected)
    assert all(finding.sound for finding in scorer.verify())
    assert [path.name for path in scorer.keys.iterdir()] == [PUBLIC_NAME]


def test_the_public_key_alone_does_not_promote(shelf: Shelf) -> None:
    first, second = shelf.fill(2)
    (shelf.registry.keys / PRIVATE_NAME).unlink()
    for change in (shelf.rollback, lambda: shelf.promote(first), lambda: shelf.register("three")):
        with pytest.raises(StorageError, match="only the public key"):
            change()
    assert shelf.registry.champion() == second


def test_swapped_versions_are_refused(shelf: Shelf) -> None:
    first, second = shelf.fill(2)
    models = shelf.registry.models
    (models / first).rename(models / "aside")
    (models / second).rename(models / first)
    (models / "aside").rename(models / second)
    for ask in (shelf.registry.champion, shelf.registry.load):
        with pytest.raises(TamperedError, match="another version's directory"):
            ask()


@pytest.mark.parametrize("target", [POINTER_NAME, "m0001"])
def test_links_in_the_registry_are_refused(champion: Registry, tmp_path: Path, target: str) -> None:
    (champion.models / target).rename(tmp_path / target)
    (champion.models / target).symlink_to(tmp_path / target)
    for ask in (champion.champion, champion.load):
        with pytest.raises(TamperedError, match="symbolic link"):
            ask()


def test_verify_names_what_is_wrong_and_goes_on(shelf: Shelf) -> None:
    first, second = shelf.fill(2)
    path = shelf.registry.models / first / "card.json"
    path.write_bytes(path.read_bytes() + b" ")
    pointer, broken, sound = shelf.registry.verify()
    assert (pointer.subject, pointer.sound) == ("champion", True)
    assert (broken.subject, broken.sound, broken.card) == (first, False, None)
    assert isinstance(broken.error, TamperedError)
    assert (sound.subject, sound.sound, sound.card) == (second, True, shelf.registry.card(second))
    assert [finding.sound for finding in shelf.registry.survey()] == [False, True]
    assert [finding.sound for finding in shelf.registry.verify(second)] == [True]


def test_verify_names_a_broken_pointer(champion: Registry) -> None:
    (champion.models / POINTER_NAME).write_bytes(b"{}")
    pointer, version = champion.verify()
    assert isinstance(pointer.error, TamperedError)
    assert version.sound


def test_verify_loads_where_survey_reads_the_card_alone(shelf: Shelf) -> None:
    version = shelf.fill(1)[0]
    path = shelf.registry.models / version / "model.joblib"
    path.write_bytes(path.read_bytes() + b" ")
    assert [finding.sound for finding in shelf.registry.survey()] == [True]
    assert [finding.sound for finding in shelf.registry.verify()] == [True, False]


def test_a_newer_card_beside_does_not_hinder_training(shelf: Shelf) -> None:
    version = shelf.register("one")
    path = shelf.registry.models / version / "card.json"
    content = path.read_bytes().replace(b'"card_format": 1', b'"card_format": 2')
    path.write_bytes(content)
    signature = open_signer(shelf.registry.keys).sign(Purpose.VERSION, content)
    path.with_name("signature.json").write_bytes(to_json(signature))
    with pytest.raises(IncompatibleError):
        shelf.registry.card(version)
    assert shelf.register("two") == "m0002"


def test_an_unwritable_place_is_a_storage_error(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "models").write_bytes(b"")
    with pytest.raises(StorageError):
        shelf.register("one")


PROMOTE = """
import sys
import time
from pathlib import Path
from digitline.models.registry import Registry
registry = Registry(Path(sys.argv[1]), Path(sys.argv[2]))
sys.stdin.readline()
for number in range(3):
    if number % 3 == 2:
        registry.rollback(reason="", run="r", created="2026-01-02T12:00:00Z")
    else:
        version = sys.argv[3 + number % 2]
        registry.promote(version, reason="", run="r", created="2026-01-02T12:00:00Z")
"""


def test_processes_that_change_the_champion_at_once_take_turns(shelf: Shelf) -> None:
    registry = shelf.registry
    versions = shelf.fill(4)
    shelf.promote(versions[0])  # a floor of champions that no number of rollbacks goes below
    command = [sys.executable, "-c", PROMOTE, str(registry.models), str(registry.keys)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    runners = [
        subprocess.Popen(
            [*command, *pair],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for pair in (versions[:2], versions[2:])
    ]
    for runner in runners:
        assert runner.stdin is not None
        runner.stdin.write("go\n")
        runner.stdin.flush()
    while any(runner.poll() is None for runner in runners):
        assert registry.champion() in versions  # a reader never sees a mixture
        time.sleep(0.01)
    assert [runner.communicate()[1] for runner in runners] == ["", ""]
    serials = [entry.serial for entry in registry.history()]
    assert serials == list(range(1, len(serials) + 1))
    assert registry.history()[-1].version == registry.champion()
