"""Small records as JSON that end with their own SHA-256: one changed byte and they are refused.

The digest tells damage, not malice: whoever can write the file can write another digest.
"""

import re
from hashlib import sha256
from typing import TypeVar

from pydantic import BaseModel, ValidationError

Record = TypeVar("Record", bound=BaseModel)

_KEY = "sha256"
_END = re.compile(rb',\n  "sha256": "(?P<digest>[0-9a-f]{64})"\n\}\n\Z')


class RecordError(ValueError):
    """The record is damaged; `str(error)` says how, after the name of what it was."""


def to_bytes(record: BaseModel) -> bytes:
    """Write a record as JSON with its digest as its last key: `sha256`, so none of its own."""
    text = record.model_dump_json(indent=2).removesuffix("\n}").encode()
    digest = sha256(text).hexdigest()
    return text + f',\n  "{_KEY}": "{digest}"\n}}\n'.encode()


def from_bytes(content: bytes, kind: type[Record]) -> Record:
    """Read a record back; one of an earlier version has no digest, and is taken as it is.

    Raises `RecordError` where it is not, to the byte, as it was written. `kind` must forbid unknown
    fields: a broken key must not pass for a record without a digest.
    """
    end = _END.search(content)
    if end is not None and sha256(content[: end.start()]).hexdigest().encode() != end["digest"]:
        raise RecordError("differs from what was written")
    try:
        return kind.model_validate_json(content if end is None else content[: end.start()] + b"\n}")
    except ValidationError as error:
        raise RecordError("cannot be understood") from error


def has_digest(content: bytes) -> bool:
    """Say whether a record ends with a digest, as those of earlier versions do not."""
    return _END.search(content) is not None
