import os
from pathlib import Path

import pytest

from digitline.errors import SourceError
from digitline.sources.folder import has_digits, open_folder

MAX = 1 << 20


def test_label_is_the_sub_folder_however_deep(tmp_path: Path) -> None:
    for name in ("3/a.png", "3/deep/down/b.png", "0/c.tif", "stray.png", "unsure/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    items = list(open_folder(tmp_path, MAX).read("train"))
    assert [(item.path, item.label) for item in items] == [
        ("0/c.tif", 0),
        ("3/a.png", 3),
        ("3/deep/down/b.png", 3),
        ("stray.png", None),
        ("unsure/d.png", None),
    ]
    assert items[1].content == b"3/a.png"


def test_train_and_test_stand_above_the_digits(tmp_path: Path) -> None:
    for name in ("train/1/a.png", "test/2/b.png", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    source = open_folder(tmp_path, MAX)
    assert source.parts == ("train", "test")
    assert [(i.path, i.label) for i in source.read("train")] == [("train/1/a.png", 1)]
    assert [(i.path, i.label) for i in source.read("test")] == [("test/2/b.png", 2)]


def test_a_third_part_is_not_passed_over(tmp_path: Path) -> None:
    for name in ("train/1", "test/1", "validation/1"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(SourceError, match="validation is neither train nor test"):
        open_folder(tmp_path, MAX)


def test_side_files_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "1" / ".git").mkdir(parents=True)
    for name in (".hidden.png", "notes.txt", "LABELS.CSV", "Thumbs.db", ".git/x.png", "real"):
        (tmp_path / "1" / name).write_bytes(b"x")
    assert [item.path for item in open_folder(tmp_path, MAX).read("train")] == ["1/real"]


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "4"
    folder.mkdir()
    (folder / "big.png").write_bytes(b"x" * 11)
    (folder / "empty.png").touch()
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "loop").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.png")
    items = list(open_folder(tmp_path, 10).read("train"))
    reasons = {item.path: item.problem.reason for item in items if item.problem}
    assert reasons == {
        "4/big.png": "too-large",
        "4/empty.png": "empty",
        "4/gone.png": "unreadable",
        "4/loop": "unsupported",
        "4/pipe.png": "unsupported",
    }
    assert {item.label for item in items} == {4}


def test_recognised_by_digit_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "letters" / "a").mkdir(parents=True)
    (tmp_path / "digits" / "test" / "9").mkdir(parents=True)
    (tmp_path / "file" / "train").mkdir(parents=True)
    (tmp_path / "file" / "train" / "9").touch()
    assert not has_digits(tmp_path / "letters")
    assert has_digits(tmp_path / "digits")
    assert not has_digits(tmp_path / "file")
