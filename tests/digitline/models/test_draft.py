from pathlib import Path

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from digitline.errors import TamperedError
from digitline.models.draft import read_draft, write_draft


def test_a_draft_is_private_and_comes_back(tmp_path: Path, network: MLPClassifier) -> None:
    path = tmp_path / "draft.joblib"
    digest = write_draft(path, network)
    assert path.stat().st_mode & 0o777 == 0o600
    np.testing.assert_array_equal(read_draft(path, digest).coefs_[0], network.coefs_[0])


def test_a_draft_that_was_changed_is_refused(tmp_path: Path, network: MLPClassifier) -> None:
    path = tmp_path / "draft.joblib"
    digest = write_draft(path, network)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(TamperedError, match="Train again"):
        read_draft(path, digest)
