"""Damaged images and bombs: each costs an answer or one error row, little time, little memory."""

import io
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from digitline.home import Home
from digitline.models.registry import Registry
from digitline.pixels.decode import Limits
from digitline.pixels.normalise import NORMALISER
from digitline.scoring.crew import Crew
from digitline.scoring.reasons import REASONS
from digitline.scoring.shard import Task
from digitline.scoring.worker import Duty
from digitline.sources.listing import keep_listing, list_batches
from tests.torture.attack import Attack
from tests.torture.mutations import mutate

IMAGES = Attack(
    row=10,
    name="mutated images of all formats, and bombs",
    holds="no crash, none over 2 s of CPU, memory capped at 512 MB, each a prediction or an "
    "error row",
    small=400,
    full=20_000,
    batch=200,
)
MEMORY = 512 << 20
TICKS = 100  # a second, as Linux counts CPU time


def save(image: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def write_seeds(digit: NDArray[np.uint8]) -> list[bytes]:
    """Write a digit in every format, depth and compression that is read."""
    grey = Image.fromarray(digit)
    large = Image.fromarray(255 - np.kron(digit, np.ones((5, 5), np.uint8)))
    colour, clear = large.convert("RGB"), large.convert("LA").convert("RGBA")
    deep = Image.fromarray(digit.astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        *(save(image, "PNG") for image in (grey, large.convert("1"), large.convert("P"), clear)),
        save(deep, "PNG"),
        save(colour, "PNG", exif=exif),
        *(
            save(colour, "JPEG", **options)
            for options in ({}, {"progressive": True}, {"exif": exif})
        ),
        save(large.convert("CMYK"), "JPEG"),
        *(save(image, "BMP") for image in (grey, colour, large.convert("1"), large.convert("P"))),
        *(save(image, "GIF") for image in (grey, colour)),
        *(
            save(colour, "TIFF", compression=how)
            for how in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
        ),
        save(large.convert("1"), "TIFF", compression="group4"),
        save(deep, "TIFF"),
        save(Image.fromarray(digit.astype(np.float32)), "TIFF"),
        save(colour, "WEBP"),
        save(clear, "WEBP", lossless=True),
        *(save(image, "PPM") for image in (grey, colour, large.convert("1"))),
        save(large, "JPEG2000"),
        save(colour, "JPEG2000", irreversible=True, num_resolutions=3),
    ]


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def write_bombs(seeds: list[bytes]) -> list[bytes]:
    """Write files that claim, or unpack to, far more than they are."""

    def png(width: int, height: int, *extra: bytes) -> bytes:
        head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        body = zlib.compress(bytes(1 << 20))
        return (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", head)
            + b"".join(extra)
            + chunk(b"IDAT", body)
            + chunk(b"IEND", b"")
        )

    text = zlib.compress(bytes(64 << 20), 9)
    jpeg = next(seed for seed in seeds if seed.startswith(b"\xff\xd8"))
    at = jpeg.index(b"\xff\xc0") + 5
    gif = next(seed for seed in seeds if seed.startswith(b"GIF8"))
    return [
        png(2**31 - 1, 2**31 - 1),
        png(60_000, 60_000),
        png(64_000, 1000),  # as many pixels as are allowed
        png(1, 2_000_000),
        png(28, 28, chunk(b"zTXt", b"a\0\0" + text)),
        png(28, 28, chunk(b"iCCP", b"a\0\0" + text)),
        png(28, 28, chunk(b"iTXt", b"a\0\1\0\0\0" + text)),
        jpeg[:at] + b"\xff\xff\xff\xff" + jpeg[at + 4 :],
        gif[:6] + b"\xff\xff\xff\xff" + gif[10:],
        b"BM"
        + struct.pack(
            "<IIIIiiHHIIiiII", 54, 0, 54, 40, 2**31 - 1, -(2**31), 1, 24, 0, 0, 1, 1, 0, 0
        ),
        b"P5 99999999 99999999 255\n",
        b"P6 8000 8000 255\n",
        b"P2 10 10 255\n" + b"1 " * 10 + b"9" * 100_000,
        b"II*\0" + b"\xff" * 4,
        struct.pack("<2sHIHHHIIH", b"II", 42, 8, 65535, 256, 4, 1, 2**31, 257),
    ]


@dataclass
class Clock:
    """How much CPU time, at most, a worker spent on images without moving on; in seconds."""

    worst: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)

    def watch(self, crew: Crew) -> None:
        (member,) = crew._members
        before, since = (-1, -1), 0.0
        while not self.over.wait(0.02):
            process, in_hand = member._process, member._place.in_hand
            if process is None or process.pid is None:
                continue
            spent = cpu_seconds(process.pid)
            if in_hand != before or in_hand == (-1, -1):
                before, since = in_hand, spent
            else:
                self.worst = max(self.worst, spent - since)


def cpu_seconds(pid: int) -> float:
    try:
        spent = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(spent[11]) + int(spent[12])) / TICKS


@contextmanager
def watching(crew: Crew) -> Iterator[Clock]:
    clock = Clock()
    thread = threading.Thread(target=clock.watch, args=(crew,))
    thread.start()
    try:
        yield clock
    finally:
        clock.over.set()
        thread.join()


def lay_out(contents: list[bytes], place: Path) -> Task:
    """Write images to a folder, and give the task to score them."""
    (place / "images").mkdir(parents=True)
    for number, content in enumerate(contents):
        (place / "images" / f"{number:05d}").write_bytes(content)
    listing = place / "listing.parquet"
    rows = keep_listing(listing, list_batches(str(place / "images"), NORMALISER)).rows
    return Task(listing, 0, rows, 0, place)


def read_rows(place: Path) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    return (
        pq.read_table(place / "predictions-00000.parquet").to_pylist(),
        pq.read_table(place / "errors-00000.parquet").to_pylist(),
    )


@pytest.fixture
def duty(reader: Home) -> Duty:
    return Duty(Registry(reader.models, reader.keys), "m0001", 0.9, Limits(), MEMORY)


def test_damaged_images(
    duty: Duty, mnist: tuple[list[bytes], NDArray[np.int64]], tmp_path: Path
) -> None:
    digits = [np.asarray(Image.open(io.BytesIO(content))) for content in mnist[0][:8]]
    seeds = [seed for digit in digits for seed in write_seeds(digit)]
    # The patience is of wall time, and the machine may be busy: the clock counts CPU time.
    with Crew(duty, 1, 60, lambda _steps, _words: None) as crew, watching(crew) as clock:
        for trial in IMAGES.rounds():
            with trial as attack:
                contents = [damage(seeds, attack.dice) for _ in range(attack.cases)]
                if attack.first == 0:
                    bombs = write_bombs(seeds)
                    contents[: len(bombs)] = bombs
                attempt(contents, tmp_path / f"{attack.first}", crew, clock)


def attempt(contents: list[bytes], place: Path, crew: Crew, clock: Clock) -> None:
    clock.worst = 0.0
    task = lay_out(contents, place)
    shard = crew.score(task)
    predictions, errors = read_rows(place)
    assert shard.rows == len(predictions) + len(errors) == len(contents)
    assert len({row["path"] for row in (*predictions, *errors)}) == len(contents)
    assert all(0 <= float(str(row["confidence"])) <= 1 for row in predictions)
    assert {row["reason"] for row in errors} <= set(REASONS)
    # A few bytes may claim as many pixels as are allowed, and these may take all of the memory.
    starved = "took more memory than it may"
    crashed = [
        row for row in errors if row["reason"] == "crashed" and starved not in str(row["message"])
    ]
    assert not crashed, f"{crashed}: kept in {place}"
    assert clock.worst < 2, f"{clock.worst:.1f} s on one image: kept in {place}"


def damage(seeds: list[bytes], dice: Random) -> bytes:
    return mutate(dice.choice(seeds), dice, seeds)
