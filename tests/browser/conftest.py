"""Pages in a real Chromium, with everything they say and ask for written down."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from digitline.report.index import rebuild_index
from digitline.report.pages import write_report
from tests.browser.witness import Opening, Witness, missing, need_browser
from tests.digitline.report import samples

_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless, kept off the network."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=need_browser(), args=[*_QUIET])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The accessibility checker axe-core, as its Python package carries it or wherever told."""
    package = importlib.util.find_spec("axe_playwright_python")
    carried = "" if package is None else str(package.origin).replace("__init__.py", "axe.min.js")
    place = Path(os.environ.get("DIGITLINE_AXE", carried))
    if not place.is_file():
        missing("axe-core", "pip install axe-playwright-python, or DIGITLINE_AXE=/path/axe.min.js")
    return place.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two reports and their index, as runs write them."""
    place = tmp_path_factory.mktemp("reports")
    retrained, scored = samples.retrain(), samples.score()
    write_report(place / retrained[0].run.id, *retrained)
    write_report(place / scored[0].run.id, *scored)
    rebuild_index(place)
    return place


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opening]:
    """Open a file in a browser of its own, whatever options the context is given."""
    contexts: list[BrowserContext] = []

    def open_file(path: Path, **options: object) -> Witness:
        context = browser.new_context(**options)  # type: ignore[arg-type] # passed on as they are
        contexts.append(context)
        witness = Witness(context.new_page())
        witness.watch()
        witness.page.goto(path.as_uri())
        return witness

    yield open_file
    for context in contexts:
        context.close()
