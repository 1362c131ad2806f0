"""What the images of a run are compared with: the training data, and what is usual for its job."""

from digitline.home import Home
from digitline.judging.certificate import read_rate
from digitline.judging.drift import FEWEST, Drift, Reference
from digitline.models.card import Card
from digitline.scoring.usual import Usual, write_usual
from flows.events import DriftFound, tell_drift

# As many images of a job as this are worth comparing with.
_WORTH = 4 * FEWEST


def find_references(
    card: Card, threshold: float, job: str | None, usual: Usual | None
) -> list[Reference]:
    """List what there is to compare with, what counts most at the end."""
    references = []
    if card.reference is not None:
        training = card.reference
        if card.curve is not None:
            training = training.reviewed(1 - read_rate(card.curve, threshold))
        references.append(Reference(f"the training data of {card.version}", training))
    if usual is not None and usual.census.images >= _WORTH:
        references.append(Reference(_usual_name(job), usual.census))
    return references


def remember(home: Home, job: str, usual: Usual, found: Drift) -> None:
    """Let the first runs of a job make up what is usual for it, unless they differ from that."""
    ruling = found.ruling
    differs = found.verdict in {"rescan", "retrain"}
    if ruling is not None and ruling.reference == _usual_name(job) and differs:
        return
    write_usual(home.jobs, job, usual.grown(found.census))


def tell(found: Drift, run: str, job: str | None, model: str, report: str) -> None:
    """Tell whoever listens of drift, where there is any."""
    if found.verdict in {"rescan", "retrain"} and found.ruling is not None:
        tell_drift(
            job,
            DriftFound(
                run=run,
                model=model,
                verdict=found.verdict,
                sentence=found.sentence,
                reference=found.ruling.reference,
                report=report,
            ),
        )


def _usual_name(job: str | None) -> str:
    return f"what is usual for {job}"
