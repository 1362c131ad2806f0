import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digitline.errors import DataError, SourceError
from digitline.sources.manifest import assign_parts, find_manifests, open_manifests, read_lines

MAX = 1 << 20


def write(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_labels_and_files_beside_the_csv(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"one")
    (tmp_path / "b, c.png").write_bytes(b"two")
    path = write(tmp_path, 'label,file,note\r\n3,in/a.png,x\r\n\r\n,"b, c.png",y\r\n')
    items = list(open_manifests({"train": path}, path, MAX).read("train"))
    assert [(i.path, i.label, i.content) for i in items] == [
        ("in/a.png", 3, b"one"),
        ("b, c.png", None, b"two"),
    ]


def test_a_missing_file_is_an_item_with_a_problem(tmp_path: Path) -> None:
    path = write(tmp_path, "file,label\ngone.png,3\n")
    (item,) = open_manifests({"train": path}, path, MAX).read("train")
    assert item.problem is not None
    assert item.problem.reason == "vanished"


def test_a_byte_order_mark_and_names_that_are_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xf6.png")).write_bytes(b"x")
    path = write(tmp_path, b"\xef\xbb\xbffile,label\n\xf6.png,1\n")
    (item,) = open_manifests({"train": path}, path, MAX).read("train")
    assert (item.path, item.content) == (r"\xf6.png", b"x")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("../secret.png,1", "line 3: the file `../secret.png` lies outside"),
        ("in/../../x,1", "line 3: the file `in/../../x` lies outside"),
        ("/etc/passwd,1", "line 3: the file `/etc/passwd` lies outside"),
        ("out.png,1", "line 3: the file `out.png` lies outside"),
        ("linked/x.png,1", "line 3: the file `linked/x.png` lies outside"),
        ("a.png,seven", "line 3: the label `seven` is not a whole number"),
        ("a.png,7.0", "line 3: the label `7.0`"),
        ("a.png,1_0", "line 3: the label `1_0`"),
        ("a.png", "line 3: not as many fields"),
        ("a.png,1,2", "line 3: not as many fields"),
        (",1", "line 3: no file name"),
        ('"a.png"x,1', "line 3: not CSV"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"x")
    (tmp_path / "secret.png").write_bytes(b"x")
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    (folder / "linked").symlink_to(tmp_path)
    path = write(folder, f"file,label\na.png,1\n{line}\n")
    with pytest.raises(DataError, match="line 3") as caught:
        list(open_manifests({"train": path}, path, MAX).read("train"))
    assert said in str(caught.value)


def test_a_link_that_stays_inside_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "b.png").symlink_to("a.png")
    path = write(tmp_path, "file,label\nb.png,1\n")
    (item,) = open_manifests({"train": path}, path, MAX).read("train")
    assert item.content == b"x"


def test_a_csv_in_a_linked_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").write_bytes(b"x")
    write(tmp_path / "real", "file,label\na.png,1\n")
    (tmp_path / "link").symlink_to("real")
    (line,) = read_lines(tmp_path / "link" / "labels.csv", labelled=True)
    assert line.path.read_bytes() == b"x"


@pytest.mark.parametrize("text", ["path,label\n", "file;label\n", "", "file\n", "\0\1\2"])
def test_a_missing_column_is_named(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError, match="no column `"):
        open_manifests({"train": path}, path, MAX)
    assert find_manifests(tmp_path) == []


def test_scoring_needs_no_labels(tmp_path: Path) -> None:
    path = write(tmp_path, "file\na.png\n")
    assert [line.label for line in read_lines(path, labelled=False)] == [None]


def test_two_lists_go_by_their_names(tmp_path: Path) -> None:
    train = write(tmp_path, "file,label\n", "train.csv")
    assert assign_parts([train], tmp_path) == {"train": train}
    test = write(tmp_path, "file,label\n", "Test.csv")
    write(tmp_path, "something,else\n", "other.csv")
    assert assign_parts(find_manifests(tmp_path), tmp_path) == {"train": train, "test": test}
    more = write(tmp_path, "file,label\n", "more.csv")
    with pytest.raises(SourceError, match="2 CSV files list images"):
        assign_parts([train, more], tmp_path)


@given(st.text(min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_name_leads_out_and_none_breaks_the_reader(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "set"
    folder.mkdir(exist_ok=True)
    quoted = name.replace('"', '""').encode("utf-8", "surrogatepass")
    path = write(folder, b'file,label\n"' + quoted + b'",1\n')
    try:
        (line,) = read_lines(path, labelled=True)
    except DataError:
        return
    assert line.path.resolve().is_relative_to(folder.resolve())


@given(st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_read_or_refused_for_people(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, b"file,label\n" + text.encode("utf-8", "surrogatepass"))
    try:
        lines = list(read_lines(path, labelled=True))
    except DataError:
        return
    assert all(line.path.is_relative_to(tmp_path) for line in lines)
