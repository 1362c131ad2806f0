import threading
from pathlib import Path

import pytest

from digitline.commit import Manifest, write_manifest
from digitline.errors import DataError, SettingsError, SourceError, StorageError
from digitline.pixels.decode import Limits
from digitline.sources.checks import Checks
from digitline.sources.dataset import locate, opened, read_committed
from digitline.sources.folder import open_folder
from digitline.sources.ingest import ingest

CHECKS = Checks(min_rows=1)


def write(labelled_folder: Path, directory: Path, *names: str) -> str:
    """Ingest the folder with some pictures taken out; give the data set's digest."""
    for name in names:
        (labelled_folder / name).unlink()
    return ingest(open_folder(labelled_folder, 1 << 20), directory, CHECKS, Limits()).digest


def count(directory: Path) -> int:
    with opened(directory) as data:
        return sum(batch.num_rows for batch in data.batches("train"))


def test_an_open_data_set_stays_what_it_was(tmp_path: Path, labelled_folder: Path) -> None:
    old = write(labelled_folder, tmp_path / "it")
    with opened(tmp_path / "it", old) as data:
        new = write(labelled_folder, tmp_path / "it", "0/00.png")
        assert sum(batch.num_rows for batch in data.batches("train")) == 30
        assert list(data.dropped()) == []
    assert count(tmp_path / "it") == 29
    with opened(tmp_path / "it", new):
        pass
    with pytest.raises(DataError, match="replaced meanwhile"), opened(tmp_path / "it", old):
        pass


def test_readers_see_old_or_new_while_it_is_replaced(tmp_path: Path, labelled_folder: Path) -> None:
    write(labelled_folder, tmp_path / "it")
    stop, seen, errors = threading.Event(), set(), []

    def read() -> None:
        while not stop.is_set():
            try:
                seen.add(count(tmp_path / "it"))
            except (DataError, SourceError, StorageError) as error:
                errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 10):
        write(labelled_folder, tmp_path / "it", f"{number}/0{number}.png")
    stop.set()
    reader.join()
    assert errors == []
    assert seen <= set(range(21, 31))


def test_a_changed_file_is_refused(tmp_path: Path, labelled_folder: Path) -> None:
    write(labelled_folder, tmp_path / "it")
    with (tmp_path / "it" / "train.parquet").open("r+b") as file:
        file.seek(200)
        file.write(b"\0\1\2")
    with pytest.raises(DataError, match="differs from its manifest"):
        count(tmp_path / "it")


def test_a_missing_file_is_named(tmp_path: Path, labelled_folder: Path) -> None:
    write(labelled_folder, tmp_path / "it")
    (tmp_path / "it" / "train.parquet").unlink()
    with pytest.raises(StorageError, match="are missing"):
        count(tmp_path / "it")


def test_nothing_there_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no data set here"), opened(tmp_path / "it"):
        pass


def test_manifests_of_other_kinds_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / "it").mkdir()
    write_manifest(tmp_path / "it", Manifest(kind="predictions", shards=()))
    assert read_committed(tmp_path / "it") is None
    write_manifest(tmp_path / "it", Manifest(kind="dataset", shards=(), facts={"more": 1}))
    with pytest.raises(DataError, match="cannot be understood"):
        read_committed(tmp_path / "it")


@pytest.mark.parametrize("name", ["mine", "2024.scans", "a-b_c"])
def test_a_plain_name_names_a_directory(tmp_path: Path, name: str) -> None:
    assert locate(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "-x", "a\n", "runs"])
def test_an_unusable_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="cannot name a data set"):
        locate(tmp_path, name)
