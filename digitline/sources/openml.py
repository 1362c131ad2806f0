"""MNIST from OpenML, through scikit-learn: its pixels become the PNGs the IDX files give."""

import hashlib
import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from digitline.errors import DataError, SourceError
from digitline.sources.idx import encode_png, name_image
from digitline.sources.item import Item, Part, Source

NAME = "mnist_784"
# SHA-256 of the 70,000 x 784 pixels and of the 70,000 labels, a byte each, training rows first:
# the content of the four IDX files, which OpenML has in the same order.
SHA256 = "c2069063c1105f2bf96266aef1ff68c6e13bdda7a54e37bf19c16f1db24efc83"
_TRAIN, _TEST = 60_000, 10_000
_SHAPE = (-1, 28, 28)
_PAUSES = (1.0, 4.0, 16.0)


class Fetched(Protocol):
    """What scikit-learn's fetch gives: pixels (n, 784), labels (n,) as text."""

    data: Any
    target: Any


Fetch = Callable[[], Fetched]


def open_openml(
    cache: Path | None = None,
    *,
    fetch: Fetch | None = None,
    sha256: str = SHA256,
    pauses: Sequence[float] = _PAUSES,
) -> Source:
    """Fetch MNIST and open it; after a failure wait each of `pauses` (seconds) and try again.

    `cache` is where scikit-learn keeps it. Raises `SourceError` where it cannot be fetched,
    `DataError` where what came is not MNIST.
    """
    bunch = _insist(fetch or partial(_fetch, cache), pauses)
    pixels = np.asarray(bunch.data, dtype=np.uint8)
    labels = np.asarray(bunch.target, dtype=np.uint8)
    _verify(pixels, labels, sha256)
    digits = pixels.reshape(_SHAPE)
    cut = len(digits) * _TRAIN // (_TRAIN + _TEST)
    return Source(
        kind="openml",
        where=f"openml:{NAME}",
        readers={
            "train": partial(_read, "train", digits[:cut], labels[:cut]),
            "test": partial(_read, "test", digits[cut:], labels[cut:]),
        },
    )


def _fetch(cache: Path | None) -> Fetched:
    from sklearn.datasets import fetch_openml  # noqa: PLC0415 - slow to load, and seldom needed

    return cast(
        "Fetched",
        fetch_openml(
            NAME,
            version=1,
            as_frame=False,
            parser="pandas",
            data_home=None if cache is None else str(cache),
            n_retries=0,
        ),
    )


def _insist(fetch: Fetch, pauses: Sequence[float]) -> Fetched:
    for pause in (*pauses, None):
        try:
            return fetch()
        # scikit-learn raises `ValueError` where the file's own checksum does not match.
        except (OSError, http.client.HTTPException, ValueError) as error:
            if pause is None:
                raise SourceError(
                    f"cannot be fetched ({error})",
                    where=f"openml:{NAME}",
                    todo="Check the network, or use `mnist`: the same images, which need none",
                ) from error
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _verify(pixels: NDArray[np.uint8], labels: NDArray[np.uint8], sha256: str) -> None:
    digest = hashlib.sha256(pixels.tobytes())
    digest.update(labels.tobytes())
    if digest.hexdigest() != sha256:
        raise DataError(
            f"what came is not MNIST as it was published (SHA-256 {digest.hexdigest()})",
            where=f"openml:{NAME}",
            todo="Use `mnist`: the same images, tracked with the code",
        )


def _read(part: Part, digits: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Iterator[Item]:
    for number, (px, label) in enumerate(zip(digits, labels.tolist(), strict=True)):
        yield Item(name_image(part, number), label, encode_png(px))
