"""Names and labels that would be markup, formulas or terminal commands: inert in every output."""

import csv
import html.parser
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from digitline.home import Home
from tests.torture.attack import Attack
from tests.torture.nursery import Nursery, Run

NAMES = Attack(
    row=13,
    name="hostile names of folders, files, members, labels and columns through every output",
    holds="inert: no markup in HTML, no formula in CSV, no control character in terminal and "
    "logs, no markup in Prefect's artifacts",
    small=100,
    full=500,
    batch=500,
)
PIECES = (
    "<script>canary()</script>",
    "</script><script>canary()</script>",
    "<!--<script>",
    '"><img src=x onerror=canary()>',
    "' onmouseover='canary()",
    "<svg onload=canary()>",
    "javascript:canary()",
    "{{ 7*7 }}{% raw %}",
    "${7*7}`canary`",
    "&lt;b&gt;&#60;script&#62;",
    "=cmd|' C'!A0",
    '=HYPERLINK("http:canary")',
    "+1+1",
    "-1+1",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\u202egnp.exe",
    "\u2028\u2029",
    "\x7f\x08\x08",
    "\ufeff",
    "a\\nb\\u0000",
    "![x](javascript:canary())",
    "[x](http:canary)",
    "| a | b |",
    "**bold**~~~",
    "é" * 40,
    "\udcff\udcfe",
    "%s%n%x",
    "; rm -rf canary #",
    "$(touch canary)",
    'a,b"c""d',
)
FORMULA = re.compile(r"[\s\ufeff]*[=+\-@\t\r]")
# What a terminal acts on: control characters but the line's end, and what turns its direction.
LOUD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def name(dice: Random) -> str:
    """Put together a file name of at most 200 bytes."""
    words = "".join(dice.choice(PIECES) for _ in range(dice.randint(1, 3))).replace("/", "\u2044")
    return os.fsdecode(os.fsencode(words)[:180])


LINKS = {"href", "src", "action", "formaction", "xlink:href", "data", "srcdoc"}


class Elements(html.parser.HTMLParser):
    """Count what a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts = 0
        self.wrong: list[str] = []
        self.script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.script = tag == "script"
        for key, value in attrs:
            leads = key in LINKS and (value or "").strip().lower().startswith("javascript:")
            if key.startswith("on") or leads:
                self.wrong.append(f"<{tag} {key}={value!r}>")
            if tag == "img" and key == "src" and not (value or "").startswith("data:"):
                self.wrong.append(f"<{tag} {key}={value!r}>")

    def handle_data(self, data: str) -> None:
        if self.script and "canary()</" in data:
            self.wrong.append(data[:80])


def read_page(path: Path) -> Elements:
    elements = Elements()
    elements.feed(path.read_text(encoding="utf-8"))
    return elements


def cells(path: Path) -> Iterator[str]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            yield from row


@pytest.fixture
def settings(home: Home, reader: Home) -> dict[str, str]:
    shutil.copytree(reader.root, home.root, dirs_exist_ok=True)
    return {"DIGITLINE_HOME": str(home.root), "DIGITLINE_THRESHOLD": "0.9"}


def test_hostile_names(
    nursery: Nursery,
    mnist: tuple[list[bytes], NDArray[np.int64]],
    home: Home,
    settings: dict[str, str],
    tmp_path: Path,
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for row in range(4):
        (plain / f"{row}.png").write_bytes(mnist[0][row][: 60 if row == 1 else None])
    first = nursery.run("score", str(plain), **settings)
    assert first.code == 0, first.said
    usual = read_page(home.reports / "score-0001" / "report.html").scripts
    for trial in NAMES.rounds():
        with trial as attack:
            folder = tmp_path / f"{attack.first}-{name(attack.dice)}"
            listed = write_images(folder, mnist[0], attack.cases, attack.dice)
            out = tmp_path / f"out-{attack.first}"
            order = ("score", str(listed), "--out", str(out), "--format", "csv", "--join")
            run = nursery.run(*order, **settings)
            assert run.code == 0, run.said
            check_quiet(run)
            check_tables(out)
            check_pages(home, usual)
            check_sheet(nursery, tmp_path / f"sheet-{attack.first}.csv", settings)
            check_prefect()
            check_errors(nursery, folder, attack.dice, settings)


def write_images(folder: Path, contents: list[bytes], count: int, dice: Random) -> Path:
    """Write images, one in four of them broken, and a list with columns of its own."""
    folder.mkdir()
    rows = []
    for number in range(count):
        path = folder / f"{name(dice)}{number}.png"
        content = contents[number % 4000]
        path.write_bytes(content[:60] if number % 4 == 1 else content)
        rows.append([path.name, name(dice), name(dice)])
    listed = folder / "list.csv"
    with listed.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file).writerows([["file", name(dice), "=1+1"], *rows])
    return listed


def check_quiet(run: Run) -> None:
    loud = LOUD.search(run.log.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n"))
    assert loud is None, run.said[max(0, loud.start() - 80) : loud.end() + 20]


def check_tables(out: Path) -> None:
    tables = sorted(out.glob("*.csv"))
    assert {path.name for path in tables} >= {"joined.csv", "predictions.csv", "errors.csv"}
    for path in tables:
        for cell in cells(path):
            assert not FORMULA.match(cell) or is_number(cell), (path.name, cell)


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def check_pages(home: Home, usual: int) -> None:
    newest = max(home.reports.glob("score-*"))
    page = read_page(newest / "report.html")
    assert page.wrong == []
    assert page.scripts == usual
    index = read_page(home.reports / "index.html")
    assert index.wrong == []
    json.loads((newest / "metrics.json").read_bytes())


def check_sheet(nursery: Nursery, sheet: Path, settings: dict[str, str]) -> None:
    sent = nursery.run("review", "export", "--out", str(sheet), **settings)
    assert sent.code == 0, sent.said
    check_quiet(sent)
    for cell in cells(sheet):
        assert not FORMULA.match(cell) or is_number(cell), cell


def check_prefect() -> None:
    """Look for markup in what Prefect's pages would show, the latest first."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.sorting import ArtifactSort, LogSort

    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts(sort=ArtifactSort.CREATED_DESC)
        shown = [artifact.data for artifact in artifacts]
        shown += [log.message for log in client.read_logs(sort=LogSort.TIMESTAMP_DESC)]
    for text in map(str, shown):
        # A picture of our own may be shown; a name is no markup.
        assert "<script" not in text.lower(), text
        assert "onerror=canary" not in text.replace("&", ""), text
        assert not LOUD.search(text), text


def check_errors(nursery: Nursery, folder: Path, dice: Random, settings: dict[str, str]) -> None:
    """Ask for what is not there, by hostile names, and give hostile labels."""
    bad = folder.parent / "labels.csv"
    with bad.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file).writerows([["file", "label"], [name(dice), name(dice)]])
    missing = str(folder / name(dice))
    for order in (
        ("ingest", str(bad), "--to", "bad"),
        ("ingest", missing, "--to", "bad"),
        ("ingest", str(folder), "--to", name(dice)),
        ("read", missing),
        ("models", "show", name(dice)),
        ("review", "import", missing),
        ("monitor", name(dice)),
    ):
        safe = tuple(word.replace("\0", "").lstrip("-+") or "x" for word in order)
        run = nursery.run(*safe, **settings)
        assert run.code != 0, (safe, run.said)
        check_quiet(run)
        assert "unexpected" not in run.said, run.said
