import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from digitline.errors import DataError
from digitline.sources.files import UnreadableError
from digitline.sources.listing import (
    Selection,
    list_batches,
    list_images,
    read_entries,
    to_entries,
)

MAX = 1000
FILES = {"b/2.png": b"two", "a.jpg": b"one", ".hidden/x.png": b"no", "notes.txt": b"no"}
Pack = Callable[[Path, dict[str, bytes]], Path]


def pack_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/", b"")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def pack_tar(path: Path, files: dict[str, bytes]) -> Path:
    packed = path.suffix == ".tgz"
    with tarfile.open(path, "w:gz") if packed else tarfile.open(path, "w:") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def found(path: Path) -> dict[str, bytes | str]:
    entries = list(list_images(str(path), "1"))
    contents = read_entries(entries, MAX)
    return {
        entry.name: content.reason if isinstance(content, UnreadableError) else content
        for entry, content in zip(entries, contents, strict=True)
    }


@pytest.mark.parametrize(
    ("name", "pack"), [("f.zip", pack_zip), ("f.tar", pack_tar), ("f.tgz", pack_tar)]
)
def test_members_are_read_in_any_order(tmp_path: Path, name: str, pack: Pack) -> None:
    many = {f"{number}.png": b"x" * (number + 1) for number in range(30)}
    long = {"deep/" * 40 + "é.png": b"long"}
    path = pack(tmp_path / name, {**FILES, **many, **long, "big.png": b"x" * 1001, "e.png": b""})
    entries = list(list_images(str(path), "1"))
    assert found(path) == {
        "b/2.png": b"two",
        "a.jpg": b"one",
        **many,
        **long,
        "big.png": "too-large",
        "e.png": "empty",
    }
    backwards = list(read_entries(entries[29::-1], MAX))
    assert backwards == list(read_entries(entries[:30], MAX))[::-1]
    path.unlink()
    gone = next(read_entries(entries[:1], MAX))
    assert isinstance(gone, UnreadableError)
    assert gone.reason == "vanished"


@pytest.mark.parametrize(("name", "pack"), [("f.zip", pack_zip), ("f.tar", pack_tar)])
def test_names_that_lead_out_are_rows_with_a_reason(tmp_path: Path, name: str, pack: Pack) -> None:
    bad = ["../up.png", "/etc/it.png", "a/../../b.png", "C:\\it.png", "..\\it.png"]
    path = pack(tmp_path / name, dict.fromkeys(bad, b"x"))
    assert found(path) == dict.fromkeys(bad, "unsupported")


def test_links_and_devices_are_rows_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "f.tar"
    with tarfile.open(path, "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"{kind.decode()}.png")
            info.type = kind
            info.linkname = "/etc/passwd"
            archive.addfile(info)
    assert set(found(path).values()) == {"unsupported"}
    assert len(found(path)) == 4
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as packed:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, "/etc/passwd")
    assert found(tmp_path / "f.zip") == {"link.png": "unsupported"}


def test_a_member_larger_than_it_says_is_not_read_further(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "f.zip", {"a.png": b"x" * 100})
    raw = path.read_bytes()
    path.write_bytes(raw.replace((100).to_bytes(4, "little"), (3).to_bytes(4, "little")))
    assert found(path) == {"a.png": "unreadable"}


def test_a_tar_that_unpacks_without_end_is_stopped(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("0.png"))
        info = tarfile.TarInfo("bomb.png")
        info.size = 1 << 40
        whole.write(info.tobuf())
    path = tmp_path / "f.tgz"
    path.write_bytes(gzip.compress(whole.getvalue() + b"\0" * 4096))
    assert found(path) == {"0.png": "empty", "f.tgz": "too-large"}


def test_an_archive_that_breaks_off_says_so(tmp_path: Path) -> None:
    path = pack_tar(tmp_path / "f.tgz", {f"{n}.png": bytes([n]) * 900 for n in range(90)})
    path.write_bytes(path.read_bytes()[:-40])
    assert found(path)["f.tgz"] == "truncated"


def test_a_member_without_a_name_is_called_by_its_number(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "f.zip", {"Q": b"nameless", "a.png": b"one"})
    content = bytearray(path.read_bytes())
    # How long its name is, where the file begins and in the directory: nothing, and a byte more.
    for at in (content.index(b"Q") - 4, content.rindex(b"Q") - 18):
        content[at : at + 4] = b"\0\0\1\0"
    path.write_bytes(content)
    assert found(path) == {"#1": b"nameless", "a.png": b"one"}


def test_a_zip_without_a_directory_is_named(tmp_path: Path) -> None:
    path = pack_zip(tmp_path / "f.zip", {"a.png": b"abc" * 40})
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"PK\1\2", b"PK\7\7"))
    with pytest.raises(DataError, match="zip"):
        found(path)


@pytest.mark.parametrize(
    ("include", "exclude", "names"),
    [
        ((), (), ["a/1.png", "a/b/2.png", "a/b/3.jpg"]),
        (("*.png",), (), ["a/1.png", "a/b/2.png"]),
        (("a/b/*",), (), ["a/b/2.png", "a/b/3.jpg"]),
        (("*.png", "3.*"), ("2*",), ["a/1.png", "a/b/3.jpg"]),
        ((), ("a/*.png",), ["a/b/3.jpg"]),
    ],
)
def test_patterns_choose(
    tmp_path: Path, include: tuple[str, ...], exclude: tuple[str, ...], names: list[str]
) -> None:
    for name in ("a/1.png", "a/b/2.png", "a/b/3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    batches = list_batches(str(tmp_path), "1", Selection(include, exclude))
    assert [entry.name for batch in batches for entry in to_entries(batch)] == names
