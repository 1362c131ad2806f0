from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.witness import Opening, need_browser

need_browser()

PAGES = ("index.html", "retrain-0003/report.html", "score-0004/report.html")
REPORTS = PAGES[1:]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_for_nothing_and_says_nothing(
    page: str, reports: Path, open_page: Opening
) -> None:
    witness = open_page(reports / page)
    witness.page.wait_for_load_state()
    assert witness.requests == [(reports / page).as_uri()]
    assert witness.complaints == []
    broken = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"
    assert witness.page.evaluate(broken) == 0


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_accessible(page: str, reports: Path, open_page: Opening, axe: str) -> None:
    # The page's own policy keeps a foreign script out, as it should.
    opened = open_page(reports / page, color_scheme="light", bypass_csp=True).page
    opened.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    opened.evaluate(axe)
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    assert violations(opened, rules) == []
    # Only colours change with the mode.
    opened.emulate_media(color_scheme="dark")
    assert violations(opened, ["color-contrast"]) == []


def violations(page: Page, rules: list[str]) -> list[tuple[str, str]]:
    found = page.evaluate(
        "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})", rules
    )
    return [(rule["id"], rule["nodes"][0]["html"]) for rule in found["violations"]]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_its_screen(page: str, reports: Path, open_page: Opening) -> None:
    opened = open_page(reports / page).page
    opened.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    for width in (360, 768, 1600):
        opened.set_viewport_size({"width": width, "height": 800})
        assert opened.evaluate("document.documentElement.scrollWidth") <= width


def brightness(page: Page, mode: Literal["light", "dark"]) -> float:
    page.emulate_media(color_scheme=mode)
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red, green, blue = (int(part) for part in colour[4:-1].split(","))
    return (red + green + blue) / 3


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_light_or_dark_as_asked(page: str, reports: Path, open_page: Opening) -> None:
    opened = open_page(reports / page).page
    assert brightness(opened, "light") > 230
    assert brightness(opened, "dark") < 40


@pytest.mark.parametrize("page", REPORTS)
def test_a_page_prints(page: str, reports: Path, open_page: Opening) -> None:
    opened = open_page(reports / page).page
    assert opened.pdf(format="A4").count(b"/Type /Page\n") >= 2
    opened.emulate_media(media="print")
    expect(opened.locator(".contents")).to_be_hidden()


def test_links_between_pages_hold(reports: Path, open_page: Opening) -> None:
    page = open_page(reports / "index.html").page
    page.get_by_role("link", name="score-0004").click()
    expect(page).to_have_title(page.locator("h1").inner_text() + " · score-0004 · Digitline")
    page.get_by_role("link", name="Digitline", exact=True).click()
    expect(page).to_have_title("Runs · Digitline")
