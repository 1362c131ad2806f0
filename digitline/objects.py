"""Objects in a bucket, by the S3 protocol: listed, read, written, and written only on condition.

Credentials, profile, region and endpoint are found where the AWS tools look for them, and told to
nobody: an error says the protocol's code and the address, and nothing of what the library beneath
says. A store that fails or is away is tried again and again for `PATIENCE` seconds.
"""

import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Self, TypeVar

from digitline.commit import replacing
from digitline.errors import SettingsError, StorageError

SCHEME: Final = "s3://"
PATIENCE: Final = 20.0
CONNECTIONS: Final = 8
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_TIMEOUT: Final = 10  # seconds without a byte
_PAGE: Final = 1000
_PIECE: Final = 1 << 20
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_T = TypeVar("_T")

_SERVER_ERROR: Final = 500
_FORBIDDEN: Final = 403
# Told by a store that is well but is asked too much, or for the same by two at once.
_PASSING: Final = frozenset(
    {"ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "SlowDown", "429"}
)
_MISSING: Final = frozenset({"NoSuchKey", "NoSuchVersion", "PreconditionFailed", "404", "412"})
_REFUSED: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
_ACCESS: Final = "Check the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID) and the bucket's policy"
_NETWORK: Final = "Check the network and AWS_ENDPOINT_URL, then run again"
_ELSEWHERE: Final = ("the bucket is in another region", "Name its region with AWS_REGION")
_REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "NoSuchBucket": ("there is no such bucket", "Check its name, and AWS_ENDPOINT_URL"),
    "InvalidBucketName": ("there can be no bucket of that name", "Correct it"),
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "IllegalLocationConstraintException": _ELSEWHERE,
    "PermanentRedirect": _ELSEWHERE,
    "301": _ELSEWHERE,
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "Set it"),
}


class ObjectError(StorageError):
    """The store is well, but refuses this object: no access, or it is archived."""


class MissingObjectError(ObjectError):
    """The object is not there, or not as it was."""


class Address(NamedTuple):
    """A place in a bucket: an object's, or that of all objects beneath it."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `s3://bucket/key`; `SettingsError`, which does not repeat the text, for all else.

        Some tools take credentials in an address: here they are refused.
        """
        bucket, _, key = text.removeprefix(SCHEME).partition("/")
        if not is_address(text) or _BUCKET.fullmatch(bucket) is None:
            raise SettingsError(
                "not an address on an object store",
                todo="Write s3://bucket/key; credentials are no part of it",
            )
        return cls(bucket, key)

    def __str__(self) -> str:
        """Write it as people do."""
        return f"{SCHEME}{self.bucket}/{self.key}"

    def __truediv__(self, name: str) -> "Address":
        """Go on to what lies beneath."""
        return Address(self.bucket, self.prefix + name)

    @property
    def folder(self) -> "Address":
        """The place that it lies in."""
        return Address(self.bucket, self.key.rpartition("/")[0])

    @property
    def prefix(self) -> str:
        """Say how the keys of all that lies beneath begin."""
        folder = self.key.rstrip("/")
        return f"{folder}/" if folder else ""


class Object(NamedTuple):
    """An object as it was listed: its key, its size in bytes, the tag and time of its content."""

    key: str
    size: int
    etag: str
    changed: datetime


@dataclass(frozen=True)
class Content:
    """What an object holds, and the tag by which a later write tells whether it still stands."""

    data: bytes
    etag: str


def is_address(text: object) -> bool:
    """Say whether a place on an object store is meant, not a path."""
    return str(text).startswith(SCHEME)


def check_addresses(*places: object) -> None:
    """Refuse an address that is none before anybody notes it: there may be credentials in it."""
    for place in places:
        if is_address(place):
            Address.parse(str(place))


def list_objects(folder: Address) -> Iterator[Object]:
    """List all that lies beneath an address, page by page, in the order of the keys' bytes."""
    yield from _list(folder.bucket, folder.prefix)


def find_object(address: Address) -> Object | None:
    """Look one object up, `None` where there is none."""
    # A key comes before all those that begin with it.
    first = next(_list(address.bucket, address.key, most=1), None)
    return first if first is not None and first.key == address.key else None


def read_object(address: Address, etag: str = "", most: int | None = None) -> Content:
    """Read an object, as it was when it had that tag where one is given, `most` bytes of it.

    Raises `MissingObjectError` where it is gone or has changed, `ObjectError` where only this one
    cannot be read, else `StorageError`.
    """

    def read() -> Content:
        got = _get(address, etag)
        with closing(got["Body"]) as body:
            data = body.read(most)
            if most is not None and len(data) < most:
                body.read(1)  # only at the end does the library look whether all has come
            return Content(data, got["ETag"])

    return _persist(read, address)


def find_content(address: Address) -> Content | None:
    """Read an object, `None` where there is none; else raises as `read_object` does."""
    try:
        return read_object(address)
    except MissingObjectError:
        return None


def fetch_object(address: Address, path: Path, etag: str = "") -> None:
    """Copy an object to a file, which appears whole; raises as `read_object` does."""

    def fetch() -> None:
        got = _get(address, etag)
        with closing(got["Body"]) as body, replacing(path) as draft, draft.open("wb") as file:
            for piece in body.iter_chunks(_PIECE):
                file.write(piece)

    _persist(fetch, address)


def put_file(address: Address, path: Path) -> None:
    """Copy a file to an object, whatever was there before."""

    def put() -> None:
        with path.open("rb") as file:
            _put(address, file)

    _persist(put, address)


def create_object(address: Address, data: bytes) -> bool:
    """Write an object where there is none; `False` where there is one of other bytes.

    `data` must be what nobody else would write: where the store's answer is lost on the way, what
    stands there tells whether it was us.
    """
    return _put_where(address, data, IfNoneMatch="*")


def replace_object(address: Address, data: bytes, etag: str) -> bool:
    """Write an object in place of the one with that tag; `False` where another stands there.

    What holds for `data` in `create_object` holds here.
    """
    return _put_where(address, data, IfMatch=etag)


def tell_time(folder: Address) -> datetime:
    """Ask the store for its time: that of this machine says nothing of an object's age."""
    where = {"Bucket": folder.bucket, "Prefix": folder.prefix, "MaxKeys": 1}
    answer = _persist(lambda: _connect().client.list_objects_v2(**where), folder)
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])


def delete_object(address: Address) -> None:
    """Take an object away; it may be gone already."""
    where = {"Bucket": address.bucket, "Key": address.key}
    _persist(lambda: _connect().client.delete_object(**where), address)


def _list(bucket: str, prefix: str, most: int = _PAGE) -> Iterator[Object]:
    where = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": most}
    while True:
        page = _persist(lambda: _connect().client.list_objects_v2(**where), Address(bucket, prefix))
        for found in page.get("Contents", ()):
            yield Object(found["Key"], found["Size"], found["ETag"], found["LastModified"])
        if not page["IsTruncated"]:
            return
        where["ContinuationToken"] = page["NextContinuationToken"]


def _get(address: Address, etag: str) -> Any:  # noqa: ANN401 - botocore has no types
    condition = {"IfMatch": etag} if etag else {}
    return _connect().client.get_object(Bucket=address.bucket, Key=address.key, **condition)


def _put(address: Address, body: bytes | IO[bytes], **condition: str) -> None:
    where = {"Bucket": address.bucket, "Key": address.key}
    _connect().client.put_object(**where, Body=body, **condition)


def _put_where(address: Address, data: bytes, **condition: str) -> bool:
    try:
        _persist(lambda: _put(address, data, **condition), address)
    except MissingObjectError:  # the condition is not met, or our first try has come through
        standing = find_content(address)
        return standing is not None and standing.data == data
    return True


@dataclass(frozen=True)
class _Connection:
    """The library beneath: its client, and what it raises.

    `faults` is all it raises, `breaks` what may pass, `lasting` the exceptions from those.
    """

    client: Any
    faults: tuple[type[Exception], ...]
    breaks: tuple[type[Exception], ...]
    lasting: tuple[type[Exception], ...]


@lru_cache(maxsize=1)
def _connect() -> _Connection:
    """Get ready, once a process; `SettingsError` where that cannot be."""
    try:
        # An extra, and slow to load.
        from botocore import exceptions, parsers, session  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(
            "object stores need the extra `s3`", todo="Install it: pip install 'digitline[s3]'"
        ) from error
    config = Config(
        connect_timeout=_TIMEOUT,
        read_timeout=_TIMEOUT,
        max_pool_connections=CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": 1},  # one policy alone: `_persist`
        # Some stores know nothing of checksums in trailers.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        own = session.get_session()
        # The library reads only that variable's older name.
        region = os.environ.get("AWS_REGION") or own.get_config_variable("region") or "us-east-1"
        client = own.create_client("s3", region_name=region, config=config)
    except (exceptions.BotoCoreError, ValueError) as error:
        raise SettingsError(
            f"the settings of the object store make no sense ({type(error).__name__})",
            todo="Check AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL and the files in ~/.aws",
        ) from None
    breaks = (
        exceptions.HTTPClientError,
        exceptions.IncompleteReadError,
        parsers.ResponseParserError,
    )
    return _Connection(
        client=client,
        # The library follows a redirection without end.
        faults=(exceptions.BotoCoreError, exceptions.ClientError, RecursionError, *breaks),
        breaks=breaks,
        lasting=(exceptions.SSLError,),
    )


def _persist(call: Callable[[], _T], address: Address) -> _T:
    """Call until the store answers, but not for longer than `PATIENCE` seconds."""
    deadline, pause = time.monotonic() + PATIENCE, _FIRST_PAUSE
    while True:
        try:
            return call()
        except _connect().faults as error:
            if not _passes(error) or time.monotonic() + pause > deadline:
                # What lies beneath may tell too much: an endpoint, or part of a key.
                raise _explain(error, address) from None
        time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - so that not all come back at once
        pause = min(2 * pause, _LONGEST_PAUSE)


def _passes(error: Exception) -> bool:
    """Tell whether the same call may succeed a little later."""
    code, status = _answer(error)
    beneath = _connect()
    broken = isinstance(error, beneath.breaks) and not isinstance(error, beneath.lasting)
    return broken or status >= _SERVER_ERROR or code in _PASSING


def _answer(error: Exception) -> tuple[str, int]:
    """Give the code and the HTTP status that the store answered with; none is 0."""
    answer = getattr(error, "response", None)
    if not isinstance(answer, dict):
        return "", 0
    return answer["Error"].get("Code", ""), answer["ResponseMetadata"].get("HTTPStatusCode", 0)


def _explain(error: Exception, address: Address) -> StorageError:
    code, status = _answer(error)
    kind, what, todo = _judge(code, status) if status else _judge_silence(_name(error))
    return kind(what, where=str(address), todo=todo)


def _name(error: Exception) -> str:
    """Name what was raised; botocore wraps what is raised while it sends a request."""
    wrapped = getattr(error, "kwargs", {}).get("error")
    return type(wrapped if isinstance(wrapped, RecursionError) else error).__name__


def _judge(code: str, status: int) -> tuple[type[StorageError], str, str]:
    """Say what the store's answer means, as what kind of error, and what to do."""
    if code in _REASONS:
        return StorageError, *_REASONS[code]
    if code in _MISSING:
        return MissingObjectError, "it is not there, or has changed", "Run again"
    if code in _REFUSED:
        return StorageError, f"the credentials are refused ({code})", _ACCESS
    if status >= _SERVER_ERROR or code in _PASSING:
        return StorageError, f"the store keeps failing ({code})", "Run again later"
    what = "no access" if status == _FORBIDDEN else "the store refuses"
    return ObjectError, f"{what} ({code})", _ACCESS


def _judge_silence(name: str) -> tuple[type[StorageError], str, str]:
    """Say what it means that no answer came, by the name of what was raised."""
    if any(part in name for part in ("Credential", "Token", "SSO", "Login")):
        return StorageError, f"no credentials ({name})", _ACCESS
    if name == RecursionError.__name__:
        return StorageError, "the endpoint leads in circles", _NETWORK
    return StorageError, f"the store cannot be reached ({name})", _NETWORK
