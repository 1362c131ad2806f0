import base64
import gc
import hashlib
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from digitline.report import data, pages
from digitline.report.pictures import RetrainPictures, ScorePictures, Shot
from tests.digitline.report import samples


class Page(HTMLParser):
    """The elements of a page, and its text outside style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside = ""
        self.inlined: dict[str, str] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        del tag
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in {"style", "script"}:
            self.inlined[self.inside] = self.inlined.get(self.inside, "") + data
        else:
            self.text += data

    @property
    def ids(self) -> set[str | None]:
        return {attributes.get("id") for _, attributes in self.elements}


@pytest.fixture(scope="module")
def rendered() -> list[str]:
    return [pages.render_retrain(*samples.retrain()), pages.render_score(*samples.score())]


@pytest.fixture(scope="module")
def both(rendered: list[str]) -> list[Page]:
    return [Page(html) for html in rendered]


def test_the_same_run_renders_the_same_bytes(rendered: list[str]) -> None:
    again = [pages.render_retrain(*samples.retrain()), pages.render_score(*samples.score())]
    assert again == rendered


def test_the_policy_allows_our_style_and_script_and_nothing_else(both: list[Page]) -> None:
    for page in both:
        policy = next(
            attributes["content"] or ""
            for tag, attributes in page.elements
            if attributes.get("http-equiv") == "Content-Security-Policy"
        )
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for kind, text in page.inlined.items():
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{kind}-src 'sha256-{digest}'" in policy


def test_nothing_is_fetched_and_nothing_runs_inline(both: list[Page]) -> None:
    for page in both:
        for tag, attributes in page.elements:
            assert not [name for name in attributes if name == "style" or name.startswith("on")]
            for name in ("src", "srcset"):
                assert (attributes.get(name) or "data:").startswith("data:"), tag
            assert tag not in {"link", "iframe", "object", "embed", "form", "base"}


def test_every_image_says_what_it_shows(both: list[Page]) -> None:
    for page in both:
        images = [attributes for tag, attributes in page.elements if tag == "img"]
        assert images
        assert all("alt" in attributes for attributes in images)
        assert all(attributes.get("width") and attributes.get("height") for attributes in images)


def test_ids_are_unique_and_links_lead_somewhere(both: list[Page]) -> None:
    for page in both:
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        links = {attributes.get("href") or "" for tag, attributes in page.elements if tag == "a"}
        assert {link[1:] for link in links if link.startswith("#")} <= set(ids)


def test_hostile_names_are_text(both: list[Page]) -> None:
    for page in both:
        assert not [attributes for _, attributes in page.elements if "onerror" in attributes]
        assert "<img src=x onerror=alert(1)>" in page.text
        assert "\\u202egnp.\\x1b[31m\\n.png" in page.text
        assert "\u202e" not in page.text
        assert "\x1b" not in page.text


def test_sections_appear_with_their_data(both: list[Page]) -> None:
    assert {"rules", "confusion", "flips", "training", "weights", "cell-8-8"} <= both[0].ids
    assert {"review", "failures", "drift", "expected", "lineage"} <= both[1].ids
    assert "The pictures changed" in both[1].text
    assert "the training data of m0001" in both[1].text
    report, _ = samples.retrain()
    unchanged = report.model_copy(
        update={
            "decision": data.Decision(verdict="unchanged", sentence="Nothing is new."),
            "judged": None,
            "training": None,
            "model": None,
        }
    )
    page = Page(pages.render_retrain(unchanged, RetrainPictures()))
    assert {"data", "lineage"} <= page.ids
    assert not {"rules", "confusion", "flips", "training", "weights"} & page.ids
    assert "Nothing is new." in page.text


def test_a_page_without_pictures_still_has_its_numbers() -> None:
    report, _ = samples.retrain()
    page = Page(pages.render_retrain(report, RetrainPictures()))
    assert "digits" in page.ids
    scored = Page(pages.render_score(samples.score()[0], ScorePictures()))
    assert "review" in scored.ids


def test_an_empty_scoring_has_a_page() -> None:
    nothing = data.ScoreReport(
        run=data.Run(id="score-0001", when="today", seconds=0),
        model=samples.MODEL,
        source="empty",
        n_in=0,
        accept=0,
        review=0,
        error=0,
        threshold=0.9,
        folders=(),
        accepted_digits=(0,) * 10,
        review_digits=(0,) * 10,
        confidence=(data.Bar(low=0, high=1, accept=0, review=0),),
    )
    assert "0 images" in Page(pages.render_score(nothing, ScorePictures())).text


def test_noisy_originals_do_not_make_a_heavy_page() -> None:
    report, _ = samples.score(name="x/" * 2000 + "long.png")
    tiles = (report.review_tiles * 300)[:300]
    heavy = report.model_copy(update={"review_tiles": tiles, "review": 300, "n_in": 0})
    noise = np.random.default_rng(0).integers(0, 256, (300, 112, 112, 3), dtype=np.uint8)
    blank = np.zeros((28, 28), np.uint8)
    shots = tuple(Shot.of(image, blank) for image in noise)
    html = pages.render_score(heavy, ScorePictures((), shots))
    assert len(html.encode()) < 3_000_000
    left_out = re.search(r"(\d+) images are shown without the original", html)
    assert left_out
    assert 0 < int(left_out[1]) < 300


def test_a_report_is_written_beside_its_metrics(tmp_path: Path) -> None:
    report, pictures = samples.retrain()
    page = pages.write_report(tmp_path / report.run.id, report, pictures)
    assert page == tmp_path / "retrain-0003" / "report.html"
    names = {path.name for path in page.parent.iterdir()}
    assert names == {"report.html", "metrics.json", "_MANIFEST.json"}
    metrics = (page.parent / "metrics.json").read_bytes()
    assert data.REPORT.validate_json(metrics) == report
    assert len(metrics) < 200_000


def test_charts_are_not_kept_in_memory_once_they_are_drawn() -> None:
    def count_charts() -> int:
        pages.render_retrain(*samples.retrain())
        pages.render_score(*samples.score())
        gc.collect()
        return sum(isinstance(each, Figure) for each in gc.get_objects())

    counts = [count_charts() for _ in range(3)]
    # Some that were drawn last may still be referred to, now more, now fewer.
    assert any(after <= before for before, after in pairwise(counts)), counts


def test_pictures_of_the_other_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="same kind"):
        pages.write_report(tmp_path, samples.retrain()[0], ScorePictures())


def test_pictures_and_tiles_must_be_aligned() -> None:
    report, pictures = samples.score()
    with pytest.raises(ValueError, match="shorter"):
        pages.render_score(report, ScorePictures(pictures.accepted[:-1], pictures.review))
