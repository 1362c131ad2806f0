import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from digitline.records import RecordError, from_bytes, has_digest, to_bytes


class Memo(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str
    facts: dict[str, str] = {}


MEMOS = st.builds(
    Memo,
    text=st.text(max_size=20),
    facts=st.dictionaries(st.just("sha256") | st.text(max_size=5), st.text(max_size=9), max_size=3),
)


@given(MEMOS)
def test_a_record_comes_back_as_it_was(memo: Memo) -> None:
    assert has_digest(to_bytes(memo))
    assert from_bytes(to_bytes(memo), Memo) == memo


@given(MEMOS, st.integers(0, 10**6), st.integers(1, 255))
def test_one_changed_byte_is_noticed(memo: Memo, place: int, change: int) -> None:
    content = bytearray(to_bytes(memo))
    content[place % len(content)] ^= change
    with pytest.raises(RecordError):
        from_bytes(bytes(content), Memo)


@given(MEMOS, st.data())
def test_a_part_is_no_record(memo: Memo, data: st.DataObject) -> None:
    content = to_bytes(memo)
    end = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(RecordError):
        from_bytes(content[:end], Memo)


def test_a_record_of_an_earlier_version_has_no_digest() -> None:
    content = Memo(text="a").model_dump_json(indent=2).encode()
    assert not has_digest(content)
    assert from_bytes(content, Memo) == Memo(text="a")
