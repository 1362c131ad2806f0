"""`digitline prune`: delete what is old and not needed, or say what would go."""

from typing import TYPE_CHECKING

from cyclopts import App

from digitline.names import printable
from flows.commands.shell import Switch, check_settings

if TYPE_CHECKING:
    from digitline.objects import Address

prune = App(name="prune", help="Delete what is old and not needed, as `retention` says.")


@prune.default
def prune_home(*, dry_run: Switch = False, all_: Switch = False) -> None:
    """Delete what is old and not needed, by the settings `retention`.

    The champion, every champion before it, and what any of them or a job goes on from are never
    deleted; nor is anything that a run is at work on. Of a home on an object store, what goes from
    this machine goes from there as well; files there that nothing refers to, and that have been
    there for longer than `retention.unfinished`, are deleted by the prune after that.

    Parameters
    ----------
    dry_run
        Only say what would go, and why.
    all_
        Say what stays as well, and why.
    """
    settings = check_settings()
    from datetime import UTC, datetime

    from digitline.keeping.inventory import take_inventory
    from digitline.keeping.prune import prune as prune_items
    from digitline.keeping.retention import plan

    home = settings.places
    decisions = plan(take_inventory(home), settings.retention, datetime.now(UTC))
    for decision in decisions:
        if all_ or not decision.keep:
            path = decision.item.path
            name = path.relative_to(home.root) if path.is_relative_to(home.root) else path
            word = "keep" if decision.keep else "go"
            print(f"{word:<5} {printable(str(name))} ({decision.why})")
    if home.remote is not None:
        _clear_store(home.remote, settings.retention.unfinished, dry_run=dry_run)
    if dry_run:
        doomed = [decision.item for decision in decisions if not decision.keep]
        print(f"{len(doomed)} would go, {_megabytes(sum(item.size for item in doomed))}.")
        return
    pruned = prune_items(decisions, home)
    print(f"{len(pruned.gone)} have gone, {_megabytes(pruned.size)} are free.")
    if pruned.waiting:
        print(f"{len(pruned.waiting)} wait for the retraining that is under way.")


def _clear_store(remote: "Address", days: float, *, dry_run: bool) -> None:
    """Delete files on the object store that were put there long ago and are not needed."""
    from digitline.holdings import delete_unneeded, find_unneeded

    found = (find_unneeded if dry_run else delete_unneeded)(remote, days)
    size = _megabytes(sum(each.size for each in found))
    word = "would go" if dry_run else "have gone"
    print(f"Of the files on the object store that nothing refers to, {len(found)} {word}, {size}.")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
