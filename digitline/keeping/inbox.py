"""The inbox: a folder, or a prefix in a bucket, that is watched, and told from what it was."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from digitline.errors import SourceError
from digitline.objects import Address
from digitline.sources.bucket import walk_bucket
from digitline.sources.files import walk


def fingerprint(inbox: Path | Address) -> str:
    """Identify what lies in the inbox without reading it; nothing where it is empty.

    Raises `SourceError` where the folder is missing, or the bucket cannot be listed.
    """
    digest, count = hashlib.sha256(), 0
    for name, state in _list(inbox):
        count += 1
        digest.update(f"{name}\0{state}\0".encode())
    return digest.hexdigest() if count else ""


def _list(inbox: Path | Address) -> Iterator[tuple[str, str]]:
    """Name each image, and what becomes another with its content: its tag, or size and time."""
    if isinstance(inbox, Address):
        return ((found.name, found.etag) for found in walk_bucket(inbox))
    if not inbox.is_dir():
        raise SourceError("no such folder", where=inbox, todo="Make it, or correct `service.inbox`")
    return ((found.name, _look(found.path)) for found in walk(inbox))


def _look(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:  # gone meanwhile, or a broken link: the run says so
        return "-"
    return f"{status.st_size} {status.st_mtime_ns}"
