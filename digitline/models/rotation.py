"""Key rotation: a new pair signs from now on; earlier public keys are trusted until retired.

Each step is atomic, and whatever step it is killed at, every model can still be checked and a new
one signed; the same call then goes on from there. The old private key is gone in the end.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from digitline.commit import make_directory, move, storage_errors, write_bytes
from digitline.errors import BusyError, DigitlineError, NoModelError, SettingsError
from digitline.models.bundle import signer_of
from digitline.models.champion import sign_anew
from digitline.models.registry import Registry
from digitline.models.signing import (
    NEXT_NAME,
    PRIVATE_NAME,
    RETIRED_NAME,
    TRUSTED_NAME,
    Signer,
    can_sign,
    make_private,
    open_signer,
    open_verifier,
    public_pem,
    read_signer,
)


@dataclass(frozen=True)
class Key:
    """A key of a home: what it is good for, and the models it has signed."""

    fingerprint: str
    state: Literal["current", "trusted", "retired"]
    models: tuple[str, ...]


def list_keys(registry: Registry) -> tuple[Key, ...]:
    """List the keys, the one that signs today first, with the models each has signed.

    Raises `TamperedError` or `StorageError` where the keys cannot be trusted.
    """
    verifier = open_verifier(registry.keys)
    signed: dict[str, list[str]] = {}
    for version in registry.versions():
        signed.setdefault(_signer(registry, version), []).append(version)
    others = sorted(verifier.trusted.keys() - verifier.retired - {verifier.fingerprint})
    states: dict[str, Literal["current", "trusted", "retired"]] = {
        verifier.fingerprint: "current",
        **dict.fromkeys(others, "trusted"),
        **dict.fromkeys(sorted(verifier.retired), "retired"),
    }
    return tuple(Key(each, state, tuple(signed.get(each, ()))) for each, state in states.items())


def rotate(registry: Registry) -> str:
    """Sign with a new pair from now on, the champion's pointer included; give its fingerprint.

    A rotation that was killed is brought to its end instead. Raises `TamperedError` where the
    keys, the pointer or the mark cannot be trusted, `StorageError` where this home cannot sign.
    """
    keys = registry.keys
    with registry.changing():
        signer = open_signer(keys)
        if (keys / NEXT_NAME).exists() or not sign_anew(registry.models, keys, signer):
            _trust(keys, signer)
            _draw(keys)
            _trust(keys, read_signer(keys / NEXT_NAME))
            _switch(keys)
            signer = open_signer(keys)  # publishes what belongs to the new private key
        _sign_anew(registry, signer)
        return signer.fingerprint


def retire(registry: Registry, fingerprint: str) -> bool:
    """Trust a key no more: what it has signed is refused. Say whether that is news.

    Raises `SettingsError` for a key that is unknown or signs today, `BusyError` where it has
    signed the champion.
    """
    keys = registry.keys
    with registry.changing():
        signer = open_signer(keys) if can_sign(keys) else None
        verifier = open_verifier(keys)
        if fingerprint in verifier.retired:
            return False
        if fingerprint == verifier.fingerprint:
            raise SettingsError(
                f"{fingerprint} is the key that signs today",
                todo="Run `digitline keys rotate` first",
            )
        if fingerprint not in verifier.trusted:
            raise SettingsError(
                f"no key {fingerprint}", where=keys, todo="`digitline keys show` lists them"
            )
        _refuse_for_the_champion(registry, fingerprint)
        if signer is not None:
            _sign_anew(registry, signer)
        make_directory(keys / RETIRED_NAME, 0o700)
        move(_file(keys / TRUSTED_NAME, fingerprint), _file(keys / RETIRED_NAME, fingerprint))
        return True


def _trust(keys: Path, signer: Signer) -> None:
    make_directory(keys / TRUSTED_NAME, 0o700)
    path = _file(keys / TRUSTED_NAME, signer.fingerprint)
    write_bytes(path, public_pem(signer.private.public_key()))


def _draw(keys: Path) -> None:
    if not (keys / NEXT_NAME).exists():
        make_private(keys / NEXT_NAME)


def _switch(keys: Path) -> None:
    """From here on the new key signs; its public key is trusted already."""
    with storage_errors(keys):
        move(keys / NEXT_NAME, keys / PRIVATE_NAME)


def _sign_anew(registry: Registry, signer: Signer) -> None:
    for path, content in sign_anew(registry.models, registry.keys, signer).items():
        write_bytes(path, content)


def _refuse_for_the_champion(registry: Registry, fingerprint: str) -> None:
    try:
        champion = registry.champion()
    except NoModelError:
        return
    if _signer(registry, champion) == fingerprint:
        raise BusyError(
            f"the champion {champion} is signed by {fingerprint}",
            where=registry.models / champion,
            todo="Make a model that a newer key has signed the champion first, with "
            "`digitline retrain --force` or `digitline models promote`",
        )


def _signer(registry: Registry, version: str) -> str:
    """Name the key that a model says it was signed by; nothing where it cannot say."""
    try:
        return signer_of(registry.models / version)
    except DigitlineError:
        return ""


def _file(directory: Path, fingerprint: str) -> Path:
    return directory / f"{fingerprint}.pub"
