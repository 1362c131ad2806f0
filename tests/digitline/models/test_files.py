import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from digitline.errors import StorageError, TamperedError
from digitline.models.files import read_file, read_files


@contextmanager
def nobody() -> Iterator[None]:
    """Act as a user without rights for a while, where the tests run as root."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


def test_files_are_read_whole_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"")
    assert read_files(tmp_path, "b", "a") == (b"", b"one")
    assert read_file(tmp_path / "a") == b"one"


def test_what_may_not_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "a").chmod(0)
    with nobody(), pytest.raises(StorageError, match="no permission to read"):
        read_file(tmp_path / "a")


def test_a_failing_disk_is_said() -> None:
    # Reading address 0 of our own memory: a plain file, as far as the kernel says, and EIO.
    with pytest.raises(StorageError, match="reading failed"):
        read_file(Path("/proc/self/mem"))


def test_what_is_not_there_is_the_callers_to_explain(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        read_files(tmp_path / "directory", "a")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(path: str) -> None:
    with pytest.raises(TamperedError, match="not a plain file"):
        read_file(Path(path))


def test_a_file_of_a_senseless_size_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 40)  # sparse: takes no space
    with pytest.raises(TamperedError, match="sane size"):
        read_file(tmp_path / "a")
