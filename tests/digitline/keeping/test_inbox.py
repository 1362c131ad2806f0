"""An inbox that lies in a bucket: watched, and counted, by the tags of its objects."""

from pathlib import Path

import pytest

from digitline import objects
from digitline.errors import SourceError
from digitline.home import Home
from digitline.keeping.inbox import fingerprint
from digitline.keeping.overview import survey
from digitline.objects import Address, create_object, delete_object, put_file
from digitline.scoring.job import LastRun, write_last
from digitline.sources.listing import Selection, keep_listing, list_bucket
from tests.conftest import Endpoint


def test_a_bucket_is_another_once_an_image_in_it_is(store: Endpoint, tmp_path: Path) -> None:
    inbox = store.place / "inbox"
    assert fingerprint(inbox) == ""
    create_object(inbox / "a/1.png", b"1")
    first = fingerprint(inbox)
    assert first == fingerprint(Address(inbox.bucket, "inbox/"))
    create_object(inbox / "list.csv", b"no image")
    store.use("failing")
    assert fingerprint(inbox) == first
    (tmp_path / "1.png").write_bytes(b"2")
    put_file(inbox / "a/1.png", tmp_path / "1.png")
    assert fingerprint(inbox) not in {"", first}
    delete_object(inbox / "a/1.png")
    assert fingerprint(inbox) == ""


def test_what_waits_in_a_bucket_is_what_is_new_or_changed_there(
    store: Endpoint, home: Home, tmp_path: Path
) -> None:
    inbox = store.place / "inbox"
    for name in ("a.png", "b.png", "c.png"):
        create_object(inbox / name, b"an image")
    assert survey(home, inbox, "inbox").inbox.waiting == 3
    results = home.runs / "score-0003"
    keep_listing(results / "listing.parquet", list_bucket(inbox, "1", Selection(), tmp_path))
    write_last(home.jobs, "inbox", LastRun(run="score-0003", results=results, basis=""))
    assert survey(home, inbox, "inbox").inbox.waiting == 0
    create_object(inbox / "d.png", b"an image")
    (tmp_path / "a.png").write_bytes(b"another")
    put_file(inbox / "a.png", tmp_path / "a.png")
    seen = survey(home, inbox, "inbox").inbox
    assert (seen.folder, seen.images, seen.waiting) == (str(inbox), 4, 2)


def test_a_bucket_that_is_away_hides_nothing_else(
    store: Endpoint, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PATIENCE", 0.1)
    store.use("refusing")
    inbox = Address("denied", "inbox")
    with pytest.raises(SourceError, match="no access"):
        fingerprint(inbox)
    seen = survey(home, inbox, "inbox")
    assert not seen.inbox.there
    assert "no access (AccessDenied): s3://denied/inbox" in seen.inbox.fault
    assert seen.disk.free > 0
