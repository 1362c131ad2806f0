"""An object store over HTTP: what is written on condition, a store that fails, what is told."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from digitline import objects
from digitline.errors import DigitlineError, SettingsError, StorageError
from digitline.objects import (
    Address,
    MissingObjectError,
    ObjectError,
    create_object,
    delete_object,
    fetch_object,
    find_content,
    find_object,
    list_objects,
    put_file,
    read_object,
    replace_object,
)
from tests.conftest import AWS, KEY_ID, SECRET, Endpoint


@pytest.mark.parametrize("kind", ["good", "failing"])
def test_a_conditional_write_says_truly_whether_it_was_ours(store: Endpoint, kind: str) -> None:
    store.use(kind)
    for number in range(12):
        place = store.place / f"{number}"
        assert create_object(place, b"first")
        assert not create_object(place, b"second")
        found = read_object(place)
        assert found.data == b"first"
        assert replace_object(place, b"third", found.etag)
        assert not replace_object(place, b"fourth", found.etag)
        assert read_object(place).data == b"third"
    delete_object(store.place / "0")
    assert find_content(store.place / "0") is None
    assert not replace_object(store.place / "0", b"fifth", '"0"')
    assert {one.key for one in list_objects(store.place)} == {str(n) for n in range(1, 12)}


@pytest.mark.parametrize("kind", ["good", "failing"])
def test_of_many_who_write_at_once_one_wins(store: Endpoint, kind: str) -> None:
    store.use(kind)
    with ThreadPoolExecutor(4) as pool:
        for number in range(10):
            place = store.place / f"{number}"
            won = list(pool.map(create_object, [place] * 3, (b"a", b"b", b"c")))
            assert won.count(True) == 1
            assert read_object(place).data == (b"a", b"b", b"c")[won.index(True)]
            tag = read_object(place).etag
            replaced = pool.map(replace_object, [place] * 2, (b"d", b"e"), [tag] * 2)
            assert list(replaced).count(True) == 1


def test_files_go_there_and_back_whole_over_a_store_that_fails(
    store: Endpoint, tmp_path: Path
) -> None:
    store.use("failing")
    content = bytes(range(256)) * 9000
    (tmp_path / "there").write_bytes(content)
    for number in range(6):
        put_file(store.place / f"{number}", tmp_path / "there")
        fetch_object(store.place / f"{number}", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == content
        (tmp_path / "back").unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_listing_goes_on_past_the_first_page(
    store: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_PAGE", 3)
    monkeypatch.setattr(objects._list, "__defaults__", (3,))
    for number in range(8):
        create_object(store.place / f"in/{number}", b"1")
    create_object(store.place / "inside", b"1")
    store.use("failing")
    assert [one.key for one in list_objects(store.place / "in")] == [f"in/{n}" for n in range(8)]
    assert find_object(store.place / "in") is None
    assert find_object(store.place / "inside") is not None


def test_an_object_that_has_changed_is_not_the_one_that_was_listed(store: Endpoint) -> None:
    place = store.place / "image"
    create_object(place, b"old")
    tag = read_object(place).etag
    assert replace_object(place, b"new", tag)
    with pytest.raises(MissingObjectError):
        read_object(place, tag)


@pytest.mark.parametrize(
    ("bucket", "kind", "said"),
    [
        ("denied", ObjectError, "no access (AccessDenied)"),
        ("expired", StorageError, "the credentials are refused (ExpiredToken)"),
        ("foreign", StorageError, "the credentials are refused (InvalidAccessKeyId)"),
        ("elsewhere", StorageError, "the bucket is in another region"),
        ("circling", StorageError, "the endpoint leads in circles"),
        ("failing", StorageError, "the store keeps failing (SlowDown)"),
    ],
)
def test_what_a_store_answers_is_said_without_secrets(
    store: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    bucket: str,
    kind: type[StorageError],
    said: str,
) -> None:
    monkeypatch.setattr(objects, "PATIENCE", 0.2)
    store.use("refusing")
    with pytest.raises(StorageError) as caught:
        list(list_objects(Address(bucket, "scans")))
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"{said}: s3://{bucket}/scans")
    assert KEY_ID not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_bucket_that_is_not_there_and_a_store_that_is_away(
    store: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PATIENCE", 0.2)
    with pytest.raises(StorageError, match="there is no such bucket: s3://nowhere"):
        list(list_objects(Address("nowhere", "")))
    store.ports["away"] = "9"
    store.use("away")
    with pytest.raises(StorageError, match=r"cannot be reached \(EndpointConnectionError"):
        list(list_objects(store.place))


def test_settings_that_make_no_sense_and_no_credentials(
    store: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    (AWS / "credentials").unlink()
    objects._connect.cache_clear()
    with pytest.raises(StorageError, match="no credentials"):
        list(list_objects(store.place))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    objects._connect.cache_clear()
    with pytest.raises(SettingsError, match="ProfileNotFound"):
        list(list_objects(store.place))
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "no address")
    objects._connect.cache_clear()
    with pytest.raises(SettingsError, match="AWS_ENDPOINT_URL"):
        list(list_objects(store.place))


@pytest.mark.parametrize("text", [f"s3://{KEY_ID}:{SECRET}@bucket/scans", "s3://", "s3:///scans"])
def test_an_address_that_is_none_is_not_repeated(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Address.parse(text)
    assert SECRET not in str(caught.value)


def test_without_the_extra_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['botocore'] = None\n"
        "from digitline.objects import Address, list_objects\n"
        "from digitline.errors import DigitlineError\n"
        "try: list(list_objects(Address('bucket', '')))\n"
        "except DigitlineError as error: print(error)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.count("\n") == 1
    assert "pip install 'digitline[s3]'" in told.stdout
    assert issubclass(SettingsError, DigitlineError)
