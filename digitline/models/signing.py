"""The key pair that signs models: Ed25519 (RFC 8032), made on first use.

The private key stays with the home that trains; to check signatures the public ones are enough:
`signing.pub`, and in `trusted` those of pairs that signed before it. What a key in `retired` has
signed is refused. Every signature is for one purpose: one over a champion's pointer says nothing
about a version.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import Field

from digitline.commit import locked, storage_errors, write_bytes
from digitline.errors import DigitlineError, RetiredKeyError, StorageError, TamperedError
from digitline.models.card import Record
from digitline.models.files import check_private, check_unwritable, read_file

PRIVATE_NAME = "signing.pem"
PUBLIC_NAME = "signing.pub"
NEXT_NAME = "next.pem"  # the private key that a rotation is about to sign with
TRUSTED_NAME = "trusted"
RETIRED_NAME = "retired"
_LOCK_NAME = ".lock"
_PATIENCE = 30.0  # seconds that another process may take to write the pair


class Purpose(StrEnum):
    """What a signature is for."""

    VERSION = "version"
    CHAMPION = "champion"
    HIGH_WATER = "high-water"


class Signature(Record):
    """An Ed25519 signature in base64, and the fingerprint of the key that made it."""

    key: str = Field(pattern=r"^[0-9a-f]{16}\z")
    value: str = Field(pattern=r"^[A-Za-z0-9+/]{86}==\z")


def fingerprint_of(public: Ed25519PublicKey) -> str:
    """Give the first 16 hex digits of the SHA-256 of a public key."""
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return sha256(raw).hexdigest()[:16]


@dataclass(frozen=True)
class Verifier:
    """Check signatures with the public key, and with those that are trusted beside it.

    `trusted` and `retired` are by their fingerprints; what is retired is trusted nowhere.
    """

    public: Ed25519PublicKey
    trusted: Mapping[str, Ed25519PublicKey] = field(default_factory=dict)
    retired: frozenset[str] = frozenset()

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the key that signs today."""
        return fingerprint_of(self.public)

    def check(
        self, purpose: Purpose, content: bytes, signature: Signature, where: Path, todo: str
    ) -> None:
        """Raise `TamperedError`, with `todo` as its advice, unless we signed `content` for this."""
        if signature.key in self.retired:
            raise RetiredKeyError(
                f"signed by a key that was retired ({signature.key})",
                where=where,
                todo="Use what a newer key has signed, or train again with `digitline retrain`",
            )
        public = {**self.trusted, self.fingerprint: self.public}.get(signature.key)
        if public is None:
            raise TamperedError(
                f"signed by another key ({signature.key}, not {self.fingerprint})",
                where=where,
                todo=f"Use it only with the {PUBLIC_NAME} of the home it was made in",
            )
        try:
            public.verify(_decode(signature.value), _message(purpose, content))
        except (InvalidSignature, binascii.Error) as error:
            raise TamperedError("the signature does not match", where=where, todo=todo) from error


@dataclass(frozen=True)
class Signer:
    """Sign with the private key."""

    private: Ed25519PrivateKey

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the key."""
        return fingerprint_of(self.private.public_key())

    @property
    def verifier(self) -> Verifier:
        """What checks this signer's signatures."""
        return Verifier(self.private.public_key())

    def sign(self, purpose: Purpose, content: bytes) -> Signature:
        """Sign `content` for `purpose`."""
        value = self.private.sign(_message(purpose, content))
        return Signature(key=self.fingerprint, value=base64.b64encode(value).decode("ascii"))


def open_verifier(keys: Path) -> Verifier:
    """Load the public keys of the directory `keys`.

    Raises `TamperedError` where there is none or it is broken, `StorageError` where others
    could have replaced it.
    """
    path = keys / PUBLIC_NAME
    try:
        content = read_file(path)
    except FileNotFoundError as error:
        raise TamperedError(
            "no public key to check signatures with",
            where=path,
            todo=f"Copy {PUBLIC_NAME} from the home the models were made in",
        ) from error
    check_unwritable(keys)
    check_unwritable(path)
    # In this order: a key that is retired between the two is found in the second.
    trusted = _read_keys(keys / TRUSTED_NAME)
    return Verifier(_public_key(content, path), trusted, frozenset(_read_keys(keys / RETIRED_NAME)))


def open_signer(keys: Path) -> Signer:
    """Load the private key of the directory `keys`; make the pair where there is none.

    Two processes that make it at once end with one pair. Raises `StorageError` where others
    can read the private key or only the public one is here, `TamperedError` where the two do
    not belong together.
    """
    if not ((keys / PRIVATE_NAME).exists() and (keys / PUBLIC_NAME).exists()):
        _complete_pair(keys)
    signer = read_signer(keys / PRIVATE_NAME)
    verifier = open_verifier(keys)
    if verifier.fingerprint == signer.fingerprint:
        return signer
    # Where a rotation was killed between the two, both are trusted by now.
    if not {signer.fingerprint, verifier.fingerprint} <= verifier.trusted.keys():
        raise _strangers(keys / PRIVATE_NAME)
    with locked(keys / _LOCK_NAME, "the signing keys", _PATIENCE):
        return _publish(keys)


def check_keys(keys: Path) -> Iterator[DigitlineError]:
    """Check every key in the directory `keys` to the byte; give what is wrong with each."""
    read = {PRIVATE_NAME: _private_pem_of, NEXT_NAME: _private_pem_of, PUBLIC_NAME: _public_pem_of}
    paths = [keys / name for name in read]
    paths += [*(keys / TRUSTED_NAME).glob("[!.]*"), *(keys / RETIRED_NAME).glob("[!.]*")]
    broken = False
    for path in filter(Path.exists, paths):
        try:
            if read_file(path) != read.get(path.name, _public_pem_of)(path):
                raise _broken("signing", path)
        except DigitlineError as error:
            broken = True
            yield error
    if can_sign(keys) and not broken:
        try:
            verifier, signer = open_verifier(keys), read_signer(keys / PRIVATE_NAME)
            pair = {signer.fingerprint, verifier.fingerprint}
            if len(pair) > 1 and not pair <= verifier.trusted.keys():
                yield from map(_strangers, (keys / PRIVATE_NAME, keys / PUBLIC_NAME))
        except DigitlineError as error:
            yield error


def _private_pem_of(path: Path) -> bytes:
    return private_pem(read_signer(path).private)


def _public_pem_of(path: Path) -> bytes:
    public = _public_key(read_file(path), path)
    if path.name not in {PUBLIC_NAME, f"{fingerprint_of(public)}.pub"}:
        raise _broken("public", path)
    return public_pem(public)


def can_sign(keys: Path) -> bool:
    """Say whether the private key is in the directory `keys`."""
    return (keys / PRIVATE_NAME).exists()


def _complete_pair(keys: Path) -> None:
    with storage_errors(keys):
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys.chmod(0o700)
    with locked(keys / _LOCK_NAME, "the signing keys", _PATIENCE):
        if not can_sign(keys):
            _make_first(keys)
        if not (keys / PUBLIC_NAME).exists():
            _publish(keys)


def make_private(path: Path) -> None:
    """Make a private key and write it to a file that is its owner's alone."""
    write_bytes(path, private_pem(Ed25519PrivateKey.generate()), mode=0o600)


def private_pem(private: Ed25519PrivateKey) -> bytes:
    """Write a private key as PEM."""
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(public: Ed25519PublicKey) -> bytes:
    """Write a public key as PEM."""
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _publish(keys: Path) -> Signer:
    """Write the public key that belongs to the private one."""
    signer = read_signer(keys / PRIVATE_NAME)
    write_bytes(keys / PUBLIC_NAME, public_pem(signer.private.public_key()))
    return signer


def _make_first(keys: Path) -> None:
    if (keys / PUBLIC_NAME).exists():
        raise StorageError(
            "only the public key is here: this home checks models but does not sign them",
            where=keys / PRIVATE_NAME,
            todo="Train in the home that holds the private key, or put the key back",
        )
    make_private(keys / PRIVATE_NAME)


def read_signer(path: Path) -> Signer:
    """Read a private key; raises as `open_signer` does."""
    content = read_file(path)
    check_private(path)
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as error:
        raise _broken("private", path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _broken("private", path)
    return Signer(key)


def _read_keys(directory: Path) -> dict[str, Ed25519PublicKey]:
    """Read the public keys in a directory, each in a file that its fingerprint names."""
    found: dict[str, Ed25519PublicKey] = {}
    if not directory.is_dir():
        return found
    check_unwritable(directory)
    with storage_errors(directory):
        paths = sorted(directory.glob("[!.]*.pub"))
    for path in paths:
        with suppress(FileNotFoundError):  # it is being retired
            public = _public_key(read_file(path), path)
            check_unwritable(path)
            if fingerprint_of(public) != path.stem:
                raise _broken("public", path)
            found[path.stem] = public
    return found


def _public_key(content: bytes, path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm, InternalError) as error:
        raise _broken("public", path) from error
    if not isinstance(key, Ed25519PublicKey):
        raise _broken("public", path)
    return key


def _strangers(path: Path) -> TamperedError:
    return TamperedError(
        "the private and the public key do not belong together",
        where=path,
        todo="Put the pair back from a backup",
    )


def _broken(kind: str, path: Path) -> TamperedError:
    return TamperedError(
        f"the {kind} key is not an Ed25519 key in PEM",
        where=path,
        todo="Put the pair back from a backup",
    )


def _decode(value: str) -> bytes:
    # Base64 leaves four bits of its last letter unused: two texts for one signature.
    content = base64.b64decode(value, validate=True)
    if base64.b64encode(content).decode("ascii") != value:
        raise binascii.Error("not canonical")
    return content


def _message(purpose: Purpose, content: bytes) -> bytes:
    return b"digitline/1/" + purpose.value.encode("ascii") + b"\0" + sha256(content).digest()
