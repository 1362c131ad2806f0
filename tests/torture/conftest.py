"""What the attacks share: a warm process, and a folder of images."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.commit import Manifest, describe, write_bytes, write_manifest
from digitline.home import Home
from digitline.pixels.decode import Limits
from digitline.scoring.job import LastRun, write_last
from digitline.sources.folder import open_folder
from digitline.sources.ingest import ingest
from tests.torture.changes import (
    CHANGES,
    LAX,
    Course,
    go_through,
    register_again,
    save_checkpoint,
)
from tests.torture.nursery import FLOWS, Nursery

SHARDS, ROWS = 8, 12


@pytest.fixture(scope="session")
def nursery(prefect_server: None) -> Iterator[Nursery]:
    """Give a warm process whose runs talk to the session's server."""
    from prefect.settings import get_current_settings

    attacks = ("changes", "test_mutated_data", "test_hostile_models")
    loaded = (*FLOWS, "tasks.normalise", *(f"tests.torture.{name}" for name in attacks))
    url = str(get_current_settings().api.url)
    with Nursery({"PREFECT_API_URL": url}, loaded) as nursery:
        yield nursery


@pytest.fixture(scope="session")
def cradle(nursery: Nursery) -> Nursery:
    """Give a warm process for runs that need no server: to warm another would take seconds."""
    return nursery


@pytest.fixture(scope="session")
def courses(
    cradle: Nursery, beginnings: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[Course]:
    """Make each change once, undisturbed."""
    place = tmp_path_factory.mktemp("courses")
    return [go_through(name, beginnings, place / name, cradle) for name in CHANGES]


@pytest.fixture
def images(mnist: tuple[list[bytes], NDArray[np.int64]], tmp_path: Path) -> Path:
    """Give a folder of as many images as fill eight shards of twelve, some of them broken."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, content in enumerate(mnist[0][: SHARDS * ROWS]):
        broken = number % 20 == 7
        (folder / f"{number:04d}.png").write_bytes(content[:60] if broken else content)
    return folder


@pytest.fixture(scope="session")
def beginnings(
    reader: Home,
    mnist: tuple[list[bytes], NDArray[np.int64]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Give a home in which each of the changes can be made."""
    root = tmp_path_factory.mktemp("beginnings") / "home"
    home = Home(Path(shutil.copytree(reader.root, root)))
    register_again(home, "retrain-0002")
    write_bytes(home.data / "results" / "part-1.parquet", b"one" * 1000)
    place = home.data / "results"
    write_manifest(place, Manifest(kind="x", shards=(describe(place / "part-1.parquet", 1),)))
    save_checkpoint(home, step=1)
    write_last(home.jobs, "mail", LastRun(run="score-0001", results=Path("/a"), basis="x"))
    contents, digits = mnist
    for name, number in (("first", 40), ("second", 60)):
        for row in range(number):
            path = root / name / str(digits[row]) / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[row])
    source = open_folder(root / "first", Limits().max_bytes)
    ingest(source, home.data / "scans", LAX, Limits())
    return root
