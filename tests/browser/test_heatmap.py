from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.witness import Opening, need_browser
from tests.digitline.report import samples

need_browser()


@pytest.fixture
def page(reports: Path, open_page: Opening) -> Iterator[Page]:
    witness = open_page(reports / "retrain-0003" / "report.html")
    yield witness.page
    assert witness.complaints == []


def worst_cells() -> list[tuple[int, int]]:
    """Give the cells of mistakes, the commonest first."""
    judged = samples.retrain()[0].judged
    assert judged is not None
    cells = [(row, column) for row in range(10) for column in range(10) if row != column]
    wrong = [cell for cell in cells if judged.confusion[cell[0]][cell[1]]]
    return sorted(wrong, key=lambda cell: -judged.confusion[cell[0]][cell[1]])


def test_the_commonest_confusion_is_open_at_once(page: Page) -> None:
    truth, digit = worst_cells()[0]
    expect(page.locator(".gallery:visible")).to_have_id(f"cell-{truth}-{digit}")


def test_a_cell_opens_its_images_most_confident_first(page: Page) -> None:
    truth, digit = worst_cells()[1]
    page.locator(f'.heat.counts a[href="#cell-{truth}-{digit}"]').click()
    gallery = page.locator(".gallery:visible")
    expect(gallery).to_have_id(f"cell-{truth}-{digit}")
    judged = samples.retrain()[0].judged
    assert judged is not None
    images = gallery.locator("img")
    expect(images).to_have_count(judged.confusion[truth][digit])
    expect(images.first).to_have_attribute("alt", f"a {truth} read as {digit}")
    sure = [float(text.rstrip(" %")) for text in gallery.locator("li span").all_inner_texts()]
    assert sure == sorted(sure, reverse=True)


def test_cells_can_be_walked_by_keyboard(page: Page) -> None:
    page.locator('.heat.counts a[href="#cell-3-3"]').focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    focused = page.evaluate("document.activeElement.hash")
    assert focused != "#cell-3-3"
    expect(page.locator(".gallery:visible")).to_have_id(focused[1:])
    expect(page.locator(f'.counts a[href="{focused}"]')).to_have_attribute("aria-current", "true")


def test_the_three_views_are_chosen_by_keyboard(page: Page) -> None:
    expect(page.locator(".heat:visible caption")).to_contain_text("Images:")
    page.locator("#map-counts").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".heat:visible caption")).to_contain_text("per cent")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".heat:visible caption")).to_contain_text("wrongly")
    expect(page.locator(".heat:visible")).to_have_count(1)


def test_the_colours_lie_under_their_cells(page: Page) -> None:
    place = "element => (r => [r.x, r.y, r.right, r.bottom])(element.getBoundingClientRect())"
    heat = page.locator(".heat:visible")
    picture = heat.locator("img").evaluate(place)
    first = heat.locator("tbody tr:first-child td").first.evaluate(place)
    last = heat.locator("tbody tr:last-child td").last.evaluate(place)
    assert picture == pytest.approx([*first[:2], *last[2:]], abs=1.5)


def test_without_script_a_link_still_shows_the_images(reports: Path, open_page: Opening) -> None:
    path = reports / "retrain-0003" / "report.html"
    page = open_page(path, java_script_enabled=False).page
    page.locator('.heat.counts a[href="#cell-4-4"]').click()
    expect(page.locator(".gallery:visible")).to_have_id("cell-4-4")
