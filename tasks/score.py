"""Score one shard of a listing: predictions and errors, each in a file of its own."""

from digitline.scoring.crew import Crew
from digitline.scoring.results import ScoredShard, find_shard
from digitline.scoring.shard import Task
from tasks import stage


@stage("score {task.number}")
def score_shard(task: Task, crew: Crew) -> ScoredShard:
    """Have a shard scored by the next free worker; skip it where both its files are there."""
    images = task.stop - task.start
    found = find_shard(task.out, task.number, images)
    if found is None:
        return crew.score(task)
    crew.skip(images)
    return found
