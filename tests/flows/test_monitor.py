"""A look back: what it starts where the writing has changed, and that it may have nothing to do."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from digitline.commit import Manifest, write_manifest
from digitline.home import Home
from digitline.judging.census import Census
from digitline.models.registry import Registry
from digitline.pixels.normalise import NORMALISER
from digitline.provenance import digest_of
from digitline.scoring.usual import Usual, write_usual
from digitline.settings import load_settings
from flows import monitor as module
from flows.retrain import Retrained
from flows.score import Reader
from flows.ticks import watch_drift

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def trained(home: Home, reader: Home) -> Home:
    return Home(shutil.copytree(reader.root, home.root, dirs_exist_ok=True))


def census(digits: tuple[int, ...]) -> Census:
    images = sum(digits)
    return Census(images=images, counts={"polarity": (images, 0), "digits": digits})


def test_changed_writing_starts_a_retraining_where_that_is_set(
    trained: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Sequence[str]] = []

    def retrain(sources: Sequence[str]) -> Retrained:
        started.append(sources)
        return Retrained(verdict="hold", version="m0002", error=0.1, report=Path("report.html"))

    monkeypatch.setattr(module, "retrain", retrain)
    registry = Registry(trained.models, trained.keys)
    settings = load_settings()
    basis = digest_of(Reader(registry, registry.card("m0001"), 0.9, settings).basis)
    usual = Usual(basis=basis, normaliser=NORMALISER, census=census((50,) * 10))
    write_usual(trained.jobs, "forms", usual)
    facts = {"run": "score-0001", "job": "forms", "model": "m0001", "threshold": 0.9}
    drifted = census((0, 0, 0, 300, *[0] * 6)).model_dump(mode="json")
    results = Manifest(kind="predictions", shards=(), facts={**facts, "census": drifted})
    write_manifest(trained.runs / "score-0001", results)

    done = module.monitor("forms")
    assert (done.drift.verdict, done.retrained) == ("retrain", None)
    assert not started
    monkeypatch.setenv("DIGITLINE_DRIFT_RETRAIN", "auto")
    assert module.monitor("forms").retrained == "m0002"
    assert started == [["mnist"]]


def test_the_service_looks_back_on_nothing_until_the_inbox_has_been_scored(trained: Home) -> None:
    state = watch_drift(return_state=True)
    assert state.name == "Skipped"
    assert not (trained.reports / "monitor-0001").exists()
