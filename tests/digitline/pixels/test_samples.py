"""The sample folder is what its program makes, small, and answered."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np

from digitline.pixels.decode import Limits, UndecodableError, decode

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = ROOT / "data" / "samples"


def files_in(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def picture_of(content: bytes) -> tuple[int, ...] | str:
    """Give the picture's size and its mean in steps of four, which other codecs reach too."""
    try:
        pixels = decode(content, Limits())
    except UndecodableError as error:
        return error.reason
    return (*pixels.shape, round(float(np.mean(pixels)) / 4))


def test_the_program_makes_the_samples_that_are_there(tmp_path: Path) -> None:
    program = ROOT / "bench" / "make_samples.py"
    subprocess.run([sys.executable, program, tmp_path / "made"], check=True, capture_output=True)
    made, kept = files_in(tmp_path / "made"), files_in(SAMPLES)
    assert made.keys() == kept.keys()
    assert made["labels.csv"] == kept["labels.csv"]
    for name in made:
        assert picture_of(made[name]) == picture_of(kept[name]), name


def test_the_samples_are_small_and_about_sixty() -> None:
    files = files_in(SAMPLES)
    assert 55 <= len(files) <= 70
    assert sum(map(len, files.values())) < 1_000_000


def test_the_known_answers_are_for_pictures_that_decode() -> None:
    with (SAMPLES / "labels.csv").open(encoding="utf-8", newline="") as file:
        answers = {row["file"]: int(row["label"]) for row in csv.DictReader(file)}
    assert set(answers.values()) == set(range(10))
    files = files_in(SAMPLES)
    for name in answers:
        assert not isinstance(picture_of(files[name]), str), name
    broken = {picture_of(files[name]) for name in files if name.startswith("broken/")}
    assert broken == {"empty", "truncated", "unsupported", "animated"}
