"""Small signed files: a record and the signature over it in one JSON."""

from pathlib import Path
from typing import Generic, TypeVar

from pydantic import SerializeAsAny, ValidationError

from digitline.errors import TamperedError
from digitline.models.card import Record, to_json
from digitline.models.signing import Purpose, Signature, Signer, Verifier

Body = TypeVar("Body", bound=Record)


class Sealed(Record, Generic[Body]):
    """A record and its signature."""

    body: SerializeAsAny[Body]
    signature: Signature


def seal(body: Record, purpose: Purpose, signer: Signer) -> bytes:
    """Sign a record and write both as JSON."""
    signature = signer.sign(purpose, to_json(body))
    return to_json(Sealed[Record](body=body, signature=signature))


def unseal(
    content: bytes, kind: type[Body], purpose: Purpose, verifier: Verifier, where: Path, todo: str
) -> Body:
    """Read a sealed record.

    Raises `TamperedError`, with `todo` as its advice, unless it is as it was sealed, to the byte.
    """
    try:
        sealed = Sealed[kind].model_validate_json(content)  # type: ignore[valid-type]  # at run time
    except ValidationError as error:
        raise _foreign(where, todo) from error
    if to_json(sealed) != content:
        raise _foreign(where, todo)
    verifier.check(purpose, to_json(sealed.body), sealed.signature, where, todo)
    return sealed.body


def _foreign(where: Path, todo: str) -> TamperedError:
    return TamperedError("not a file as Digitline writes it", where=where, todo=todo)
