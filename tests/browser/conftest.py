"""Pages in a real Chromium, with everything they say and ask for written down."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from digitline.home import CHECKOUT
from digitline.report.index import rebuild_index
from digitline.report.pages import write_report
from tests.browser.witness import Opening, Witness
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


def _missing(what: str, remedy: str) -> None:
    """Skip where a browser test cannot run, or fail where it must."""
    if os.environ.get("DIGITLINE_TEST_BROWSER") == "required":
        pytest.fail(f"no {what}: {remedy}")
    pytest.skip(f"no {what}: {remedy}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless, kept off the network."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        _missing("browser", "apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=[*_QUIET])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The accessibility checker axe-core, which is not ours to keep in this repository."""
    places = (
        os.environ.get("DIGITLINE_AXE"),
        CHECKOUT / "node_modules" / "axe-core" / "axe.min.js",
        "/usr/share/javascript/axe-core/axe.min.js",
    )
    found = [Path(place) for place in places if place and Path(place).is_file()]
    if not found:
        _missing("axe-core", "npm install --no-save axe-core, or DIGITLINE_AXE=/path/axe.min.js")
    return found[0].read_text()


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
