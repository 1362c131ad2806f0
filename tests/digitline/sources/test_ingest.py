import errno
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from digitline.commit import MANIFEST_NAME, locked
from digitline.errors import BusyError, DataError, SourceError, StorageError
from digitline.pixels.decode import Limits
from digitline.rows import RAW
from digitline.sources.checks import KEPT, Checks, find_faults
from digitline.sources.dataset import DROPPED, Ingested, opened
from digitline.sources.folder import open_folder
from digitline.sources.idx import open_idx
from digitline.sources.ingest import ingest, look
from digitline.sources.item import Item, Problem, Source
from digitline.sources.parquet import open_parquet_source
from digitline.sources.recognise import open_source

Draw = Callable[[int], bytes]
LENIENT = Checks(
    schema_share=1,
    unreadable_share=1,
    labels_share=1,
    undecodable_share=1,
    blank_share=1,
    conflicts_share=1,
    min_rows=1,
    missing_classes=10,
)


def run(source: Source, directory: Path, checks: Checks = LENIENT) -> Ingested:
    return ingest(source, directory, checks, Limits())


def source_of(train: list[Item], test: list[Item] | None = None) -> Source:
    readers: dict[object, Callable[[], Iterator[Item]]] = {"train": lambda: iter(train)}
    if test is not None:
        readers["test"] = lambda: iter(test)
    return Source(kind="made up", where="nowhere", readers=readers)  # type: ignore[arg-type]  # `object` keys


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_rows_keep_the_order_of_the_source(tmp_path: Path, labelled_folder: Path) -> None:
    ingested = run(open_folder(labelled_folder, 1 << 20), tmp_path / "data" / "mine")
    table = pq.read_table(tmp_path / "data" / "mine" / "train.parquet")
    assert table.schema.equals(RAW, check_metadata=True)
    expected = sorted(labelled_folder.rglob("*.png"))
    rows = table.to_pylist()
    assert [row["image"]["bytes"] for row in rows] == [path.read_bytes() for path in expected]
    assert [row["image"]["path"] for row in rows] == [
        str(path.relative_to(labelled_folder)) for path in expected
    ]
    assert [row["label"] for row in rows] == [int(path.parent.name) for path in expected]
    assert ingested.verdict == "written"
    assert ingested.facts.parts["train"].labels == (3,) * 10
    assert sorted(contents(tmp_path / "data" / "mine")) == [MANIFEST_NAME, "train.parquet"]


def test_the_same_source_anywhere_gives_the_same_bytes(
    tmp_path: Path, labelled_folder: Path
) -> None:
    run(open_folder(labelled_folder, 1 << 20), tmp_path / "one")
    moved = labelled_folder.rename(tmp_path / "moved")
    run(open_folder(moved, 1 << 20), tmp_path / "other")
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_what_is_there_already_is_left(tmp_path: Path, labelled_folder: Path) -> None:
    source = open_folder(labelled_folder, 1 << 20)
    first = run(source, tmp_path / "it")
    before = (tmp_path / "it").stat().st_ino
    second = run(source, tmp_path / "it")
    assert second == first.model_copy(update={"verdict": "unchanged"})
    assert (tmp_path / "it").stat().st_ino == before
    (labelled_folder / "0" / "00.png").unlink()
    third = run(source, tmp_path / "it")
    assert third.verdict == "written"
    assert third.facts.parts["train"].rows == 29


def test_a_damaged_data_set_is_written_anew(tmp_path: Path, labelled_folder: Path) -> None:
    source = open_folder(labelled_folder, 1 << 20)
    run(source, tmp_path / "it")
    (tmp_path / "it" / "train.parquet").write_bytes(b"")
    assert run(source, tmp_path / "it").verdict == "written"
    assert pq.read_metadata(tmp_path / "it" / "train.parquet").num_rows == 30


def test_a_data_set_is_its_own_copy(tmp_path: Path, labelled_folder: Path) -> None:
    (labelled_folder / "0" / "copy.png").write_bytes(
        (labelled_folder / "0" / "00.png").read_bytes()
    )
    first = run(open_folder(labelled_folder, 1 << 20), tmp_path / "it")
    again = run(open_source(str(tmp_path / "it")), tmp_path / "it")
    assert again == first.model_copy(update={"verdict": "unchanged"})
    # Other thresholds ask for another look; what was dropped before is still told of.
    stricter = LENIENT.model_copy(update={"min_rows": 2})
    assert run(open_source(str(tmp_path / "it")), tmp_path / "it", stricter).verdict == "unchanged"
    with opened(tmp_path / "it") as data:
        assert sum(batch.num_rows for batch in data.dropped()) == 1
    with pytest.raises(DataError, match="31 are needed"):
        run(open_source(str(tmp_path / "it")), tmp_path / "it", Checks(min_rows=31))


def test_idx_and_its_export_with_pillow_have_the_same_rows(
    tmp_path: Path, write_idx: Callable[..., None]
) -> None:
    write_idx(tmp_path / "idx", "train", [number % 10 for number in range(40)])
    source = open_idx(tmp_path / "idx")
    for item in source.read("train"):
        place = tmp_path / "export" / str(item.label) / Path(item.path).name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(item.content)
    run(source, tmp_path / "one")
    run(open_folder(tmp_path / "export", 1 << 20), tmp_path / "other")
    pairs = [
        {
            (row["image"]["bytes"], row["label"])
            for row in pq.read_table(tmp_path / name / "train.parquet").to_pylist()
        }
        for name in ("one", "other")
    ]
    assert pairs[0] == pairs[1]
    assert len(pairs[0]) == 40


def test_what_is_dropped_is_listed_with_its_reason(tmp_path: Path, draw: Draw) -> None:
    blank = draw_blank()
    train = [
        Item("good.png", 1, draw(1)),
        Item("null", 1, problem=Problem("no-image", "the row holds no image")),
        Item("gone.png", 1, problem=Problem("vanished", "there is no such file")),
        Item("ten.png", 10, draw(2)),
        Item("unknown.png", None, draw(3)),
        Item("text.png", 1, b"no image at all"),
        Item("cut.png", 1, draw(4)[:-30]),
        Item("blank.png", 1, blank),
        Item("yes.png", 2, draw(5)),
        Item("no.png", 3, draw(5)),
        Item("leaked.png", 4, draw(6)),
        Item("again.png", 1, draw(1)),
    ]
    ingested = run(source_of(train, [Item("kept.png", 4, draw(6))]), tmp_path / "it")
    table = pq.read_table(tmp_path / "it" / "dropped.parquet")
    assert table.schema.equals(DROPPED)
    rows = table.to_pylist()
    assert [(row["path"], row["reason"]) for row in rows] == [
        ("null", "schema"),
        ("gone.png", "unreadable"),
        ("ten.png", "labels"),
        ("unknown.png", "labels"),
        ("text.png", "undecodable"),
        ("cut.png", "undecodable"),
        ("blank.png", "blank"),
        ("yes.png", "conflicts"),
        ("no.png", "conflicts"),
        ("leaked.png", "leakage"),
        ("again.png", "duplicates"),
    ]
    messages = {row["path"]: row["message"] for row in rows}
    assert messages["ten.png"] == "label 10 is not a digit"
    assert messages["cut.png"].startswith("truncated: ")
    assert hashlib.sha256(draw(1)).hexdigest() in messages["again.png"]
    assert {row["part"] for row in rows} == {"train"}
    assert ingested.facts.dropped == 11
    assert {part: facts.rows for part, facts in ingested.facts.parts.items()} == {
        "train": 1,
        "test": 1,
    }
    counts = {outcome.rule: outcome.count for outcome in ingested.facts.outcomes}
    assert (counts["labels"], counts["undecodable"], counts["conflicts"]) == (2, 2, 2)


def draw_blank() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), (255, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_part_without_rows_has_no_file(tmp_path: Path, draw: Draw) -> None:
    ingested = run(source_of([Item("a", 1, draw(1))], [Item("b", 1, b"no image")]), tmp_path / "it")
    assert ingested.facts.parts["test"].rows == 0
    assert not (tmp_path / "it" / "test.parquet").exists()
    with opened(tmp_path / "it") as data:
        assert data.parts == ("train",)
    reread = open_source(str(tmp_path / "it"))
    assert reread.parts == ("train",)


def test_a_block_leaves_nothing(tmp_path: Path, labelled_folder: Path) -> None:
    with pytest.raises(DataError, match=r"rule `rows` failed .*30 remain, 100 are needed"):
        run(open_folder(labelled_folder, 1 << 20), tmp_path / "data" / "it", Checks())
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".it.lock"]


def test_a_block_leaves_the_old(tmp_path: Path, labelled_folder: Path) -> None:
    source = open_folder(labelled_folder, 1 << 20)
    run(source, tmp_path / "it")
    before = contents(tmp_path / "it")
    (labelled_folder / "0" / "bad.png").write_bytes(b"x")
    with pytest.raises(DataError, match="rule `undecodable` failed"):
        run(source, tmp_path / "it", Checks(min_rows=1))
    assert contents(tmp_path / "it") == before


def test_no_image_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no image in it"):
        run(source_of([]), tmp_path / "it")


@pytest.mark.parametrize("change", ["content", "fewer", "more", "gone"])
def test_a_source_that_changes_meanwhile_is_noticed(
    tmp_path: Path, draw: Draw, change: str
) -> None:
    first = [Item("a", 1, draw(1)), Item("b", 2, draw(2))]
    second = {
        "content": [first[0], Item("b", 2, draw(3))],
        "fewer": first[:1],
        "more": [*first, Item("c", 3, draw(3))],
        "gone": [first[0], Item("b", 2, problem=Problem("vanished", "gone"))],
    }[change]
    passes = iter([first, second])
    source = Source("made up", "nowhere", {"train": lambda: iter(next(passes))})
    with pytest.raises(SourceError, match="changed while it was read"):
        run(source, tmp_path / "it")
    assert not (tmp_path / "it").exists()


def test_two_at_once_do_not_mix(tmp_path: Path, labelled_folder: Path) -> None:
    with locked(tmp_path / ".it.lock", "a test"), pytest.raises(BusyError, match="ingest to it"):
        run(open_folder(labelled_folder, 1 << 20), tmp_path / "it")


def test_files_of_others_are_never_replaced(tmp_path: Path, labelled_folder: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.png").write_bytes(b"precious")
    with pytest.raises(StorageError, match=r"holds `mine\.png`, which no ingest has written"):
        run(open_folder(labelled_folder, 1 << 20), tmp_path / "photos")
    assert (tmp_path / "photos" / "mine.png").read_bytes() == b"precious"


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.one_of(st.none(), st.integers(-2, 11)), st.booleans()),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 20),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_every_row_is_kept_or_dropped(
    tmp_path: Path, draw: Draw, rows: list[tuple[int, int | None, bool]], cut: int
) -> None:
    items = [
        Item(f"{number}.png", label, draw(content) if whole else b"broken")
        for number, (content, label, whole) in enumerate(rows)
    ]
    source = source_of(items[:cut], items[cut:])
    survey = look(source, LENIENT, Limits())
    if not (survey.training & (find_faults(survey) == KEPT)).any():
        with pytest.raises(DataError, match="0 remain"):
            run(source, tmp_path / "it")
        return
    ingested = run(source, tmp_path / "it")
    with opened(tmp_path / "it", ingested.digest) as data:
        kept = [
            row["image"]["path"]
            for part in data.parts
            for batch in data.batches(part)
            for row in batch.to_pylist()
        ]
        dropped = [row["path"] for batch in data.dropped() for row in batch.to_pylist()]
    assert sorted(kept + dropped) == sorted(item.path for item in items)
    assert sum(part.rows for part in ingested.facts.parts.values()) == len(kept)
    again = run(open_parquet_source(tmp_path / "it", []), tmp_path / "it")
    assert again.verdict == "unchanged"


def test_large_images_end_a_batch_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draw: Draw
) -> None:
    monkeypatch.setattr("digitline.sources.ingest._BATCH_BYTES", 1)
    items = [Item(str(number), 1, draw(number)) for number in range(5)]
    run(source_of(items), tmp_path / "it")
    table = pq.read_table(tmp_path / "it" / "train.parquet")
    assert [row["image"]["path"] for row in table.to_pylist()] == list("01234")


def test_a_full_disk_leaves_the_old(
    tmp_path: Path, labelled_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_folder(labelled_folder, 1 << 20)
    run(source, tmp_path / "it")
    before = contents(tmp_path / "it")
    (labelled_folder / "0" / "00.png").unlink()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", refuse)
    with pytest.raises(StorageError, match="no space left"):
        run(source, tmp_path / "it")
    assert contents(tmp_path / "it") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".it.lock", "folder", "it"]
