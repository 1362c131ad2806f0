"""A page in a browser, and what it did besides showing itself."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

import pytest
from playwright.sync_api import Page, Request


@dataclass
class Witness:
    """A page, and what it did besides showing itself."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("request", self._note)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))

    def _note(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.requests.append(request.url)


Opening = Callable[..., Witness]


def need_browser() -> str:
    """Give the path of Chromium; a module that asks is skipped whole where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    return program or missing("browser", "apt-get install chromium")


def missing(what: str, remedy: str) -> NoReturn:
    """Skip where a browser test cannot run, or fail where it must."""
    if os.environ.get("DIGITLINE_TEST_BROWSER") == "required":
        pytest.fail(f"no {what}: {remedy}")
    pytest.skip(f"no {what}: {remedy}", allow_module_level=True)
