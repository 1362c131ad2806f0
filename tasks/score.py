"""Score one shard of a listing: predictions and errors, each in a file of its own."""

from typing import Protocol

from digitline.scoring.results import ScoredShard, find_shard
from digitline.scoring.shard import Task
from tasks import stage


class Crew(Protocol):
    """Workers that score shards, on this machine or another."""

    def score(self, task: Task) -> ScoredShard:
        """Have a shard scored by the next free worker."""

    def skip(self, images: int) -> None:
        """Count images that were scored by an earlier process."""


@stage("score {task.number}")
def score_shard(task: Task, crew: Crew) -> ScoredShard:
    """Have a shard scored by the next free worker; skip it where both its files are there."""
    images = task.stop - task.start
    found = find_shard(task.out, task.number, images)
    if found is None:
        return crew.score(task)
    crew.skip(images)
    return found
