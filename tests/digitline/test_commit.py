import errno
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from digitline.commit import (
    MANIFEST_NAME,
    Manifest,
    Shard,
    check_shards,
    describe,
    file_digest,
    locked,
    read_manifest,
    replacing,
    storage_errors,
    sweep_drafts,
    write_bytes,
    write_manifest,
)
from digitline.errors import BusyError, DataError, StorageError, TamperedError
from digitline.home import CHECKOUT

DIGEST = "0" * 64
SHARDS = st.builds(
    Shard,
    name=st.from_regex(r"[a-z0-9]{1,8}\.parquet", fullmatch=True),
    rows=st.integers(0, 9),
    bytes=st.integers(0, 9),
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
)
MANIFESTS = st.builds(
    Manifest,
    kind=st.text(max_size=8),
    shards=st.lists(SHARDS, max_size=4).map(tuple),
    facts=st.dictionaries(st.text(max_size=5), st.one_of(st.text(), st.integers(), st.none())),
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "it"
    with replacing(path, mode=0o600) as draft:
        draft.write_bytes(b"content")
        assert draft.parent == path.parent
        assert draft.name.startswith(".")
        assert not path.exists()
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(path.parent) == ["it"]


def test_an_error_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    def write_badly() -> None:
        with replacing(tmp_path / "it") as draft:
            draft.write_bytes(b"half")
            raise ValueError("stop")

    write_bytes(tmp_path / "it", b"old")
    with pytest.raises(ValueError, match="stop"):
        write_badly()
    assert (tmp_path / "it").read_bytes() == b"old"
    assert names(tmp_path) == ["it"]


def test_a_secret_is_never_readable_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = Path.write_bytes

    def spy(self: Path, content: bytes) -> int:
        seen.append(self.stat().st_mode & 0o777)
        return real(self, content)

    monkeypatch.setattr(Path, "write_bytes", spy)
    write_bytes(tmp_path / "key", b"secret", mode=0o600)
    assert seen == [0o600]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "the disk fails"),
    ],
)
def test_the_disk_speaks_to_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    def refuse(self: Path, content: bytes) -> int:
        del content
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(StorageError, match=said):
        write_bytes(tmp_path / "it", b"x")
    assert names(tmp_path) == []


def test_drafts_of_killed_processes_are_swept_and_nothing_else(tmp_path: Path) -> None:
    kept = [".it.backup", ".item.0123456789ab", "it", "it.0123456789ab"]
    for name in (*kept, ".it.0123456789ab"):
        (tmp_path / name).touch()
    sweep_drafts(tmp_path / "it")
    sweep_drafts(tmp_path / "nowhere" / "it")
    assert names(tmp_path) == sorted(kept)


def test_a_file_in_the_way_of_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(StorageError, match="a file is where a directory should be"):
        write_bytes(tmp_path / "a" / "b", b"x")


def test_a_directory_in_the_way_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match="a directory is where a file should be"):
        write_bytes(tmp_path / "a", b"x")


def test_other_errors_are_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), storage_errors(tmp_path):
        (tmp_path / "gone").read_bytes()


@given(MANIFESTS)
def test_a_manifest_comes_back_as_it_was(manifest: Manifest) -> None:
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


def test_a_manifest_commits_a_directory(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    assert read_manifest(tmp_path / "gone") is None
    (tmp_path / "file").touch()
    assert read_manifest(tmp_path / "file") is None
    manifest = Manifest(kind="rows", shards=(Shard(name="a", rows=1, bytes=2, sha256=DIGEST),))
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    assert manifest.shard("a").rows == 1
    with pytest.raises(KeyError):
        manifest.shard("b")


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b'{"kind": "x", "shards": [1]}'])
def test_a_manifest_of_nonsense_is_named(tmp_path: Path, text: bytes) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(text)
    with pytest.raises(DataError, match=re.escape(str(tmp_path / MANIFEST_NAME))):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["", "..", ".", "a/b", "/a", ".hidden", "a\0b"])
def test_a_shard_lies_in_its_directory(name: str) -> None:
    with pytest.raises(ValidationError):
        Shard(name=name, rows=1, bytes=1, sha256=DIGEST)


@given(MANIFESTS, MANIFESTS)
def test_the_digest_is_the_identity_of_the_rows(one: Manifest, other: Manifest) -> None:
    def identity(manifest: Manifest) -> object:
        return manifest.kind, [(shard.name, shard.sha256) for shard in manifest.shards]

    assert (one.digest == other.digest) == (identity(one) == identity(other))
    assert one.model_copy(update={"facts": {"another": 1}}).digest == one.digest


def change(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"!")


@pytest.mark.parametrize("damage", [change, Path.unlink, lambda path: path.write_bytes(b"")])
def test_damaged_shards_are_found(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    (tmp_path / "a").write_bytes(b"content")
    manifest = Manifest(kind="x", shards=(describe(tmp_path / "a", rows=3),))
    check_shards(tmp_path, manifest)
    damage(tmp_path / "a")
    with pytest.raises(TamperedError):
        check_shards(tmp_path, manifest)


def test_a_file_is_described(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    assert file_digest(tmp_path / "a") == digest
    assert describe(tmp_path / "a", rows=3) == Shard(name="a", rows=3, bytes=7, sha256=digest)


def test_a_lock_is_for_one_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "job.lock"
    with locked(lock, "job"):
        with pytest.raises(BusyError, match="another run of job"), locked(lock, "job"):
            pass
        with pytest.raises(BusyError), locked(lock, "job", patience=0.05):
            pass
    with locked(lock, "job"):
        pass


def test_a_killed_process_frees_its_lock(tmp_path: Path) -> None:
    lock = tmp_path / "job.lock"
    holder = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from digitline.commit import locked\n"
        "with locked(Path(sys.argv[1]), 'job'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(lock)], stdout=subprocess.PIPE, cwd=CHECKOUT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(BusyError), locked(lock, "job"):
            pass
        process.kill()
        process.wait()
        with locked(lock, "job"):
            pass
