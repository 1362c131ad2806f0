"""Results on an object store: of two runs one gets the place, and a reader sees all or nothing."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from digitline.commit import MANIFEST_NAME, Manifest, describe
from digitline.errors import BusyError, StorageError
from digitline.objects import Address, create_object, find_content, list_objects, read_object
from digitline.records import from_bytes
from digitline.runs import PLAN_NAME, Plan
from digitline.scoring.publish import claim
from tests.conftest import Endpoint

ROUNDS = 12


def write_results(directory: Path, content: bytes) -> Manifest:
    directory.mkdir(exist_ok=True)
    names = ("predictions-00000.parquet", "errors-00000.parquet")
    for name in names:
        (directory / name).write_bytes(content + name.encode())
    shards = tuple(describe(directory / name, 1) for name in names)
    return Manifest(kind="predictions", shards=shards)


def check_whole(place: Address) -> bytes:
    """Give the first shard, after a look at what the manifest says of each."""
    manifest = from_bytes(read_object(place / MANIFEST_NAME).data, Manifest)
    for shard in manifest.shards:
        assert len(read_object(place / shard.name).data) == shard.bytes
    return read_object(place / manifest.shards[0].name).data


@pytest.mark.parametrize("kind", ["good", "failing"])
def test_of_two_that_race_one_publishes_and_the_other_is_told(
    store: Endpoint, tmp_path: Path, kind: str
) -> None:
    store.use(kind)
    manifests = {name: write_results(tmp_path / name, name.encode()) for name in ("one", "two")}

    def publish(name: str, place: Address) -> str | None:
        try:
            # What both were asked to do is the same: only the token tells them apart.
            claim(place, Plan(key="same", started="now")).publish(tmp_path / name, manifests[name])
        except (BusyError, StorageError):
            return None
        return name

    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            place = store.place / f"{number}"
            ended = list(pool.map(lambda name, at=place: publish(name, at), manifests))
            (winner,) = [name for name in ended if name is not None]
            assert check_whole(place).startswith(winner.encode())


def test_a_place_is_taken_up_again_by_its_own_run_alone(store: Endpoint, tmp_path: Path) -> None:
    manifest = write_results(tmp_path / "mine", b"mine")
    mine, other = (Plan(key="same", started="now") for _ in range(2))
    first = claim(store.place, mine)
    assert find_content(store.place / MANIFEST_NAME) is None
    with pytest.raises(BusyError, match="another run writes its results there"):
        claim(store.place, other)
    assert claim(store.place, mine) == first
    first.publish(tmp_path / "mine", manifest)
    claim(store.place, mine).publish(tmp_path / "mine", manifest)
    with pytest.raises(StorageError, match="the place is not empty"):
        claim(store.place, other)
    assert check_whole(store.place).startswith(b"mine")


def test_a_place_that_was_taken_away_is_not_written_to(store: Endpoint, tmp_path: Path) -> None:
    manifest = write_results(tmp_path / "mine", b"mine")
    mine = claim(store.place, Plan(key="same", started="now"))
    store.use("careless")
    create_object(store.place / PLAN_NAME, b"somebody else's")
    store.use("good")
    with pytest.raises(BusyError):
        mine.publish(tmp_path / "mine", manifest)
    assert find_content(store.place / MANIFEST_NAME) is None


def test_what_lies_there_already_stays(store: Endpoint) -> None:
    create_object(store.place / "scans/1.png", b"1")
    with pytest.raises(StorageError, match="the place is not empty"):
        claim(store.place / "scans", Plan(key="same", started="now"))
    assert [one.key for one in list_objects(store.place)] == ["scans/1.png"]


def test_a_store_that_takes_no_notice_of_conditions_is_not_written_to(store: Endpoint) -> None:
    store.use("careless")
    with pytest.raises(StorageError, match="knows no conditional writes"):
        claim(store.place / "out", Plan(key="same", started="now"))
    assert list(list_objects(store.place)) == []
