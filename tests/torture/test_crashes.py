"""Killed at every step of a change, or as by a power cut; readers see the old or the new.

A step is whatever a commit is made of: see `fuse`. Each change is made once undisturbed, which
tells its steps and what it leaves; then once for each step in a copy of the same home, killed
there, looked at, and made again.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from digitline.commit import Manifest, describe, read_manifest, write_bytes, write_manifest
from digitline.home import Home
from digitline.learning import checkpoint
from digitline.learning.epoch import Epoch
from digitline.models.card import Facts
from digitline.models.registry import Registry
from digitline.models.signing import open_signer, open_verifier
from digitline.pixels.decode import Limits
from digitline.review.store import Answer, Store
from digitline.rows import labels, pixels, read_batches
from digitline.scoring.job import LastRun, read_last, write_last
from digitline.sources.checks import Checks
from digitline.sources.dataset import opened
from digitline.sources.folder import open_folder
from digitline.sources.ingest import ingest
from digitline.sources.swap import standing
from tests.torture.attack import Attack, explained
from tests.torture.fuse import Order, read_steps
from tests.torture.nursery import Nursery

NOON = "2026-01-02T12:00:00Z"
LAX = Checks(min_rows=10, missing_classes=10)
CRASHES = Attack(
    row=2,
    name="crash, and power cut, at every step of a commit, registering, promotion, rollback, "
    "discarding, key creation, checkpoint, cache write, ingest, correction",
    holds="the next try gives the same bytes; a reader at any moment sees the old or the new",
    small=24,
    full=300,
    batch=3,
)


@dataclass(frozen=True)
class Change:
    """A change to a home, and what a reader sees of it: something that compares and is whole."""

    act: Callable[[Home], object]
    see: Callable[[Home], object]
    # A key pair is another each time it is made.
    repeatable: bool = True


def commit(home: Home) -> None:
    place = home.data / "results"
    write_bytes(place / "part-2.parquet", b"two" * 1000)
    write_manifest(place, Manifest(kind="x", shards=(describe(place / "part-2.parquet", 1),)))


def see_results(home: Home) -> object:
    manifest = read_manifest(home.data / "results")
    assert manifest is not None
    for shard in manifest.shards:
        assert describe(home.data / "results" / shard.name, shard.rows) == shard
    return manifest.digest


def registry(home: Home) -> Registry:
    return Registry(home.models, home.keys)


def register(home: Home) -> None:
    register_again(home, "retrain-0003")


def register_again(home: Home, run: str) -> None:
    """Register the first model once more, as of another run."""
    model = registry(home).load("m0001")
    facts = {name: getattr(model.card, name) for name in Facts.model_fields} | {"run": run}
    golden = np.zeros((2, 784), np.uint8)
    registry(home).register(model.estimator, Facts(**facts), golden)


def see_models(home: Home) -> tuple[list[str], str, object]:
    findings = registry(home).verify()
    assert all(finding.sound for finding in findings), findings
    history = registry(home).history()
    assert [entry.serial for entry in history] == list(range(1, len(history) + 1))
    return [finding.subject for finding in findings], registry(home).champion(), history


def count_models(home: Home) -> object:
    subjects, champion, history = see_models(home)
    return len(subjects), champion, history


def promote(home: Home) -> None:
    registry(home).promote("m0002", reason="better", run="r", created=NOON)


def roll_back(home: Home) -> None:
    if registry(home).champion() == "m0001":
        registry(home).rollback(reason="worse", run="r", created=NOON)
    else:  # the pointer went back before the crash; this raises the mark
        promote(home)


def discard(home: Home) -> None:
    if "m0002" in registry(home).versions():
        registry(home).discard("m0002")


def make_keys(home: Home) -> None:
    open_signer(home.root / "fresh")


def see_keys(home: Home) -> object:
    if not (home.root / "fresh" / "signing.pub").exists():
        return "none"
    private = home.root / "fresh" / "signing.pem"
    assert private.stat().st_mode & 0o777 == 0o600
    signs, checks = open_signer(private.parent).verifier, open_verifier(private.parent)
    assert signs.fingerprint == checks.fingerprint
    return "a pair"


ARRAYS = ("weight_0", "mean_0")


def save_checkpoint(home: Home, step: int = 2) -> None:
    arrays = {name: np.full((784, 8), step, np.float32) for name in ARRAYS}
    curve = (Epoch(1, 2, 0.1, 0.1, 0.1, 0.1, 0.1),)
    progress = checkpoint.Progress(plan="p", step=step, best_epoch=1, curve=curve)
    checkpoint.save(home.checkpoints / "run.npz", progress, arrays)


def see_checkpoint(home: Home) -> object:
    arrays = {name: np.zeros((784, 8), np.float32) for name in ARRAYS}
    progress = checkpoint.load(home.checkpoints / "run.npz", "p", arrays)
    assert progress is not None
    assert all(np.all(array == progress.step) for array in arrays.values())
    return progress.step


def take_in(home: Home) -> None:
    source = open_folder(home.root / "second", Limits().max_bytes)
    ingest(source, home.data / "scans", LAX, Limits())


def see_data_set(home: Home) -> object:
    with opened(home.data / "scans") as rows:
        return sum(batch.num_rows for batch in rows.batches("train")), rows.manifest.digest


def normalise(home: Home) -> None:
    from tasks.normalise import normalise_rows  # noqa: PLC0415 - loads Prefect

    normalise_rows.fn(standing(home.data / "scans"), home.normalised, Limits())


def see_cache(home: Home) -> object:
    found = []
    for place in home.normalised.iterdir() if home.normalised.exists() else ():
        manifest = read_manifest(place)
        for shard in () if manifest is None else manifest.shards:
            (batch,) = read_batches(place / shard.name)
            found.append((pixels(batch).sum(), labels(batch).sum()))
    return found


def correct(home: Home) -> None:
    answer = Answer(
        id=b"1" * 32, file="a.png", read=3, digit=5, note="", run="score-0001", model="m0001",
        confidence=0.5, kind="review",
    )
    if not Store(home.corrections).imports():
        Store(home.corrections).add(
            [answer], iter([(answer, b"image")]), sheet="0" * 64, by="me", when=NOON, why=""
        )


def see_corrections(home: Home) -> object:
    store = Store(home.corrections)
    return [each.number for each in store.imports()], len(store.answers())


def remember(home: Home) -> None:
    write_last(home.jobs, "mail", LastRun(run="score-0002", results=Path("/b"), basis="x"))


def see_memory(home: Home) -> object:
    return read_last(home.jobs, "mail")


CHANGES = {
    "commit": Change(commit, see_results),
    # A version's number is never given out again, so not after a crash either.
    "register": Change(register, count_models, repeatable=False),
    "promote": Change(promote, see_models),
    "roll back": Change(roll_back, see_models),
    "discard": Change(discard, see_models),
    "keys": Change(make_keys, see_keys, repeatable=False),
    "checkpoint": Change(save_checkpoint, see_checkpoint),
    "ingest": Change(take_in, see_data_set),
    "cache": Change(normalise, see_cache),
    "corrections": Change(correct, see_corrections),
    "job": Change(remember, see_memory),
}


def act(arguments: list[str]) -> int:
    """Make a change, as the nursery calls it."""
    name, root = arguments
    CHANGES[name].act(Home(Path(root)))
    return 0


@pytest.fixture(scope="module")
def cradle() -> Iterator[Nursery]:
    """Give a warm process that makes changes, and needs no server."""
    with Nursery({}, ("tests.torture.test_crashes", "tasks.normalise")) as nursery:
        yield nursery


@pytest.fixture(scope="module")
def beginnings(reader: Home, mnist: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home in which each of the changes can be made."""
    root = tmp_path_factory.mktemp("beginnings") / "home"
    home = Home(Path(shutil.copytree(reader.root, root)))
    register_again(home, "retrain-0002")
    write_bytes(home.data / "results" / "part-1.parquet", b"one" * 1000)
    place = home.data / "results"
    write_manifest(place, Manifest(kind="x", shards=(describe(place / "part-1.parquet", 1),)))
    save_checkpoint(home, step=1)
    write_last(home.jobs, "mail", LastRun(run="score-0001", results=Path("/a"), basis="x"))
    contents, digits = mnist  # type: ignore[misc]  # as the fixture has it
    for name, number in (("first", 40), ("second", 60)):
        for row in range(number):
            path = root / name / str(digits[row]) / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[row])
    source = open_folder(root / "first", Limits().max_bytes)
    ingest(source, home.data / "scans", LAX, Limits())
    return root


def tree(root: Path) -> dict[str, bytes]:
    """Give all that a reader may see: drafts and locks have dot-names."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and ".draft-" not in str(path)
        and ".retired" not in str(path)
    }


@dataclass(frozen=True)
class Course:
    """A change made undisturbed: its steps, what was seen before and after, what it left."""

    name: str
    steps: list[str]
    seen: tuple[object, object]
    left: dict[str, bytes]


def prepare(name: str, beginnings: Path, place: Path) -> Path:
    root = Path(shutil.copytree(beginnings, place))
    if name == "roll back":
        promote(Home(root))
        registry(Home(root)).promote("m0001", reason="again", run="r", created=NOON)
    return root


def go_through(name: str, beginnings: Path, place: Path, nursery: Nursery) -> Course:
    root = prepare(name, beginnings, place / "undisturbed")
    change, steps = CHANGES[name], place / "steps"
    before = change.see(Home(root))
    fuse = Order(0, str(steps)).text()
    run = nursery.run(name, str(root), call="tests.torture.test_crashes:act", FUSE=fuse)
    assert run.code == 0, run.said
    return Course(name, read_steps(steps), (before, change.see(Home(root))), tree(root))


def test_every_step_of_every_change(cradle: Nursery, beginnings: Path, tmp_path: Path) -> None:
    courses = []
    for name in CHANGES:
        (tmp_path / name).mkdir()
        courses.append(go_through(name, beginnings, tmp_path / name, cradle))
    places = [(course, step) for course in courses for step in range(1, len(course.steps) + 1)]
    # All steps in an order that spreads over the changes, again and again.
    spread = [places[number * 37 % len(places)] for number in range(len(places))]
    numbers = count()
    for trial in CRASHES.rounds():
        with trial as attack:
            for case in range(attack.cases):
                course, step = spread[(attack.first + case) % len(spread)]
                root = prepare(course.name, beginnings, tmp_path / f"crashed-{next(numbers)}")
                fuse = Order(
                    step, str(tmp_path / "made"), attack.dice.getrandbits(32),
                    power=attack.dice.random() < 0.5,
                )
                with explained(f"{course.name} at step {step} ({course.steps[step - 1]}, {fuse})"):
                    crash(course, Home(root), fuse, cradle)
                shutil.rmtree(root)


def crash(course: Course, home: Home, fuse: Order, nursery: Nursery) -> None:
    change = CHANGES[course.name]
    call = "tests.torture.test_crashes:act"
    run = nursery.run(course.name, str(home.root), call=call, FUSE=fuse.text())
    assert run.code == -9, run.said
    assert change.see(home) in course.seen
    again = nursery.run(course.name, str(home.root), call=call)
    assert again.code == 0, again.said
    assert change.see(home) == course.seen[1]
    if change.repeatable:
        assert tree(home.root) == course.left
