"""The inbox: a folder that is watched, told apart from what it was by names, sizes and times."""

import hashlib
from pathlib import Path

from digitline.errors import SourceError
from digitline.sources.files import walk


def fingerprint(folder: Path) -> str:
    """Identify what lies in the folder without reading it; nothing where it is empty.

    Raises `SourceError` where the folder is missing.
    """
    if not folder.is_dir():
        raise SourceError(
            "no such folder", where=folder, todo="Make it, or correct `service.inbox`"
        )
    digest, count = hashlib.sha256(), 0
    for found in walk(folder):
        count += 1
        digest.update(f"{found.name}\0{_look(found.path)}\0".encode())
    return digest.hexdigest() if count else ""


def _look(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:  # gone meanwhile, or a broken link: the run says so
        return "-"
    return f"{status.st_size} {status.st_mtime_ns}"
