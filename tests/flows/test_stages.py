"""Stages as Prefect sees them: tagged for people's limits, but where images wait for them."""

from types import ModuleType

from prefect import Task

from flows import retrain, score


def stages(module: ModuleType) -> set["Task[..., object]"]:
    return {value for value in vars(module).values() if isinstance(value, Task)}


def test_a_retraining_can_be_limited_by_its_tag() -> None:
    assert len(stages(retrain)) > 5
    assert [stage.name for stage in stages(retrain) if "digitline" not in stage.tags] == []


def test_a_scoring_asks_prefect_for_no_limits() -> None:
    assert len(stages(score)) > 5
    assert [stage.name for stage in stages(score) if stage.tags] == []
