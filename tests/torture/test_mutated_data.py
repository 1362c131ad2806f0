"""Damaged files of every kind that is read: a clear error or a whole answer, nothing in between.

The files are read by a process of their own, so that whatever ends it is noticed, with a bounded
memory and a bounded time.
"""

import resource
import shutil
import signal
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.commit import Manifest, check_shards, describe, read_manifest, write_manifest
from digitline.errors import DigitlineError
from digitline.home import Home
from digitline.keeping.glance import look_at_runs
from digitline.keeping.inventory import take_inventory
from digitline.learning.recipe import load_recipe
from digitline.models.registry import Registry
from digitline.pixels.decode import Limits
from digitline.pixels.normalise import NORMALISER
from digitline.report.index import rebuild_index
from digitline.review.intake import Word, take_in
from digitline.review.store import Answer, Store
from digitline.rows import normalised_batch, normalised_schema, write_rows
from digitline.runs import open_run
from digitline.scoring.job import LastRun, read_last, write_last
from digitline.scoring.legal import read_codes, read_previous
from digitline.sources.checks import Checks
from digitline.sources.dataset import opened
from digitline.sources.folder import open_folder
from digitline.sources.ingest import ingest
from digitline.sources.listing import list_images, read_digits, read_entries
from digitline.sources.recognise import open_source
from tests.torture.attack import Attack
from tests.torture.changes import save_checkpoint, see_checkpoint, tree
from tests.torture.mutations import mutate
from tests.torture.nursery import Nursery

FILES = Attack(
    row=11,
    name="mutated Parquet, IDX, CSV, archives, manifests, cards, pointers, plans, checkpoints, "
    "recipes, corrections, metrics",
    holds="a clear error or a whole answer, nothing visible changes",
    small=260,
    full=5_000,
    batch=130,
)
LIMITS = Limits(max_bytes=1 << 20)
LAX = Checks(
    min_rows=10,
    missing_classes=10,
    undecodable_share=1,
    unreadable_share=1,
    blank_share=1,
    conflicts_share=1,
    duplicates_share=1,
    labels_share=1,
    schema_share=1,
)
MEMORY, SECONDS = 1 << 30, 60


@dataclass(frozen=True)
class Kind:
    """A kind of file: where it lies beneath the home, and what is done with it."""

    file: str
    use: Callable[[Home], object]
    # A use that changes the home where it succeeds.
    changes: bool = False


def source(name: str) -> Callable[[Home], object]:
    """Ingest a source over the data set that is there, and read what stands then."""

    def use(home: Home) -> object:
        try:
            ingest(
                open_source(str(home.root / name), limits=LIMITS), home.data / "scans", LAX, LIMITS
            )
        finally:
            see_rows(home)
        return None

    return use


def see_rows(home: Home) -> object:
    with opened(home.data / "scans") as rows:
        return sum(batch.num_rows for part in rows.parts for batch in rows.batches(part))


def listed(name: str) -> Callable[[Home], object]:
    """List images, and read each: its bytes, or why there are none."""

    def use(home: Home) -> object:
        entries = list(list_images(str(home.root / name), NORMALISER))
        if entries[0].opener == "normalised":
            return read_digits(entries)
        contents = list(read_entries(entries, LIMITS.max_bytes))
        assert len(contents) == len(entries)
        return contents

    return use


def correct(home: Home) -> object:
    return take_in(home.root / "sheet.csv", home, Word("me", "2026-01-02"), LIMITS)


def read_results(home: Home) -> object:
    manifest = read_manifest(home.data / "results")
    assert manifest is not None
    check_shards(home.data / "results", manifest)
    return manifest


def registry(home: Home) -> Registry:
    return Registry(home.models, home.keys)


KINDS = (
    Kind("raw.parquet", source("raw.parquet"), changes=True),
    Kind("raw.parquet", listed("raw.parquet")),
    Kind("rows.parquet", listed("rows.parquet")),
    Kind("idx/train-images-idx3-ubyte", source("idx"), changes=True),
    Kind("idx/train-labels-idx1-ubyte", source("idx"), changes=True),
    Kind("list/list.csv", source("list/list.csv"), changes=True),
    Kind("list/list.csv", listed("list/list.csv")),
    *(Kind(f"pack.{end}", listed(f"pack.{end}")) for end in ("zip", "tar", "tgz", "tar.xz")),
    Kind("data/scans/_MANIFEST.json", see_rows),
    Kind("data/scans/train.parquet", see_rows),
    Kind("data/results/_MANIFEST.json", read_results),
    Kind("data/jobs/mail.json", lambda home: read_last(home.jobs, "mail")),
    Kind(
        "data/runs/score-0007/plan.json",
        lambda home: open_run(home, "score", "k", "now"),
        changes=True,
    ),
    Kind("data/runs/score-0007/plan.json", lambda home: list(look_at_runs(home))),
    Kind("data/corrections/0001/answers.parquet", lambda home: Store(home.corrections).answers()),
    Kind("data/corrections/0001/_MANIFEST.json", lambda home: Store(home.corrections).answers()),
    Kind("models/m0001/card.json", lambda home: registry(home).load()),
    Kind("models/m0001/signature.json", lambda home: registry(home).load()),
    Kind("models/champion.json", lambda home: registry(home).load()),
    Kind(".digitline/keys/high-water.json", lambda home: registry(home).load()),
    Kind(".digitline/keys/signing.pub", lambda home: registry(home).load()),
    Kind("models/champion.json", take_inventory),
    Kind(".digitline/checkpoints/run.npz", see_checkpoint),
    Kind("tiny.toml", lambda home: load_recipe(str(home.root / "tiny.toml"))),
    Kind("codes.txt", lambda home: read_codes(home.root / "codes.txt")),
    Kind("previous.csv", lambda home: read_previous(home.root / "previous.csv")),
    Kind("sheet.csv", correct),
    Kind("reports/score-0001/metrics.json", lambda home: rebuild_index(home.reports), changes=True),
)


def attack_files(arguments: list[str]) -> int:
    """Damage files and use them, as the nursery calls it; says what did not hold."""
    root, first, cases, seed = Path(arguments[0]), *map(int, arguments[1:])
    limit = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, limit))
    warnings.simplefilter("ignore")
    dice, wrong = Random(seed), 0
    for number in range(first, first + cases):
        kind = KINDS[number % len(KINDS)]
        print(f"case {number}: {kind.file}", flush=True)
        signal.alarm(SECONDS)
        try:
            use_damaged(kind, Home(root), dice)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            wrong += 1
            print(f"WRONG case {number}: {kind.file}: {type(error).__name__}: {error}")
    return min(wrong, 1)


def use_damaged(kind: Kind, home: Home, dice: Random) -> None:
    path = home.root / kind.file
    sound = path.read_bytes()
    before = {} if kind.changes else tree(home.root)
    mutated = mutate(sound, dice, [sound])
    path.write_bytes(mutated)
    try:
        with suppress(DigitlineError):
            kind.use(home)
        if not kind.changes:
            after = tree(home.root)
            assert after == before | {kind.file: mutated} or path.name.startswith("."), [
                name for name in after | before if after.get(name) != before.get(name)
            ]
    except Exception:
        (home.root / f"{path.name}.wrong").write_bytes(mutated)
        raise
    finally:
        path.write_bytes(sound)
        if kind.changes:
            shutil.rmtree(home.data / "runs" / "score-0008", ignore_errors=True)


@pytest.fixture(scope="module")
def files(
    session_scans: object,
    mnist: tuple[list[bytes], NDArray[np.int64]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Give a home with a file of each kind in it."""
    from tests.digitline.sources.conftest import idx_files

    scans = session_scans
    root = Path(shutil.copytree(scans.home.root, tmp_path_factory.mktemp("files") / "home"))  # type: ignore[attr-defined]  # as the fixture has it
    home, (contents, digits) = Home(root), mnist
    for row in range(40):
        path = root / "list" / str(digits[row]) / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[row])
    names = sorted(str(path.relative_to(root / "list")) for path in root.glob("list/*/*.png"))
    lines = [f"{name},{name[0]}" for name in names]
    (root / "list" / "list.csv").write_text("\n".join(["file,label", *lines, ""]))
    folder = open_folder(root / "list", LIMITS.max_bytes)
    ingest(folder, home.data / "scans", LAX, LIMITS)
    shutil.copy(home.data / "scans" / "train.parquet", root / "raw.parquet")
    px = np.random.default_rng(0).integers(0, 256, (40, 784), np.uint8)
    batch = normalised_batch([bytes(32)] * 40, digits[:40].astype(np.int8), px, NORMALISER)
    write_rows(root / "rows.parquet", normalised_schema(NORMALISER), iter([batch]))
    idx_files(root / "idx", "train", list(digits[:40]))
    with zipfile.ZipFile(root / "pack.zip", "w", zipfile.ZIP_DEFLATED) as pack:
        for name in names:
            pack.write(root / "list" / name, name)
    for end, mode in (("tar", "w"), ("tgz", "w:gz"), ("tar.xz", "w:xz")):
        with tarfile.open(root / f"pack.{end}", mode) as tar:  # type: ignore[call-overload]  # one of the modes
            tar.add(root / "list", "")
    (home.data / "results").mkdir()
    shutil.copy(root / "rows.parquet", home.data / "results")
    shards = (describe(home.data / "results" / "rows.parquet", 40),)
    write_manifest(home.data / "results", Manifest(kind="x", shards=shards))
    write_last(home.jobs, "mail", LastRun(run="score-0001", results=Path("/a"), basis="x"))
    open_run(home, "score", "k", "2026-01-02T12:00:00+00:00").directory.rename(
        home.runs / "score-0007"
    )
    answer = Answer(b"1" * 32, "score-0001", "a.png", 5, "", 3, 0.5, "m0001", "queue")
    given = iter([(answer, b"image")])
    Store(home.corrections).add([answer], given, sheet="0" * 64, by="me", when="now", why="")
    save_checkpoint(home)
    (root / "tiny.toml").write_text("hidden = [64]\nepochs = 15\nbatch = 50\nrate = 0.01\n")
    (root / "codes.txt").write_text("8001\n8002\n3000\n")
    (root / "previous.csv").write_text("file,previous\na.png,00123\nb.png,4\n")
    write_sheet(home, scans.run, root / "sheet.csv")  # type: ignore[attr-defined]  # as above
    rebuild_index(home.reports)
    return root


def write_sheet(home: Home, run: str, path: Path) -> None:
    from digitline.review.answered import find_answered
    from digitline.review.outgoing import send_out

    answered = find_answered(home, run)
    send_out(answered, path, most=10, audit=5, store=Store(home.corrections), limits=LIMITS)


def test_damaged_files(cradle: Nursery, files: Path) -> None:
    for trial in FILES.rounds():
        with trial as attack:
            run = cradle.run(
                *(str(files), str(attack.first), str(attack.cases)),
                str(attack.dice.getrandbits(32)),
                call="tests.torture.test_mutated_data:attack_files",
            )
            wrong = [line for line in run.said.splitlines() if line.startswith("WRONG")]
            assert run.code == 0, wrong or run.said[-500:]
