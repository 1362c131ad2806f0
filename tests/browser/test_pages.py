from pathlib import Path

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


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_accessible(
    page: str, mode: str, reports: Path, open_page: Opening, axe: str
) -> None:
    # The page's own policy keeps a foreign script out, as it should.
    opened = open_page(reports / page, color_scheme=mode, bypass_csp=True).page
    opened.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    opened.evaluate(axe)
    # Only colours change with the mode.
    rules = (
        ["color-contrast"]
        if mode == "dark"
        else ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    )
    found = opened.evaluate(
        "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})", rules
    )
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found["violations"]] == []


@pytest.mark.parametrize("width", [360, 768, 1600])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_its_screen(page: str, width: int, reports: Path, open_page: Opening) -> None:
    opened = open_page(reports / page, viewport={"width": width, "height": 800}).page
    opened.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def brightness(page: Page) -> float:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red, green, blue = (int(part) for part in colour[4:-1].split(","))
    return (red + green + blue) / 3


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_light_or_dark_as_asked(page: str, reports: Path, open_page: Opening) -> None:
    light, dark = (open_page(reports / page, color_scheme=mode).page for mode in ("light", "dark"))
    assert brightness(light) > 230
    assert brightness(dark) < 40


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
