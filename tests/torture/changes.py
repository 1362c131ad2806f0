"""Changes to a home, each made of steps that a process can end at, or a disk can fail at."""

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np

from digitline.commit import Manifest, describe, read_manifest, write_bytes, write_manifest
from digitline.errors import DigitlineError
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
from flows.commands.shell import complain
from tests.torture.fuse import Order, read_steps
from tests.torture.nursery import Nursery

# Drafts, what was replaced, and locks.
_HIDDEN = re.compile(r"(^|/)\.(?!digitline/)|\.lock$")
ACT = "tests.torture.changes:act"
NOON = "2026-01-02T12:00:00Z"
LAX = Checks(min_rows=10, missing_classes=10)


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


def register_again(home: Home, run: str, nudge: float = 0.0) -> None:
    """Register the first model once more, its weights moved a little, as of another run."""
    model = registry(home).load("m0001")
    model.estimator.coefs_[0] += np.float32(nudge)
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
    progress = checkpoint.Progress(plan="p", step=step, seen=9, best_epoch=1, curve=curve)
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
    from tasks.normalise import normalise_rows

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
        id=b"1" * 32,
        file="a.png",
        read=3,
        digit=5,
        note="",
        run="score-0001",
        model="m0001",
        confidence=0.5,
        kind="queue",
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
    """Make a change, as the nursery calls it, and end as the command line does."""
    name, root = arguments
    try:
        CHANGES[name].act(Home(Path(root)))
    except DigitlineError as error:
        return complain(str(error), error.exit_code)
    return 0


def tree(root: Path) -> dict[str, bytes]:
    """Give all that a reader may see: drafts and locks have dot-names."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not _HIDDEN.search(str(path.relative_to(root)))
    }


@dataclass(frozen=True)
class Course:
    """A change made undisturbed: its steps, what was seen before and after, what it left."""

    name: str
    steps: list[str]
    seen: tuple[object, object]
    left: dict[str, bytes]


def prepare(name: str, beginnings: Path, place: Path) -> Path:
    """Copy the home `beginnings` to a place where the change can be made."""
    root = Path(shutil.copytree(beginnings, place))
    if name == "roll back":
        promote(Home(root))
        registry(Home(root)).promote("m0001", reason="again", run="r", created=NOON)
    return root


def go_through(name: str, beginnings: Path, place: Path, nursery: Nursery) -> Course:
    """Make a change undisturbed in a copy of the home `beginnings`."""
    place.mkdir()
    root = prepare(name, beginnings, place / "undisturbed")
    change, steps = CHANGES[name], place / "steps"
    before = change.see(Home(root))
    fuse = Order(0, str(steps)).text()
    run = nursery.run(name, str(root), call=ACT, FUSE=fuse)
    assert run.code == 0, run.said
    return Course(name, read_steps(steps), (before, change.see(Home(root))), tree(root))


def spread(courses: Iterable[Course]) -> list[tuple[Course, int]]:
    """List every step of all changes, in an order in which few already tell of each."""
    places = [(course, step) for course in courses for step in range(1, len(course.steps) + 1)]
    stride = next(n for n in range(37, 100) if gcd(n, len(places)) == 1)
    return [places[number * stride % len(places)] for number in range(len(places))]
