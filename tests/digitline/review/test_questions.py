import hashlib

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from digitline.review.questions import Questions
from digitline.rows import PREDICTIONS
from digitline.scoring.answers import answer

THRESHOLD = 0.9


def predictions(n: int, seed: int = 0) -> pa.RecordBatch:
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(10, 0.05), n).astype(np.float32)
    ids = [hashlib.sha256(f"{seed} {number}".encode()).digest() for number in range(n)]
    return answer(
        paths=pa.array([f"{number}.png" for number in range(n)]),
        ids=np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 32),
        probabilities=chances,
        doubtful=np.arange(n) % 29 == 0,
        threshold=THRESHOLD,
        model="m0001",
    )


def ask(batch: pa.RecordBatch, run: str = "score-0001", audit: int = 20) -> Questions:
    questions = Questions(run, THRESHOLD, audit)
    questions.add(batch)
    return questions


def statuses(batch: pa.RecordBatch) -> list[str]:
    found: list[str] = batch.column("status").to_pylist()
    return found


@given(cuts=st.lists(st.integers(0, 300), max_size=5))
def test_what_is_asked_does_not_depend_on_the_batches(cuts: list[int]) -> None:
    batch = predictions(300)
    questions = Questions("score-0001", THRESHOLD, 20)
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 300], strict=True):
        questions.add(batch.slice(start, stop - start))
    assert questions.ask() == ask(batch).ask()


def test_all_that_is_left_to_people_is_asked_and_so_many_of_the_accepted() -> None:
    batch = predictions(300)
    asked = ask(batch).ask()
    by_kind = {kind: [one.row for one in asked if one.kind == kind] for kind in ("queue", "audit")}
    status = statuses(batch)
    assert sorted(by_kind["queue"]) == [row for row in range(300) if status[row] == "review"]
    assert len(by_kind["audit"]) == 20
    assert {status[row] for row in by_kind["audit"]} == {"accept"}


def test_whoever_stops_half_way_has_seen_half_of_the_audit() -> None:
    asked = ask(predictions(300)).ask()
    half = asked[: len(asked) // 2]
    assert abs(sum(one.kind == "audit" for one in half) - 10) <= 1


def test_each_run_draws_for_itself_and_always_the_same() -> None:
    batch = predictions(3000)
    assert ask(batch).drawn == ask(batch).drawn
    assert len(ask(batch).drawn & ask(batch, "score-0002").drawn) < 5


def test_the_draw_is_even() -> None:
    batch = predictions(2000)
    accepted = np.flatnonzero(np.array(statuses(batch)) == "accept")
    middle = np.median(accepted)
    early = sum(
        row < middle for number in range(60) for row in ask(batch, f"score-{number:04d}").drawn
    )
    assert abs(early - 600) < 4 * np.sqrt(1200 * 0.25)  # four standard deviations


def test_an_image_that_is_there_twice_is_drawn_once() -> None:
    batch = predictions(200)
    twice = pa.Table.from_batches([batch, batch]).combine_chunks().to_batches()[0]
    rows = ask(twice, audit=400).drawn
    assert max(rows) < 200
    assert len(rows) == statuses(batch).count("accept")


def test_a_few_questions_are_of_as_many_kinds_as_there_are() -> None:
    batch = predictions(500)
    chances = np.stack([batch.column(f"p{digit}").to_numpy() for digit in range(10)], axis=1)
    pairs = np.argsort(chances, axis=1)[:, :-3:-1].tolist()
    sure = chances.max(axis=1) >= np.float32(THRESHOLD)  # and yet not sure that it is a digit
    kinds = [(*pair, high) for pair, high in zip(pairs, sure.tolist(), strict=True)]
    first = [kinds[one.row] for one in ask(batch, audit=0).ask(30)]
    assert len(set(first)) == 30


def test_of_one_kind_the_least_margin_comes_first_then_the_nearest_to_the_threshold() -> None:
    sure = np.array([0.52, 0.89, 0.6, 0.8, 0.7], np.float32)
    chances = np.zeros((5, 10), np.float32)
    chances[:, 4], chances[:, 9] = sure, 1 - sure
    batch = answer(
        pa.array(list("abcde")), np.zeros((5, 32), np.uint8), chances, np.zeros(5, bool), 0.9, "m"
    )
    asked = [round(float(sure[one.row]), 2) for one in ask(batch).ask()]
    assert asked == [0.52, 0.89, 0.6, 0.8, 0.7]


def test_what_people_have_said_is_not_asked_again() -> None:
    batch = predictions(100)
    ids = batch.column("id").to_pylist()
    before = ask(batch).ask()
    known = frozenset(ids[one.row] for one in before[:10])
    questions = Questions("score-0001", THRESHOLD, 0, known)
    questions.add(batch)
    assert {ids[one.row] for one in questions.ask()}.isdisjoint(known)
    assert len(questions.ask()) == sum(one.kind == "queue" for one in before[10:])


def test_the_draw_is_the_same_whatever_people_have_said_before() -> None:
    batch = predictions(300)
    ids = batch.column("id").to_pylist()
    questions = Questions("score-0001", THRESHOLD, 20, frozenset(ids), frozenset(ids[:150]))
    questions.add(batch)
    assert questions.drawn == ask(batch).drawn
    assert {one.row for one in questions.ask()} == {row for row in questions.drawn if row >= 150}
    assert questions.waiting == 0


def test_nothing_answered_means_nothing_to_ask() -> None:
    assert ask(pa.RecordBatch.from_pylist([], schema=PREDICTIONS)).ask() == []
