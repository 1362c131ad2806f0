"""Files on an object store that nothing refers to: deleted when old, whoever else is at work."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from digitline import holdings
from digitline.errors import BusyError
from digitline.holdings import (
    INDEX_NAME,
    Going,
    delete_unneeded,
    digest_of,
    exchange_index,
    find_unneeded,
    read_index,
)
from digitline.home import Home
from digitline.mirror import synchronised
from digitline.objects import Address, delete_object, list_objects, tell_time
from tests.conftest import Endpoint
from tests.digitline.test_mirror import commit_run


@pytest.fixture
def remote(store: Endpoint) -> Address:
    return store.place / "home"


@pytest.fixture
def one(remote: Address, tmp_path: Path) -> Home:
    """Give a working copy of a home that holds a run, and files of one that has gone."""
    home = Home(tmp_path / "one", remote)
    home.prepare()
    with synchronised(home):
        commit_run(home, "score-0001", "kept")
        commit_run(home, "score-0002", "goes")
    with synchronised(home):
        shutil.rmtree(home.runs / "score-0002")
    return home


def held(remote: Address) -> set[str]:
    return {digest_of(found) for found in list_objects(remote / "files")}


def check_whole(remote: Address, place: Path) -> set[str]:
    """Raise unless a fresh working copy gets everything; give the names of the runs."""
    fresh = Home(place, remote)
    with synchronised(fresh):
        return {path.name for path in fresh.runs.iterdir()} if fresh.runs.exists() else set()


def test_only_what_is_old_and_not_referred_to_goes(
    one: Home, remote: Address, store: Endpoint, tmp_path: Path
) -> None:
    before = held(remote)
    assert delete_unneeded(remote, days=1) == []
    assert held(remote) == before
    unneeded = find_unneeded(remote, days=0)
    assert len(unneeded) == 2  # the rows and their manifest
    store.use("failing")
    assert delete_unneeded(remote, days=0) == unneeded
    assert held(remote) == before - set(map(digest_of, unneeded)) == read_index(remote)[0].digests
    assert read_index(remote)[0].going is None
    assert check_whole(remote, tmp_path / "fresh") == {"score-0001"}


def test_a_deletion_that_was_cut_off_keeps_writers_waiting_and_is_ended_by_the_next(
    one: Home, remote: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doomed = [digest_of(found) for found in find_unneeded(remote, days=0)]
    index, tag = read_index(remote)
    going = Going(files=tuple(doomed), since=tell_time(remote))
    assert exchange_index(remote, index.model_copy(update={"going": going}), tag)
    delete_object(holdings.place_of(remote, doomed[0]))
    with pytest.raises(BusyError, match="needed again"), synchronised(one):
        commit_run(one, "score-0002", "goes")
    with synchronised(one):
        commit_run(one, "score-0003", "of others")  # with nothing put there that is going
        shutil.move(one.runs / "score-0002", tmp_path / "aside")
    with pytest.raises(BusyError, match="another deletes"):
        delete_unneeded(remote, days=0)
    monkeypatch.setattr(holdings, "_CUT_OFF", timedelta(0))
    assert [digest_of(found) for found in delete_unneeded(remote, days=0)] == doomed[1:]
    shutil.move(tmp_path / "aside", one.runs / "score-0002")
    with synchronised(one):
        pass
    assert check_whole(remote, tmp_path / "fresh") == {"score-0001", "score-0002", "score-0003"}


def test_who_has_been_taken_for_cut_off_stops(
    one: Home, remote: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = held(remote)
    monkeypatch.setattr(holdings, "_DELETING", -1.0)
    assert delete_unneeded(remote, days=0) == []
    assert (held(remote), read_index(remote)[0].going) == (before, None)


def test_files_come_back_while_others_delete_them(
    one: Home, remote: Address, tmp_path: Path
) -> None:
    def delete() -> int:
        return sum(len(delete_unneeded(remote, days=0)) for _ in range(12))

    def go_and_come_back() -> int:
        told = 0
        for number in range(12):
            try:
                with synchronised(one):
                    if (one.runs / "score-0002").exists():
                        shutil.rmtree(one.runs / "score-0002")
                    else:
                        commit_run(one, "score-0002", "goes")
            except BusyError:
                told += 1
            check_whole(remote, tmp_path / f"fresh-{number}")
        return told

    with ThreadPoolExecutor(2) as pool:
        deleting, writing = pool.submit(delete), pool.submit(go_and_come_back)
        writing.result()
        assert deleting.result() >= 2
    with synchronised(one):
        commit_run(one, "score-0002", "goes")
    assert check_whole(remote, tmp_path / "fresh") == {"score-0001", "score-0002"}


def test_an_empty_home_has_nothing_to_delete(remote: Address) -> None:
    assert delete_unneeded(remote, days=0) == []
    assert not list(list_objects(remote / INDEX_NAME))
