"""Any sequence of training, promotion, rollback, deletion, scoring and crash, by Hypothesis.

What must hold after each step: a valid champion, the one the history tells of, models that are all
sound, and for the job complete results, every image of its last run once.
"""

import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from digitline.commit import check_shards
from digitline.errors import BusyError, NoModelError
from digitline.home import Home
from digitline.models.registry import Registry
from digitline.scoring.job import read_last
from tests.torture.attack import SCALE, Attack
from tests.torture.changes import ACT, NOON, register_again
from tests.torture.fuse import Order
from tests.torture.nursery import Nursery
from tests.torture.test_kills_of_score import check_complete

SEQUENCES = Attack(
    row=22,
    name="any sequence of train, promote, roll back, delete, score and crash (Hypothesis, of 12 "
    "steps each)",
    holds="a valid champion and complete results after every step",
    small=1,
    full=60,
    batch=60,
)


class HomeMachine(RuleBasedStateMachine):
    """A home that everything is done to, compared with what must have come of it."""

    nursery: ClassVar[Nursery]
    beginnings: ClassVar[Path]
    contents: ClassVar[list[bytes]]

    def __init__(self) -> None:
        """Begin with two models, of which the first is champion, and a folder of images."""
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="sequence-"))
        self.home = Home(Path(shutil.copytree(self.beginnings, self.place / "home")))
        (self.home.jobs / "mail.json").unlink()
        self.images = self.place / "images"
        self.images.mkdir()
        self.runs = 0
        self.scored = False
        self.add_images(3)

    def teardown(self) -> None:
        shutil.rmtree(self.place)

    @property
    def registry(self) -> Registry:
        return Registry(self.home.models, self.home.keys)

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "DIGITLINE_HOME": str(self.home.root),
            "DIGITLINE_THRESHOLD": "0.9",
            "DIGITLINE_BULK__SHARD_ROWS": "2",
            **more,
        }

    @rule(count=st.integers(1, 4))
    def add_images(self, count: int) -> None:
        for _ in range(count):
            number = len(list(self.images.iterdir()))
            (self.images / f"{number:03d}.png").write_bytes(self.contents[number])

    @rule()
    def train(self) -> None:
        self.runs += 1
        register_again(self.home, f"retrain-{self.runs + 10:04d}", nudge=self.runs / 1000)

    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(self.registry.versions()))
        self.registry.promote(version, reason="better", run="r", created=NOON)
        assert self.registry.champion() == version

    @rule()
    def roll_back(self) -> None:
        before = self.registry.history()
        try:
            self.registry.rollback(reason="worse", run="r", created=NOON)
        except NoModelError:
            assert self.registry.history() == before

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(self.registry.versions()))
        reigned = {entry.version for entry in self.registry.history()}
        try:
            self.registry.discard(version)
        except BusyError:
            assert version in reigned
        else:
            assert version not in reigned
            assert version not in self.registry.versions()

    @rule(
        name=st.sampled_from(("promote", "register", "discard", "job")),
        at=st.integers(1, 25),
        power=st.booleans(),
    )
    def crash_in_a_change(self, name: str, at: int, *, power: bool) -> None:
        if name == "job" or "m0002" not in self.registry.versions():
            return
        fuse = Order(at, str(self.place / "steps"), at, power=power)
        run = self.nursery.run(name, str(self.home.root), call=ACT, FUSE=fuse.text())
        assert run.code in {0, 10, -signal.SIGKILL}, run.said

    @rule()
    def score(self) -> None:
        run = self.nursery.run("score", str(self.images), "--job", "mail", **self.environment())
        assert run.code == 0, run.said
        self.scored = True
        last = read_last(self.home.jobs, "mail")
        assert last is not None
        check_complete(last.results, self.images)

    @precondition(lambda self: self.scored)
    @rule(fraction=st.floats(0, 3))
    def crash_in_a_scoring(self, fraction: float) -> None:
        run = self.nursery.start("score", str(self.images), "--job", "mail", **self.environment())
        time.sleep(fraction)
        run.kill()
        run.wait()

    @invariant()
    def the_champion_is_valid(self) -> None:
        history = self.registry.history()
        assert self.registry.champion() == history[-1].version
        assert [entry.serial for entry in history] == list(range(1, len(history) + 1))
        assert all(finding.sound for finding in self.registry.verify())

    @invariant()
    def results_are_complete(self) -> None:
        last = read_last(self.home.jobs, "mail")
        if self.scored:
            assert last is not None
        if last is not None:
            manifest = last.manifest()
            assert manifest is not None
            check_shards(last.results, manifest)
            counts = manifest.facts["counts"]
            rows = sum(shard.rows for shard in manifest.shards if "-" in shard.name)
            assert rows == counts["n_in"] == counts["accept"] + counts["review"] + counts["error"]


def test_any_sequence(
    nursery: Nursery, beginnings: Path, mnist: tuple[list[bytes], object]
) -> None:
    HomeMachine.nursery, HomeMachine.beginnings = nursery, beginnings
    HomeMachine.contents = mnist[0]
    for trial in SEQUENCES.rounds():
        with trial as attack:
            HomeMachine.TestCase.settings = settings(
                max_examples=attack.cases,
                stateful_step_count=12 if SCALE else 6,
                deadline=None,
                database=None,
                derandomize=False,
                phases=(Phase.explicit, Phase.generate, Phase.target),  # a shrunk kill tells less
                suppress_health_check=list(HealthCheck),
            )
            HomeMachine.TestCase().runTest()
