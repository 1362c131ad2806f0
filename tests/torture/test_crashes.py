"""Killed at every step of a change, or as by a power cut; readers see the old or the new.

A step is whatever a commit is made of: see `fuse`. Each change is made once undisturbed, which
tells its steps and what it leaves; then once for each step in a copy of the same home, killed
there, looked at, and made again.
"""

import shutil
from itertools import count
from pathlib import Path

from digitline.home import Home
from tests.torture.attack import Attack, explained
from tests.torture.changes import ACT, CHANGES, Course, prepare, spread, tree
from tests.torture.fuse import Order
from tests.torture.nursery import Nursery

CRASHES = Attack(
    row=2,
    name="crash, and power cut, at every step of a commit, registering, promotion, rollback, "
    "discarding, key creation, checkpoint, cache write, ingest, correction",
    holds="the next try gives the same bytes; a reader at any moment sees the old or the new",
    small=11,
    full=300,
    batch=3,
)
# A seed with which a power cut undoes the last rename whose directory was not synchronised.
COIN = 1


def test_every_step_of_every_change(
    cradle: Nursery, beginnings: Path, courses: list[Course], tmp_path: Path
) -> None:
    places = spread(courses)
    numbers = count()
    for trial in CRASHES.rounds():
        with trial as attack:
            for case in range(attack.cases):
                course, step = places[(attack.first + case) % len(places)]
                root = prepare(course.name, beginnings, tmp_path / f"crashed-{next(numbers)}")
                fuse = Order(
                    step,
                    str(tmp_path / "made"),
                    attack.dice.getrandbits(32),
                    power=attack.dice.random() < 0.5,
                )
                with explained(f"{course.name} at step {step} ({course.steps[step - 1]}, {fuse})"):
                    crash(course, Home(root), fuse, cradle)
                shutil.rmtree(root)


def test_a_model_that_was_discarded_does_not_come_back_in_part(
    cradle: Nursery, beginnings: Path, courses: list[Course], tmp_path: Path
) -> None:
    (course,) = (each for each in courses if each.name == "discard")
    for step, words in enumerate(course.steps, 1):
        if words.startswith(("unlink", "rmdir")):
            root = prepare(course.name, beginnings, tmp_path / f"crashed-{step}")
            undone = Order(step, str(tmp_path / "made"), COIN, power=True)
            crash(course, Home(root), undone, cradle)


def crash(course: Course, home: Home, fuse: Order, nursery: Nursery) -> None:
    change = CHANGES[course.name]
    run = nursery.run(course.name, str(home.root), call=ACT, FUSE=fuse.text())
    assert run.code == -9, run.said
    assert change.see(home) in course.seen
    again = nursery.run(course.name, str(home.root), call=ACT)
    assert again.code == 0, again.said
    assert change.see(home) == course.seen[1]
    if change.repeatable:
        assert tree(home.root) == course.left
