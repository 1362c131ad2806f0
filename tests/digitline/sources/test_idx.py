import gzip
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from digitline.errors import DataError, SourceError
from digitline.sources.idx import encode_png, open_idx

WriteIdx = Callable[..., None]


def test_reads_both_parts_in_order(tmp_path: Path, write_idx: WriteIdx) -> None:
    write_idx(tmp_path, "train", [5, 0, 4, 1])
    write_idx(tmp_path, "t10k", [7, 2], seed=1)
    source = open_idx(tmp_path)
    assert source.parts == ("train", "test")
    train = list(source.read("train"))
    assert [item.label for item in train] == [5, 0, 4, 1]
    assert [item.path for item in train] == [f"train/0000{n}.png" for n in range(4)]
    assert [item.path for item in source.read("test")] == ["test/00000.png", "test/00001.png"]
    raw = (tmp_path / "train-images-idx3-ubyte").read_bytes()[16:]
    decoded = [np.asarray(Image.open(io.BytesIO(item.content))) for item in train]
    assert np.stack(decoded).tobytes() == raw


@pytest.mark.parametrize("rename", [False, True])
def test_gzip_is_told_by_its_content(tmp_path: Path, write_idx: WriteIdx, *, rename: bool) -> None:
    write_idx(tmp_path / "plain", "train", range(10))
    (tmp_path / "packed").mkdir()
    for path in (tmp_path / "plain").iterdir():
        packed = tmp_path / "packed" / (path.name + ("" if rename else ".gz"))
        packed.write_bytes(gzip.compress(path.read_bytes()))
    plain, unpacked = open_idx(tmp_path / "plain"), open_idx(tmp_path / "packed")
    assert list(plain.read("train")) == list(unpacked.read("train"))


def test_names_may_have_a_dot(tmp_path: Path, write_idx: WriteIdx) -> None:
    write_idx(tmp_path, "train", [1])
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert [item.label for item in open_idx(tmp_path).read("train")] == [1]


def test_chunks_join_without_a_seam(tmp_path: Path, write_idx: WriteIdx) -> None:
    labels = [number % 10 for number in range(1500)]
    write_idx(tmp_path, "train", labels)
    assert [item.label for item in open_idx(tmp_path).read("train")] == labels


@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_png_keeps_every_pixel(px: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> None:
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(px)))), px)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("images-idx3", lambda raw: b"\0\0\x08\x01" + raw[4:], "magic number 0x00000801"),
        ("labels-idx1", lambda raw: b"\0\0\x08\x03" + raw[4:], "magic number 0x00000803"),
        ("images-idx3", lambda raw: raw[:10], "shorter than its header says"),
        ("images-idx3", lambda raw: raw[:-1], "shorter than its header says"),
        ("images-idx3", lambda raw: raw + b"\0", "longer than its header says"),
        ("labels-idx1", lambda raw: raw + b"\0", "longer than its header says"),
        ("labels-idx1", lambda raw: raw[:-1], "shorter than its header says"),
        ("labels-idx1", lambda raw: raw[:7] + b"\x09" + raw[8:], "10 images but 9 labels"),
        ("images-idx3", lambda raw: raw[:8] + b"\xff" * 8 + raw[16:], "4294967295 x 4294967295"),
        ("images-idx3", lambda raw: raw[:8] + b"\0" * 8 + raw[16:], "images of 0 x 0"),
        ("images-idx3", lambda raw: gzip.compress(raw)[:-20], "the gzip stream is broken"),
        ("images-idx3", lambda raw: b"\x1f\x8b" + raw, "the gzip stream is broken"),
        ("labels-idx1", lambda _: b"", "shorter than its header says"),
    ],
)
def test_damage_is_named(
    tmp_path: Path, write_idx: WriteIdx, name: str, change: Callable[[bytes], bytes], said: str
) -> None:
    write_idx(tmp_path, "train", range(10))
    path = tmp_path / f"train-{name}-ubyte"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=said):
        list(open_idx(tmp_path).read("train"))


def test_images_without_labels_are_refused(tmp_path: Path, write_idx: WriteIdx) -> None:
    write_idx(tmp_path, "train", [1])
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(SourceError, match="the train labels are missing"):
        open_idx(tmp_path)


def test_two_files_for_one_thing_are_refused(tmp_path: Path, write_idx: WriteIdx) -> None:
    write_idx(tmp_path, "train", [1])
    path = tmp_path / "train-labels-idx1-ubyte"
    path.with_suffix(".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(SourceError, match="both train-labels"):
        open_idx(tmp_path)


@given(st.binary(max_size=60), st.sampled_from(["images-idx3", "labels-idx1"]), st.integers(0, 60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused_for_people(
    tmp_path: Path, write_idx: WriteIdx, junk: bytes, name: str, place: int
) -> None:
    write_idx(tmp_path, "train", [1, 2], side=3)
    path = tmp_path / f"train-{name}-ubyte"
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + junk + whole[place + len(junk) :])
    try:
        items = list(open_idx(tmp_path).read("train"))
    except DataError:
        return
    assert len(items) == 2
