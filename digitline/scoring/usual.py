"""What the images of a named job usually look like: the census of its first runs."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from digitline.commit import write_bytes
from digitline.errors import DataError
from digitline.judging.census import Census
from digitline.records import RecordError, from_bytes, to_bytes

# From so many images on a measure is known well enough, and stays as it is.
ENOUGH = 2000


class Usual(BaseModel):
    """What the first runs of a job looked like.

    What is known of the writing rests on the model and the threshold (`basis`), what is known of
    the pictures on the normaliser alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    basis: str
    normaliser: str
    census: Census = Census()

    def under(self, basis: str, normaliser: str) -> "Usual":
        """Keep what is still comparable under another model, threshold or normaliser."""
        if normaliser != self.normaliser:
            return Usual(basis=basis, normaliser=normaliser)
        if basis != self.basis:
            kept = self.census.of_pictures()
            return Usual(basis=basis, normaliser=normaliser, census=kept)
        return self

    def grown(self, census: Census) -> "Usual":
        """Add a run's images to the measures that are not known well enough yet."""
        known = self.census.counts
        counts = {
            name: counts
            for name, counts in census.counts.items()
            if sum(known.get(name, ())) < ENOUGH
        }
        if not counts:
            return self
        wanted = census.model_copy(update={"counts": counts})
        return self.model_copy(update={"census": self.census + wanted})


def read_usual(jobs: Path, name: str, basis: str, normaliser: str) -> Usual:
    """Read what is usual for a job; nothing is, before it has run. `DataError` where damaged."""
    path = _file(jobs, name)
    try:
        usual = from_bytes(path.read_bytes(), Usual)
    except FileNotFoundError:
        return Usual(basis=basis, normaliser=normaliser)
    except RecordError as error:
        raise DataError(
            f"what is usual for the job {error}", where=path, todo="Remove the file"
        ) from error
    return usual.under(basis, normaliser)


def check_usual(path: Path) -> None:
    """Raise `DataError` where what is usual for a job, in that file, is damaged."""
    read_usual(path.parent.parent, path.stem, "", "")


def write_usual(jobs: Path, name: str, usual: Usual) -> None:
    """Let a job remember what is usual for it."""
    write_bytes(_file(jobs, name), to_bytes(usual))


def _file(jobs: Path, name: str) -> Path:
    return jobs / "usual" / f"{name}.json"
