"""Retrain, score, and what holds between the two, over Prefect's real API."""

import csv
import hashlib
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from digitline.commit import check_shards, locked, read_manifest
from digitline.errors import (
    BusyError,
    DataError,
    NoModelError,
    SettingsError,
    StorageError,
    TamperedError,
)
from digitline.home import Home
from digitline.judging.certificate import certify
from digitline.keeping.checkup import examine, list_exams
from digitline.models.card import Corrections
from digitline.models.registry import Registry
from digitline.pixels.decode import Limits
from digitline.review.answered import find_answered
from digitline.review.intake import Word, take_in
from digitline.review.outgoing import send_out
from digitline.review.store import Store
from digitline.rows import ERRORS, PREDICTIONS
from flows.retrain import retrain
from flows.score import score

pytestmark = pytest.mark.usefixtures("prefect_server")

Mnist = tuple[list[bytes], NDArray[np.int64]]
# What a few hundred steps on 1,000 images come to.
FLOOR = "0.7"
RECIPE = "hidden = [64]\nepochs = 15\nbatch = 50\nrate = 0.01\n"


def export(mnist: Mnist, folder: Path, rows: slice) -> Path:
    """Write images as a user would: a sub-folder for each digit."""
    contents, labels = mnist
    for number in range(*rows.indices(len(contents))):
        place = folder / str(labels[number]) / f"{number:05d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(contents[number])
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pipeline")


@pytest.fixture(scope="module")
def recipe(place: Path) -> str:
    path = place / "tiny.toml"
    path.write_text(RECIPE)
    return str(path)


@pytest.fixture(scope="module")
def labelled(mnist: Mnist, place: Path) -> Path:
    return export(mnist, place / "labelled", slice(0, 1500))


@pytest.fixture(scope="module")
def first_retraining(
    prefect_server: None,
    place: Path,
    labelled: Path,
    recipe: str,
) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIGITLINE_HOME", str(place / "home"))
        patch.setenv("DIGITLINE_GATE__MIN_ACCURACY", FLOOR)
        patch.setenv("DIGITLINE_MAX_ERROR", "25%")
        assert retrain([str(labelled)], recipe=recipe).verdict == "bootstrap"
    return place / "home"


@pytest.fixture(autouse=True)
def low_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITLINE_GATE__MIN_ACCURACY", FLOOR)
    # So few rows certify no more than that.
    monkeypatch.setenv("DIGITLINE_MAX_ERROR", "25%")


@pytest.fixture
def trained(home: Home, first_retraining: Path) -> Home:
    """A home of this test's own in which a first champion has been trained."""
    shutil.copytree(first_retraining, home.root, dirs_exist_ok=True)
    return home


def predictions(results: Path) -> dict[str, list[object]]:
    manifest = read_manifest(results)
    assert manifest is not None
    check_shards(results, manifest)
    names = [shard.name for shard in manifest.shards]
    tables = [pq.read_table(results / name) for name in names if name.startswith("predictions")]
    assert all(table.schema.equals(PREDICTIONS) for table in tables)
    rows: dict[str, list[object]] = pa.concat_tables(tables).to_pydict()
    return rows


def errors(results: Path) -> dict[str, str]:
    tables = [pq.read_table(path) for path in sorted(results.glob("errors-*.parquet"))]
    assert all(table.schema.equals(ERRORS) for table in tables)
    return {row["path"]: row["reason"] for table in tables for row in table.to_pylist()}


def test_retraining_makes_a_champion_and_a_report(trained: Home) -> None:
    registry = Registry(trained.models, trained.keys)
    card = registry.card(registry.champion())
    assert card.version == "m0001"
    assert card.metrics.accuracy > 0.7
    assert {len(row.probabilities) for row in card.golden} == {10}
    page = trained.reports / card.run / "report.html"
    metrics = json.loads((page.parent / "metrics.json").read_text())
    assert metrics["judged"]["error"] == pytest.approx(card.metrics.error)
    read_rates = (metrics["judged"]["chosen"]["read_rate"], metrics["certificate"]["read_rate"])
    assert read_rates == pytest.approx([card.metrics.more["read_rate"]] * 2)
    assert "http://" not in page.read_text().replace("http://www.w3.org", "")
    assert not list(trained.checkpoints.glob("*"))


def test_same_data_again_trains_nothing(trained: Home, labelled: Path, recipe: str) -> None:
    again = retrain([str(labelled)], recipe=recipe)
    assert (again.verdict, again.version) == ("unchanged", "m0001")
    assert Registry(trained.models, trained.keys).versions() == ("m0001",)


def test_force_trains_the_same_model_again(trained: Home, labelled: Path, recipe: str) -> None:
    again = retrain([str(labelled)], recipe=recipe, force=True)
    assert (again.verdict, again.version) == ("promote", "m0002")
    registry = Registry(trained.models, trained.keys)
    first, second = (registry.card(version).model.sha256 for version in ("m0001", "m0002"))
    assert first == second


def test_worse_challenger_is_held_and_stays_to_be_looked_at(
    trained: Home, labelled: Path, tmp_path: Path
) -> None:
    feeble = tmp_path / "feeble.toml"
    feeble.write_text("hidden = [2]\nepochs = 1\n")
    held = retrain([str(labelled)], recipe=str(feeble))
    registry = Registry(trained.models, trained.keys)
    assert (held.verdict, held.version) == ("hold", "m0002")
    assert registry.champion() == "m0001"
    assert not all(rule.passed for rule in registry.card("m0002").verdict.rules)
    assert held.report.is_file()


def test_corrections_of_people_are_learned_from_next(
    trained: Home, mnist: Mnist, labelled: Path, recipe: str, tmp_path: Path
) -> None:
    folder = export(mnist, tmp_path / "scans", slice(2000, 2040))
    scored = score(str(folder), threshold=0.99)
    sheet = tmp_path / "corrections.csv"
    answered = find_answered(trained)
    send_out(answered, sheet, most=300, audit=30, store=Store(trained.corrections), limits=Limits())
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[1:]:
        row["digit"] = row["file"].split("/")[0]
    rows[0]["note"] = "not-a-digit"
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    take_in(sheet, trained, Word("Ann", "2026-01-02"), Limits())
    again = retrain([str(labelled)], recipe=recipe, start="fresh", promote="force")
    assert again.verdict == "promote"
    data = Registry(trained.models, trained.keys).card("m0002").data
    assert data.corrections == Corrections(rows=len(rows) - 1, others=1, weight=5)
    metrics = json.loads((again.report.parent / "metrics.json").read_text())
    assert metrics["data"]["corrections"]["rows"] == len(rows) - 1
    assert metrics["audit"]["model"] == "m0001"
    assert metrics["audit"]["n"] == min(30, scored.counts.accept)
    assert f"{len(rows) - 1} images</b> that people looked at" in again.report.read_text()
    assert retrain([str(labelled)], recipe=recipe).verdict == "unchanged"
    assert examine(trained, list_exams(trained), lambda *_: None).faults == ()


def test_second_retraining_at_once_is_turned_away(home: Home, labelled: Path) -> None:
    with locked(home.lock("retrain"), "retrain"), pytest.raises(BusyError):
        retrain([str(labelled)])


def test_data_too_poor_to_train_on_registers_nothing(
    home: Home, mnist: Mnist, tmp_path: Path, recipe: str
) -> None:
    few = export(mnist, tmp_path / "few", slice(0, 30))
    with pytest.raises(DataError, match="rule `rows` failed"):
        retrain([str(few)], recipe=recipe)
    assert not home.models.exists()


def test_every_image_comes_back_once(trained: Home, mnist: Mnist, tmp_path: Path) -> None:
    folder = export(mnist, tmp_path / "scans", slice(2000, 2060))
    (folder / "broken.png").write_bytes(mnist[0][0][:100])
    (folder / "empty.png").touch()
    (folder / "a letter.jpg").write_text("Dear reader")
    (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(mnist[0][1])
    scored = score(str(folder))
    counts = scored.counts
    assert counts.n_in == 64 == counts.accept + counts.review + counts.error
    rows = predictions(scored.results)
    assert len(rows["path"]) + len(errors(scored.results)) == 64
    assert errors(scored.results) == {
        "broken.png": "truncated",
        "empty.png": "empty",
        "a letter.jpg": "unsupported",
    }
    assert "caf\\xe9.png" in rows["path"]
    row = rows["path"].index("caf\\xe9.png")
    assert rows["id"][row] == hashlib.sha256(mnist[0][1]).digest()
    assert scored.report.is_file()


def test_scoring_reads_what_training_read(trained: Home, labelled: Path) -> None:
    scored = score(str(labelled), threshold=0.9)
    rows = predictions(scored.results)
    truth = [int(str(path).split("/")[0]) for path in rows["path"]]
    assert np.mean(np.array(rows["digit"]) == truth) > 0.85
    assert rows["path"] == sorted(rows["path"], key=lambda path: str(path).split("/"))
    for digit, confidence, status, model in zip(
        rows["digit"], rows["confidence"], rows["status"], rows["model"], strict=True
    ):
        assert isinstance(confidence, float)
        assert status == "review" or confidence >= np.float32(0.9)
        assert model == "m0001"
        assert digit in range(10)


def test_normalised_rows_and_raw_rows_and_a_list_give_the_same_answers(
    trained: Home, labelled: Path, tmp_path: Path
) -> None:
    raw = next(path for path in trained.data.iterdir() if path.name.startswith("labelled"))
    normalised = next(trained.normalised.iterdir())
    listed = tmp_path / "list.csv"
    files = sorted(labelled.rglob("*.png"), key=lambda path: path.relative_to(labelled).parts)
    listed.write_text("file\n" + "".join(f"{path}\n" for path in files))
    inputs = [raw / "train.parquet", normalised / "train.parquet", listed, labelled]
    answers = [predictions(score(str(each)).results) for each in inputs[:2]]
    assert answers[0]["id"] == answers[1]["id"]
    assert answers[0]["p3"] == answers[1]["p3"]


def test_embedded_rows_and_an_exported_folder_normalise_alike(
    trained: Home, mnist: Mnist, labelled: Path
) -> None:

    normalised = next(trained.normalised.iterdir())
    table = pq.read_table(normalised / "train.parquet")
    by_id = dict(zip(table["id"].to_pylist(), table["px"].to_pylist(), strict=True))
    for content in mnist[0][:1500]:
        px = by_id[hashlib.sha256(content).digest()]
        assert px == Image.open(io.BytesIO(content)).tobytes()


def test_results_go_where_they_are_asked_to_and_never_over_others(
    trained: Home, labelled: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    assert score(str(labelled / "3"), out=out).results == out
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(StorageError, match="not empty"):
        score(str(labelled / "4"), out=out)
    assert before == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def test_error_allowed_chooses_the_threshold_from_the_card(
    trained: Home, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Registry(trained.models, trained.keys).card("m0001")
    assert card.curve is not None
    assert card.certificate is not None
    assert card.certificate.max_error == 0.25
    folder = str(labelled / "3")
    thresholds = [
        json.loads((score(folder, max_error=allowed).report.parent / "metrics.json").read_text())[
            "threshold"
        ]
        for allowed in (0.15, 0.4)
    ]
    assert thresholds == [certify(card.curve, allowed).threshold for allowed in (0.15, 0.4)]
    assert thresholds[0] >= thresholds[1]
    monkeypatch.setenv("DIGITLINE_MAX_ERROR", "0.01%")
    with pytest.raises(SettingsError, match="attainable"):
        score(folder)


def test_scoring_without_a_champion_says_what_to_do(home: Home, labelled: Path) -> None:
    with pytest.raises(NoModelError, match="digitline retrain"):
        score(str(labelled))
    assert not home.runs.exists()


@pytest.mark.parametrize("name", ["m0001/model.joblib", "m0001/card.json", "champion.json"])
def test_one_flipped_byte_refuses_to_score(trained: Home, labelled: Path, name: str) -> None:
    path = trained.models / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(TamperedError):
        score(str(labelled))
    assert not list(trained.runs.glob("score-*/predictions-*"))
