import inspect
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitline.sources import files
from digitline.sources.files import UnreadableError, is_side_file, read_file, walk


def test_walks_by_the_bytes_of_the_names(tmp_path: Path) -> None:
    for name in ("b/z", "b/a", "a", "B", "c/d/e", "c.png", "\xe4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [found.name for found in walk(tmp_path)] == [
        "B", "a", "b/a", "b/z", "c/d/e", "c.png", "\xe4",
    ]  # fmt: skip


def test_names_that_are_not_utf_8_become_valid_and_stay_readable(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"sl\xf6t.png")
    path.write_bytes(b"content")
    (found,) = walk(tmp_path)
    assert found.name == r"sl\xf6t.png"
    assert read_file(found.path, 100) == b"content"


def test_links_to_folders_are_told_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").write_bytes(b"x")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    (tmp_path / "other").symlink_to("real")
    (tmp_path / "self").symlink_to("self")
    found = {one.name: one.problem.reason if one.problem else "" for one in walk(tmp_path)}
    assert found == {
        "other": "unsupported",
        "real/a.png": "",
        "real/up": "unsupported",
        "self": "unreadable",
    }


def test_a_link_to_an_image_is_an_image(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "in" / "b.png").symlink_to(tmp_path / "a.png")
    (found,) = walk(tmp_path / "in")
    assert found.problem is None
    assert read_file(found.path, 10) == b"x"


def test_a_folder_that_cannot_be_listed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "open.png").write_bytes(b"x")
    real = os.scandir

    def deny(path: bytes) -> object:
        if Path(os.fsdecode(path)).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", deny)
    locked, image = walk(tmp_path)
    assert locked.problem is not None
    assert (locked.name, locked.problem.reason) == ("locked", "unreadable")
    assert image.name == "open.png"


def test_walks_without_recursion(tmp_path: Path) -> None:
    (tmp_path / "/".join("d" * 200)).mkdir(parents=True)
    (tmp_path / "/".join("d" * 200) / "a.png").write_bytes(b"x")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        found = list(walk(tmp_path))
    finally:
        sys.setrecursionlimit(limit)
    assert [one.path.name for one in found] == ["a.png"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "vanished"),
        (lambda path: path.mkdir(), "unsupported"),
        (os.mkfifo, "unsupported"),
        (lambda path: path.touch(), "empty"),
        (lambda path: path.write_bytes(b"x" * 101), "too-large"),
        (lambda path: path.symlink_to(path), "unreadable"),
        (lambda path: path.symlink_to("/dev/zero"), "unsupported"),
    ],
)
def test_reading_says_why_not(tmp_path: Path, make: object, reason: str) -> None:
    path = tmp_path / "it"
    assert callable(make)
    make(path)
    with pytest.raises(UnreadableError) as caught:
        read_file(path, 100)
    assert caught.value.reason == reason


def test_the_largest_allowed_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(b"x" * 100)
    assert len(read_file(tmp_path / "it", 100)) == 100


def test_a_file_that_lies_about_its_size_is_still_bounded() -> None:
    # Files of the kernel have size 0 and plenty of content.
    with pytest.raises(UnreadableError) as caught:
        read_file(Path("/proc/self/maps"), 100)
    assert caught.value.reason == "too-large"


@given(st.sampled_from(sorted(files.SIDE_SUFFIXES)), st.text("abcÄ1_- ", min_size=1))
def test_side_files_are_known_in_any_case(suffix: str, stem: str) -> None:
    assert is_side_file(stem + suffix)
    assert is_side_file(stem + suffix.upper())
    assert not is_side_file(stem + ".png")
    assert is_side_file("." + stem + ".png")
