import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from digitline.pixels.decode import Limits
from digitline.report.data import Tile
from digitline.review.intake import Word, take_in
from digitline.review.store import Store
from tests.browser.witness import Opening, need_browser
from tests.conftest import Scans
from tests.digitline.report import samples

need_browser()


@pytest.fixture
def page(reports: Path, open_page: Opening) -> Iterator[Page]:
    witness = open_page(reports / "score-0004" / "report.html")
    yield witness.page
    assert witness.complaints == []


@pytest.fixture
def desk(page: Page) -> Locator:
    bench = page.locator(".bench")
    bench.focus()
    return bench


@pytest.fixture(scope="module")
def tiles() -> tuple[Tile, ...]:
    return samples.score()[0].review_tiles


def download(page: Page) -> list[dict[str, str]]:
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download corrections.csv").click()
    assert waiting.value.suggested_filename == "corrections.csv"
    with waiting.value.path().open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_twenty_are_labelled_by_keyboard_kept_and_downloaded(
    page: Page, desk: Locator, tiles: tuple[Tile, ...]
) -> None:
    expect(page.locator(".remaining")).to_have_text(f"{len(tiles)} of {len(tiles)} remain")
    for number in range(20):
        desk.press(str(number % 10))
    left = f"{len(tiles) - 20} of {len(tiles)} remain"
    expect(page.locator(".remaining")).to_have_text(left)
    page.reload()
    expect(page.locator(".remaining")).to_have_text(left)
    rows = download(page)
    assert [row["digit"] for row in rows] == [str(number % 10) for number in range(20)]
    assert [row["id"] for row in rows] == [tile.id for tile in tiles[:20]]
    assert [row["file"] for row in rows] == [tile.path for tile in tiles[:20]]
    assert [row["read"] for row in rows] == [str(tile.digit) for tile in tiles[:20]]
    assert {row["run"] for row in rows} == {"score-0004"}


def test_skipping_not_a_digit_and_undoing(page: Page, desk: Locator) -> None:
    for key in ("s", "n", "7", "u", "8"):
        desk.press(key)
    rows = download(page)
    assert [(row["digit"], row["note"]) for row in rows] == [("", "not-a-digit"), ("8", "")]


def test_undo_goes_back_to_the_beginning_and_no_further(
    page: Page, desk: Locator, tiles: tuple[Tile, ...]
) -> None:
    for key in ("1", "2", "u", "u", "u"):
        desk.press(key)
    expect(page.locator(".remaining")).to_have_text(f"{len(tiles)} of {len(tiles)} remain")
    expect(page.locator('[data-act="undo"]')).to_be_disabled()
    expect(page.locator('[data-act="download"]')).to_be_disabled()


def test_answers_can_be_changed_and_given_by_pointer(
    page: Page, desk: Locator, tiles: tuple[Tile, ...]
) -> None:
    desk.press("1")
    page.locator(".pick").nth(0).click()
    page.get_by_role("button", name="5", exact=True).click()
    rows = download(page)
    assert [(row["id"], row["digit"]) for row in rows] == [(tiles[0].id, "5")]


def test_keys_away_from_the_desk_do_nothing(page: Page, tiles: tuple[Tile, ...]) -> None:
    page.locator("#failures summary").first.focus()
    page.keyboard.press("5")
    expect(page.locator(".remaining")).to_have_text(f"{len(tiles)} of {len(tiles)} remain")


def test_filters_show_what_is_left_and_what_was_read_so(
    page: Page, desk: Locator, tiles: tuple[Tile, ...]
) -> None:
    shown = page.locator(".shots .pick:visible")
    desk.press("1")
    page.locator('[data-filter="state"]').select_option("done")
    expect(shown).to_have_count(1)
    page.locator('[data-filter="state"]').select_option("open")
    expect(shown).to_have_count(len(tiles) - 1)
    page.locator('[data-filter="digit"]').select_option("8")
    # The image on the desk stays in sight, whatever the filter.
    wanted = sum(tile.digit == 8 for tile in tiles[1:])
    expect(shown).to_have_count(wanted)


def test_another_run_keeps_its_own_answers(
    reports: Path, page: Page, desk: Locator, tmp_path: Path
) -> None:
    desk.press("1")
    other = tmp_path / "report.html"
    html = (reports / "score-0004" / "report.html").read_text()
    other.write_text(html.replace("score-0004", "score-0005"))
    page.goto(other.as_uri())
    expect(page.locator('[data-act="undo"]')).to_be_disabled()


def test_a_hostile_name_is_shown_and_does_nothing(page: Page, desk: Locator) -> None:
    number = next(
        number
        for number, tile in enumerate(samples.score()[0].review_tiles)
        if tile.path == samples.HOSTILE
    )
    page.locator(".pick").nth(number).click()
    expect(desk.locator("small")).to_contain_text("<img src=x onerror=alert(1)>")
    desk.press("3")
    assert [row["file"] for row in download(page)] == [samples.HOSTILE]


def test_without_script_the_images_are_a_plain_list(reports: Path, open_page: Opening) -> None:
    path = reports / "score-0004" / "report.html"
    page = open_page(path, java_script_enabled=False).page
    expect(page.locator(".desk")).to_be_hidden()
    expect(page.locator("#review .shot").first).to_be_visible()


def test_what_the_desk_downloads_can_be_imported(scans: Scans, open_page: Opening) -> None:
    page = open_page(scans.home.reports / scans.run / "report.html").page
    desk = page.locator(".bench")
    desk.focus()
    for number in range(20):
        desk.press("n" if number == 7 else str(number % 10))
    page.reload()
    expect(page.locator(".remaining")).to_contain_text("remain")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download corrections.csv").click()
    sheet = waiting.value.path()
    taken = take_in(sheet, scans.home, Word("Ann", "2026-01-02"), Limits())
    assert (taken.new, taken.known, taken.open) == (20, 0, 0)
    answers = Store(scans.home.corrections).answers()
    said = [None if number == 7 else number % 10 for number in range(20)]
    assert [answer.digit for answer in answers] == said
    assert {answer.kind for answer in answers} == {"queue", "audit"}
    assert take_in(sheet, scans.home, Word("Ann", "2026-01-02"), Limits()).stored is None


def test_how_sure_it_was_shows_only_once_answered(page: Page, desk: Locator) -> None:
    sure = desk.locator(".sure")
    expect(sure).to_be_hidden()
    desk.press("3")
    expect(sure).to_be_hidden()  # of the next one
    page.locator(".pick").nth(0).click()
    expect(sure).to_be_visible()
