"""How drift is shown: every shape within its frame, every image beside what it shows."""

import re

import pytest

from digitline.judging.drift import Drift
from digitline.report.drift import evidence_names, name_verdict, shape_of, show_evidence
from tests.digitline.report import samples


@pytest.fixture
def drift() -> Drift:
    return samples.drifted(["a.png", "b.png", "c.png", "d.png"])


def test_a_shape_fills_its_frame_and_stays_in_it(drift: Drift) -> None:
    assert drift.ruling is not None
    for finding in drift.ruling.findings:
        for shares in (finding.before, finding.now):
            path = shape_of(shares, finding)
            assert path.endswith("H120.0")
            heights = [float(height) for height in re.findall(r"V([\d.]+)", path)]
            assert len(heights) == len(finding.names)
            assert 0 < min(heights) <= max(heights) <= 32
    changed = drift.ruling.changes[0]
    assert "V2.0" in shape_of(changed.before, changed)


def test_an_image_that_has_gone_is_left_out(drift: Drift) -> None:
    assert evidence_names(drift) == {"a.png", "b.png", "c.png", "d.png"}
    (shown,) = show_evidence(drift, {"b.png": ("original", "digit"), "d.png": (None, "digit")})
    assert shown.unusual == [("b.png", "original", "digit")]
    assert shown.typical == [("d.png", None, "digit")]
    assert show_evidence(None, {}) == []


def test_a_verdict_has_a_name_for_people(drift: Drift) -> None:
    assert name_verdict(drift) == "The pictures changed"
