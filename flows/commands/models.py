"""`digitline models`: see the registered models, promote one, go back to another."""

from typing import TYPE_CHECKING

from cyclopts import App

from digitline.errors import DigitlineError, NoModelError
from digitline.runs import now
from flows.commands.shell import Switch, check_settings

if TYPE_CHECKING:
    from digitline.models.registry import Finding, Registry

models = App(name="models", help="See the registered models, promote one, go back to another.")


@models.command(name="list")
def list_models() -> None:
    """List the registered models, newest first."""
    registry = _registry()
    findings = registry.survey()
    champion, fault = _champion(registry)
    for finding in reversed(findings):
        print(_line(finding, champion))
    if isinstance(fault, NoModelError):
        print("No champion yet. Run `digitline retrain`.")
    elif fault is not None:
        raise fault


@models.command
def show(version: str | None = None, /) -> None:
    """Show the card of a model.

    Parameters
    ----------
    version
        A version such as m0003; the champion where none is given.
    """
    registry = _registry()
    card = registry.card(version or registry.champion())
    print(card.to_bytes().decode(), end="")


@models.command
def promote(version: str, /, *, reason: str = "by hand", repair: Switch = False) -> None:
    """Make a version the champion, whatever the gate said.

    Parameters
    ----------
    version
        A version such as m0003.
    reason
        Why, for the history.
    repair
        Sign a new pointer in place of one that is refused.
    """
    registry = _registry()
    pointer = registry.promote(
        version, reason=reason, run="command line", created=now(), repair=repair
    )
    _show_in_index(registry)
    print(f"{pointer.version} is the champion.")


@models.command
def rollback(*, reason: str = "by hand") -> None:
    """Make the champion before this one the champion again.

    Parameters
    ----------
    reason
        Why, for the history.
    """
    registry = _registry()
    pointer = registry.rollback(reason=reason, run="command line", created=now())
    _show_in_index(registry)
    print(f"{pointer.version} is the champion again.")


@models.command
def verify(version: str | None = None, /) -> int:
    """Check signatures, digests and golden rows of a model, or of all.

    Parameters
    ----------
    version
        A version such as m0003; all of them and the champion's pointer where none is given.
    """
    findings = _registry().verify(version)
    for finding in findings:
        print(f"{finding.subject:<10}{'sound' if finding.error is None else finding.error}")
    return next((finding.error.exit_code for finding in findings if finding.error), 0)


def _registry() -> "Registry":
    from digitline.models.registry import Registry

    places = check_settings().places
    return Registry(places.models, places.keys)


def _show_in_index(registry: "Registry") -> None:
    from digitline.report.index import note_champions

    note_champions(check_settings().places.reports, registry.history())


def _champion(registry: "Registry") -> tuple[str | None, DigitlineError | None]:
    try:
        return registry.champion(), None
    except DigitlineError as error:
        return None, error


def _line(finding: "Finding", champion: str | None) -> str:
    if finding.card is None:
        return f"  {finding.subject}  {finding.error}"
    card = finding.card
    mark = "*" if card.version == champion else " "
    return (
        f"{mark} {card.version}  {card.metrics.error:.2%} error  {card.verdict.kind:<9}  "
        f"{card.recipe.get('name', '')}  {card.run}  {card.created}"
    )
