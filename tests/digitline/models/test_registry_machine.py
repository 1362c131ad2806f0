"""Any sequence of register, promote, rollback, crash and attack leaves a valid champion."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule
from sklearn.neural_network import MLPClassifier

from digitline.errors import NoModelError, TamperedError
from digitline.models.card import Facts
from digitline.models.champion import MARK_NAME, POINTER_NAME
from digitline.models.registry import Registry

NOON = "2026-01-02T12:00:00Z"
INK = np.random.default_rng(0).random((10, 784), dtype=np.float32)
NETWORK = MLPClassifier((2,), random_state=0).partial_fit(INK, np.arange(10), classes=np.arange(10))


class RegistryMachine(RuleBasedStateMachine):
    """Compare a registry with a stack of champions and a count of versions."""

    facts: Facts
    versions = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.registry = Registry(self.home / "models", self.home / "keys")
        self.pointer = self.registry.models / POINTER_NAME
        self.mark = self.registry.keys / MARK_NAME
        self.registered = 0
        self.line: list[str] = []
        self.old_pointers: list[bytes] = []

    def teardown(self) -> None:
        shutil.rmtree(self.home)

    @rule(target=versions)
    def register(self) -> str:
        self.registered += 1
        facts = self.facts.model_copy(update={"run": f"retrain-{self.registered:04d}"})
        golden = np.zeros((1, 784), np.uint8)
        version = self.registry.register(NETWORK, facts, golden)
        assert version == f"m{self.registered:04d}"
        return version

    @rule(version=versions)
    def promote(self, version: str) -> None:
        self.remember()
        self.registry.promote(version, reason="better", run="r", created=NOON)
        if self.line[-1:] != [version]:
            self.line.append(version)

    @precondition(lambda self: self.pointer.exists())
    @rule(version=versions)
    def promote_and_crash_before_the_mark(self, version: str) -> None:
        before = self.mark.read_bytes()
        self.promote(version)
        self.mark.write_bytes(before)
        # The resumed run promotes again, as an unfinished one does.
        self.registry.promote(version, reason="better", run="r", created=NOON)

    @rule()
    def rollback(self) -> None:
        self.remember()
        if len(self.line) < 2:
            with pytest.raises(NoModelError):
                self.registry.rollback(reason="worse", run="r", created=NOON)
        else:
            self.line.pop()
            pointer = self.registry.rollback(reason="worse", run="r", created=NOON)
            assert pointer.version == self.line[-1]

    @rule(number=st.integers(1, 99))
    def crash_while_registering(self, number: int) -> None:
        draft = self.registry.models / f".m{number:04d}.0123456789ab"
        draft.mkdir(parents=True, exist_ok=True)

    @precondition(lambda self: self.old_pointers)
    @rule(data=st.data())
    def put_an_old_pointer_back(self, data: st.DataObject) -> None:
        current = self.pointer.read_bytes()
        old = data.draw(st.sampled_from(self.old_pointers))
        if old != current:
            self.pointer.write_bytes(old)
            with pytest.raises(TamperedError):
                self.registry.champion()
            self.pointer.write_bytes(current)

    @invariant()
    def the_champion_is_the_top_of_the_line(self) -> None:
        if self.line:
            assert self.registry.champion() == self.line[-1]
        else:
            with pytest.raises(NoModelError):
                self.registry.champion()

    @invariant()
    def every_version_is_there_once(self) -> None:
        expected = tuple(f"m{number:04d}" for number in range(1, self.registered + 1))
        assert self.registry.versions() == expected

    @invariant()
    def serials_count_up(self) -> None:
        serials = [entry.serial for entry in self.registry.history()]
        assert serials == list(range(1, len(serials) + 1))

    def remember(self) -> None:
        if self.pointer.exists():
            self.old_pointers.append(self.pointer.read_bytes())


def test_any_sequence_leaves_a_valid_champion(facts: Facts) -> None:
    RegistryMachine.facts = facts
    RegistryMachine.TestCase.settings = settings(
        max_examples=10,
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    RegistryMachine.TestCase().runTest()
