import hashlib
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digitline.learning.suspects import ISSUES, find_suspects, out_of_fold, read_issues
from digitline.rows import write_rows

Mnist = tuple[list[bytes], NDArray[np.int64]]


def test_labels_that_were_changed_are_at_the_top(mnist: Mnist) -> None:
    contents, truth = mnist[0][:2000], mnist[1][:2000].astype(np.int8)
    px = np.stack([np.asarray(Image.open(io.BytesIO(each))).reshape(784) for each in contents])
    ids = np.stack([np.frombuffer(hashlib.sha256(each).digest(), np.uint8) for each in contents])
    changed = np.random.default_rng(0).choice(2000, 40, replace=False)
    labels = truth.copy()
    labels[changed] = (labels[changed] + 3) % 10
    found = find_suspects(labels, out_of_fold(ids, px, labels))
    first = found.rows[:30]
    assert np.isin(first, changed).mean() > 0.5  # one row in fifty was changed
    right = np.isin(first, changed)
    assert np.mean(found.suggested[:30][right] == truth[first][right]) > 0.9
    assert (np.diff(found.score) >= 0).all()


def test_a_row_is_read_only_by_networks_that_have_not_seen_it() -> None:
    rng = np.random.default_rng(0)
    px = rng.integers(0, 256, (300, 784)).astype(np.uint8)
    ids = rng.integers(0, 256, (300, 32)).astype(np.uint8)
    labels = rng.integers(0, 10, 300).astype(np.int8)
    chances = out_of_fold(ids, px, labels)
    # Noise can be learned by heart, but not foretold.
    assert (chances.argmax(axis=1) == labels).mean() < 0.25
    assert np.allclose(chances.sum(axis=1), 1, atol=1e-5)


def test_only_what_is_surer_than_usual_is_suspected() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1], np.int8)
    chances = np.zeros((6, 10), np.float32)
    chances[:, 0] = [0.9, 0.8, 0.05, 0.1, 0.3, 0.6]
    chances[:, 1] = 1 - chances[:, 0]
    found = find_suspects(labels, chances)
    # On average zeros are read as such with 0.58, ones with 0.67.
    assert found.rows.tolist() == [2, 5]
    assert found.suggested.tolist() == [1, 0]
    assert np.allclose(found.score, [0.05 - 0.95, 0.4 - 0.6])


def test_agreement_leaves_nobody_suspect() -> None:
    labels = np.arange(10).repeat(3).astype(np.int8)
    assert len(find_suspects(labels, np.eye(10, dtype=np.float32)[labels]).rows) == 0


def test_issues_of_several_data_sets_come_likeliest_first(tmp_path: Path) -> None:
    row = {"id": bytes(32), "label": 1, "suggested": 7, "px": bytes(784)}
    files = []
    for name, scores in (("a", [-0.9, -0.1]), ("b", [-0.5])):
        rows = [{**row, "path": name, "score": score} for score in scores]
        batch = ISSUES.empty_table().from_pylist(rows, schema=ISSUES).to_batches()
        files.append(tmp_path / f"{name}.parquet")
        write_rows(files[-1], ISSUES, iter(batch))
    assert read_issues(files).column("path").to_pylist() == ["a", "b", "a"]
    assert read_issues([]).num_rows == 0
