import errno
import subprocess
import sys
from pathlib import Path

import pytest

from digitline.errors import StorageError
from digitline.home import CHECKOUT
from digitline.sources import swap
from digitline.sources.swap import replacing_directory, standing


@pytest.fixture(params=["exchange", "two renames"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "two renames":
        monkeypatch.setattr(swap, "_exchange_at_once", lambda *_: False)
    return str(request.param)


def write(directory: Path, text: str) -> None:
    with replacing_directory(directory) as draft:
        (draft / "a").write_text(text)
        (draft / "b").write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("either_way")
def test_replaces_all_and_leaves_nothing_beside(tmp_path: Path) -> None:
    write(tmp_path / "in" / "it", "old")
    (tmp_path / "in" / "it" / "c").touch()
    write(tmp_path / "in" / "it", "new")
    assert names(tmp_path / "in") == ["it"]
    assert names(tmp_path / "in" / "it") == ["a", "b"]
    assert (tmp_path / "in" / "it" / "a").read_text() == "new"


@pytest.mark.usefixtures("either_way")
def test_an_error_leaves_the_old(tmp_path: Path) -> None:
    def write_badly() -> None:
        with replacing_directory(tmp_path / "it") as draft:
            (draft / "a").write_text("new")
            raise ValueError("stop")

    write(tmp_path / "it", "old")
    with pytest.raises(ValueError, match="stop"):
        write_badly()
    assert names(tmp_path) == ["it"]
    assert (tmp_path / "it" / "a").read_text() == "old"


def test_a_link_to_a_directory_stays_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_text() == "new"


# Replaces the directory by two renames, and is killed before the rename of that number.
_KILLED = """
import os, sys
from pathlib import Path
from digitline.home import CHECKOUT
from digitline.sources import swap

step, directory = int(sys.argv[1]), Path(sys.argv[2])
done, rename = iter(range(10)), Path.rename
Path.rename = lambda self, to: os._exit(9) if next(done) == step else rename(self, to)
swap._exchange_at_once = lambda one, other: False
with swap.replacing_directory(directory) as draft:
    (draft / "a").write_text("new")
    (draft / "b").write_text("new")
"""


@pytest.mark.parametrize(("step", "seen"), [(0, "old"), (1, "old"), (2, "new")])
def test_killed_between_two_renames_something_whole_stands(
    tmp_path: Path, step: int, seen: str
) -> None:
    directory = tmp_path / "it"
    write(directory, "old")
    killed = [sys.executable, "-c", _KILLED, str(step), str(directory)]
    assert subprocess.run(killed, check=False, cwd=CHECKOUT).returncode == 9
    place = standing(directory)
    assert {(place / "a").read_text(), (place / "b").read_text()} == {seen}
    write(directory, "newest")
    assert names(tmp_path) == ["it"]
    assert (directory / "a").read_text() == "newest"


def test_the_kernel_exchanges_where_it_can(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not swap._exchange_at_once(tmp_path / "one", tmp_path / "other"):
        pytest.skip("no renameat2 here")
    assert names(tmp_path / "one") == ["other"]
    assert names(tmp_path / "other") == ["one"]
    with pytest.raises(OSError, match="No such file"):
        swap._exchange_at_once(tmp_path / "one", tmp_path / "gone")


def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match="read-only"), replacing_directory(tmp_path / "it"):
        pass
