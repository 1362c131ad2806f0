"""A version that travels: its files, and the public keys that they are checked with, as bytes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from digitline.commit import make_directory, write_bytes
from digitline.models.bundle import CARD_NAME, MODEL_NAME, SIGNATURE_NAME
from digitline.models.files import read_file, read_files
from digitline.models.registry import Registry
from digitline.models.signing import PUBLIC_NAME, RETIRED_NAME, TRUSTED_NAME

_NAMES = (CARD_NAME, SIGNATURE_NAME, MODEL_NAME)


@dataclass(frozen=True)
class Parcel:
    """A registered version and the public keys of its registry, on their way to another machine."""

    version: str
    files: Mapping[str, bytes] = field(repr=False)
    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def pack(cls, registry: Registry, version: str) -> Self:
        """Take a version from a registry; raises as `Registry.card` does."""
        registry.card(version)
        contents = read_files(registry.models / version, *_NAMES)
        keys = {name: read_file(registry.keys / name) for name in _public_names(registry.keys)}
        return cls(version, dict(zip(_NAMES, contents, strict=True)), keys)

    def unpack(self, place: Path) -> Registry:
        """Lay it out beneath `place`, this user's alone, where it is checked as any other."""
        registry = Registry(place / "models", place / "keys")
        for directory in (place, *{(registry.keys / name).parent for name in self.keys}):
            make_directory(directory, 0o700)
        for name, content in self.files.items():
            write_bytes(registry.models / self.version / name, content)
        for name, content in self.keys.items():
            write_bytes(registry.keys / name, content)
        return registry


def _public_names(keys: Path) -> Iterator[str]:
    yield PUBLIC_NAME
    for name in (TRUSTED_NAME, RETIRED_NAME):
        yield from (path.relative_to(keys).as_posix() for path in (keys / name).glob("[!.]*.pub"))
