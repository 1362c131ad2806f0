from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from digitline.errors import DataError, SourceError, TamperedError
from digitline.pixels.decode import Limits
from digitline.sources.checks import Checks
from digitline.sources.folder import open_folder
from digitline.sources.ingest import ingest
from digitline.sources.parquet import find_shards, open_parquet_source

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(path: Path, images: pa.Array, labels: pa.Array, **extra: pa.Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": images, "label": labels, **extra}), path)
    return path


def structs(*pairs: tuple[bytes | None, str | None] | None) -> pa.Array:
    rows = [pair and {"bytes": pair[0], "path": pair[1]} for pair in pairs]
    return pa.array(rows, STRUCT)


def test_one_file_is_training(tmp_path: Path) -> None:
    images = structs((b"a", "x.png"), (b"b", None), (b"c", ""))
    path = write(tmp_path / "f.parquet", images, pa.array([1, None, 12]), more=pa.array([1, 2, 3]))
    source = open_parquet_source(path, [path])
    items = list(source.read("train"))
    assert [(i.path, i.label, i.content) for i in items] == [
        ("x.png", 1, b"a"),
        ("train/00001", None, b"b"),
        ("train/00002", 12, b"c"),
    ]


def test_null_images_are_problems_not_content(tmp_path: Path) -> None:
    path = write(tmp_path / "f.parquet", structs(None, (None, "p")), pa.array([1, 2]))
    first, second = open_parquet_source(path, [path]).read("train")
    assert first.problem == second.problem
    assert first.problem is not None
    assert first.problem.reason == "no-image"
    assert second.path == "p"


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
@pytest.mark.parametrize("width", [pa.int8(), pa.uint8(), pa.int32(), pa.uint64()])
def test_plain_binary_and_any_integer(
    tmp_path: Path, kind: pa.DataType, width: pa.DataType
) -> None:
    path = write(tmp_path / "f.parquet", pa.array([b"a", None], kind), pa.array([9, 0], width))
    first, second = open_parquet_source(path, [path]).read("train")
    assert (first.path, first.label, first.content) == ("train/00000", 9, b"a")
    assert second.problem is not None


def test_fields_of_the_struct_in_another_order(tmp_path: Path) -> None:
    kind = pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary())])
    images = pa.array([{"path": "é.png", "bytes": b"a"}], kind)
    path = write(tmp_path / "f.parquet", images, pa.array([3]))
    (item,) = open_parquet_source(path, [path]).read("train")
    assert (item.path, item.content) == ("é.png", b"a")


def test_a_path_that_is_not_utf_8_stays_valid_unicode(tmp_path: Path) -> None:
    paths = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff.png"]).buffers())
    images = pa.StructArray.from_arrays([pa.array([b"a"]), paths], ["bytes", "path"])
    path = write(tmp_path / "f.parquet", images, pa.array([3]))
    (item,) = open_parquet_source(path, [path]).read("train")
    assert item.path == r"\xff.png"


@pytest.mark.parametrize("below", ["", "data", "mnist"])
def test_shards_as_the_hub_names_them(tmp_path: Path, below: str) -> None:
    for name in ("train-00001-of-00002", "train-00000-of-00002", "test-00000-of-00001"):
        write(tmp_path / below / f"{name}.parquet", pa.array([name.encode()]), pa.array([1]))
    (tmp_path / "README.md").touch()
    source = open_parquet_source(tmp_path, find_shards(tmp_path))
    assert [item.content for item in source.read("train")] == [
        b"train-00000-of-00002",
        b"train-00001-of-00002",
    ]
    assert [item.path for item in source.read("train")] == ["train/00000", "train/00001"]
    assert [item.content for item in source.read("test")] == [b"test-00000-of-00001"]


def test_a_shard_of_another_split_is_not_passed_over(tmp_path: Path) -> None:
    for name in ("train-0", "validation-0"):
        write(tmp_path / f"{name}.parquet", pa.array([b"x"]), pa.array([1]))
    with pytest.raises(SourceError, match=r"validation-0\.parquet begins neither"):
        open_parquet_source(tmp_path, find_shards(tmp_path))


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (pa.array(["text"]), pa.array([1]), "column `image` is string"),
        (pa.array([{"path": "x"}]), pa.array([1]), "column `image` is struct"),
        (pa.array([b"x"]), pa.array(["1"]), "column `label` is string"),
        (pa.array([b"x"]), pa.array([1.0]), "column `label` is double"),
        (pa.array([b"x"]), pa.array([True]), "column `label` is bool"),
        (pa.array([{"bytes": "text"}]), pa.array([1]), "column `image` is struct"),
    ],
)
def test_wrong_types_are_named(
    tmp_path: Path, images: pa.Array, labels: pa.Array, said: str
) -> None:
    path = write(tmp_path / "f.parquet", images, labels)
    with pytest.raises(DataError, match=said):
        open_parquet_source(path, [path])


@pytest.mark.parametrize("names", [["image"], ["label"], ["image", "image", "label"]])
def test_missing_and_doubled_columns_are_named(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "f.parquet"
    columns = [pa.array([b"x"]) if name == "image" else pa.array([1]) for name in names]
    pq.write_table(pa.Table.from_arrays(columns, names=names), path)
    with pytest.raises(DataError, match="not one column `"):
        open_parquet_source(path, [path])


def test_what_is_not_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    path.write_bytes(b"PAR1 no PAR1")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        open_parquet_source(path, [path])


def test_a_committed_data_set_is_read_by_its_manifest(
    tmp_path: Path, labelled_folder: Path
) -> None:
    for number in (0, 1):
        (labelled_folder / "7" / f"copy{number}.png").write_bytes(
            (labelled_folder / "7" / "07.png").read_bytes()
        )
    checks = Checks(min_rows=1, duplicates_share=1)
    ingest(open_folder(labelled_folder, 1 << 20), tmp_path / "set", checks, Limits())
    source = open_parquet_source(tmp_path / "set", find_shards(tmp_path / "set"))
    assert len(list(source.read("train"))) == 30  # the shard of dropped rows is no training shard
    with (tmp_path / "set" / "train.parquet").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff\xff")
    with pytest.raises(TamperedError):
        open_parquet_source(tmp_path / "set", find_shards(tmp_path / "set"))
