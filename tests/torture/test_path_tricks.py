"""Archives, lists and manifests that lead elsewhere: what lies there is never read."""

import csv
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from digitline.commit import Manifest, Shard
from digitline.errors import DigitlineError
from digitline.pixels.normalise import NORMALISER
from digitline.scoring.job import check_name
from digitline.sources.dataset import locate
from digitline.sources.files import UnreadableError
from digitline.sources.listing import list_images, read_entries
from digitline.sources.recognise import open_source
from tests.torture.attack import Attack

PATHS = Attack(
    row=14,
    name="path tricks in archives, lists, folders, manifests and names: `..`, absolute, links, "
    "devices",
    holds="refused: what lies elsewhere is never read",
    small=100,
    full=100,
    batch=10,
)
MOST = 1 << 20


def lead_out(secret: Path, inside: Path, dice: Random) -> str:
    """Name the secret from within a folder, in one of the ways there are."""
    up = os.path.relpath(secret, inside)
    return dice.choice(
        (
            str(secret),
            up,
            f"sub/../{up}",
            f"./././{up}",
            f"/{secret}",
            f"//{secret}",
            f"C:{up}".replace("/", "\\"),
            f"a/b/../../{up}",
            f"..\\{secret.name}",
            f"sub/{'../' * 30}{str(secret).lstrip('/')}",
        )
    )


def trick_zip(secret: Path, place: Path, dice: Random) -> Path:
    path = place / "pack.zip"
    names = {lead_out(secret, place, dice) for _ in range(3)}
    with zipfile.ZipFile(path, "w") as pack:
        for name in sorted(names):
            info = zipfile.ZipInfo(name)
            info.external_attr = (
                dice.choice((0o644, stat.S_IFLNK | 0o777, stat.S_IFBLK | 0o644)) << 16
            )
            pack.writestr(info, str(secret).encode())
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        pack.writestr(link, str(secret).encode())
    return path


def trick_tar(secret: Path, place: Path, dice: Random) -> Path:
    path = place / dice.choice(("pack.tar", "pack.tgz"))
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w:") as pack:
        for number in range(4):
            kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE)
            info = tarfile.TarInfo(f"{number}.png")
            info.type = dice.choice((*kinds, tarfile.FIFOTYPE, tarfile.CONTTYPE, b"S"))
            info.linkname = lead_out(secret, place, dice)
            info.devmajor, info.devminor = 1, 5
            pack.addfile(info)
            out = tarfile.TarInfo(lead_out(secret, place, dice))
            out.size = 3
            pack.addfile(out, io.BytesIO(b"abc"))
    return path


def trick_list(secret: Path, place: Path, dice: Random) -> Path:
    (place / "sub").mkdir()
    (place / "sub" / "link.png").symlink_to(secret)
    (place / "up").symlink_to(secret.parent)
    names = [lead_out(secret, place, dice), "sub/link.png", f"up/{secret.name}"]
    path = place / "list.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label"], [dice.choice(names), "1"]])
    return path


def trick_folder(secret: Path, place: Path, dice: Random) -> Path:
    folder = place / "1"
    folder.mkdir()
    (folder / "away").symlink_to(secret.parent, target_is_directory=True)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.png")
    (folder / "gone.png").symlink_to(place / "nothing")
    (folder / "endless.png").symlink_to("/dev/zero")
    (folder / "self.png").symlink_to("self.png")
    return place


def trick_manifest(secret: Path, place: Path, dice: Random) -> Path:
    name = lead_out(secret, place, dice)
    digest = "0" * 64
    text = Manifest(kind="dataset", shards=(Shard(name="a", rows=1, bytes=1, sha256=digest),))
    (place / "_MANIFEST.json").write_text(
        text.model_dump_json().replace('"a"', '"' + name.replace("\\", "\\\\") + '"')
    )
    return place


TRICKS = (trick_zip, trick_tar, trick_list, trick_folder, trick_manifest)


def read_all(path: Path, labelled: bool) -> list[bytes]:  # noqa: FBT001 - both ways of reading
    """Give every content that can be had from a source."""
    if labelled:
        source = open_source(str(path))
        return [item.content for part in source.parts for item in source.read(part)]
    entries = list(list_images(str(path), NORMALISER))
    contents = list(read_entries(entries, MOST))
    assert len(contents) == len(entries)
    return [content for content in contents if not isinstance(content, UnreadableError)]


def test_what_lies_elsewhere_is_never_read(
    mnist: tuple[list[bytes], NDArray[np.int64]], tmp_path: Path
) -> None:
    secret = tmp_path / "private" / "secret.png"
    secret.parent.mkdir()
    secret.write_bytes(mnist[0][0])
    for trial in PATHS.rounds():
        with trial as attack:
            for case in range(attack.cases):
                number = attack.first + case
                place = tmp_path / f"{number}"
                place.mkdir()
                path = TRICKS[number % len(TRICKS)](secret, place, attack.dice)
                for labelled in (False, True):
                    try:
                        contents = read_all(path, labelled)
                    except DigitlineError:
                        continue
                    assert mnist[0][0] not in contents, (number, path, labelled)
                refuse_name(lead_out(secret, place, attack.dice), place)


def refuse_name(name: str, place: Path) -> None:
    with pytest.raises(DigitlineError):
        check_name(name)
    try:
        located = locate(place / "data", name)
    except DigitlineError:
        pass
    else:
        assert located.parent == place / "data"
    with pytest.raises(ValidationError):
        Shard(name=name if "/" in name else f"/{name}", rows=0, bytes=0, sha256="0" * 64)
