"""Where things lie beneath the home."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from digitline.commit import make_directory, storage_errors
from digitline.errors import StorageError
from digitline.objects import Address, is_address

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Home:
    """The directory that everything a run makes lies under.

    Where the home is at a `remote` address, the directory is this machine's working copy of it.
    """

    root: Path
    remote: Address | None = None

    @classmethod
    def at(cls, place: str | Path) -> Self:
        """Give the home at a path or an address; `SettingsError` for an address that is none."""
        if not is_address(place):
            return cls(Path(place).expanduser().resolve())
        remote = Address.parse(str(place))
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        copy = hashlib.sha256(str(remote).encode()).hexdigest()[:16]
        return cls(caches / "digitline" / copy, remote)

    @property
    def place(self) -> str:
        """Where the home is: its address, or its path."""
        return str(self.remote or self.root)

    @property
    def data(self) -> Path:
        """Data sets by name, normalised rows, predictions."""
        return self.root / "data"

    @property
    def runs(self) -> Path:
        """What runs make on their way and in the end: drafts, predictions, a directory a run."""
        return self.data / "runs"

    @property
    def jobs(self) -> Path:
        """What named jobs remember: their last runs, and what their images usually look like."""
        return self.data / "jobs"

    @property
    def normalised(self) -> Path:
        """Normalised rows by the digest of the raw rows, made once."""
        return self.data / "normalised"

    @property
    def practice(self) -> Path:
        """Practice rows by the digest of the training rows they were rendered from."""
        return self.data / "practice"

    @property
    def splits(self) -> Path:
        """Train, validation and test rows by the digest of what was split."""
        return self.data / "splits"

    @property
    def corrections(self) -> Path:
        """What people said about answers, a directory an import."""
        return self.data / "corrections"

    @property
    def errata(self) -> tuple[Path, ...]:
        """Lists of labels known to be wrong: those of MNIST, then those of this home."""
        places = dict.fromkeys(root / "data" / "errata" for root in (CHECKOUT, self.root))
        return tuple(file for place in places for file in sorted(place.glob("*.csv")))

    @property
    def reports(self) -> Path:
        """Generated HTML and its `metrics.json`, a directory a run."""
        return self.root / "reports"

    @property
    def models(self) -> Path:
        """Registered models, a directory a version, and the champion's pointer."""
        return self.root / "models"

    @property
    def private(self) -> Path:
        """What is nobody else's to read: keys, Prefect's home, locks, checkpoints."""
        return self.root / ".digitline"

    @property
    def keys(self) -> Path:
        """The Ed25519 key pair that signs models."""
        return self.private / "keys"

    @property
    def prefect(self) -> Path:
        """Prefect's own home: its database and profiles."""
        return self.private / "prefect"

    @property
    def downloads(self) -> Path:
        """What was fetched from elsewhere, kept so as not to fetch it again."""
        return self.private / "downloads"

    @property
    def checkpoints(self) -> Path:
        """Half-done trainings."""
        return self.private / "checkpoints"

    @property
    def service(self) -> Path:
        """What `digitline serve` remembers of each of its jobs."""
        return self.private / "service"

    @property
    def quarantine(self) -> Path:
        """What `digitline doctor --repair` has put aside, a numbered directory a repair."""
        return self.private / "quarantine"

    def lock(self, job: str) -> Path:
        """Name the lock file of a job."""
        return self.private / "locks" / f"{job}.lock"

    def prepare(self) -> None:
        """Make the private directory, readable by this user alone.

        Raises `StorageError` where the home cannot be written.
        """
        for directory in (self.private, self.prefect):
            make_directory(directory, 0o700)
            with storage_errors(directory):
                directory.chmod(0o700)
        if not os.access(self.private, os.W_OK):
            raise StorageError(
                "no permission to write",
                where=self.root,
                todo="Choose another home with DIGITLINE_HOME",
            )
