from hypothesis import given
from hypothesis import strategies as st

from digitline.scoring.bulk import Bulk


@given(images=st.integers(1, 10**10), shard_rows=st.integers(1, 10**6))
def test_shards_are_few_whatever_there_is_to_score(images: int, shard_rows: int) -> None:
    size = Bulk(shard_rows=shard_rows).size_shards(images)
    assert 1 <= -(-images // size) <= 256
    assert size <= max(shard_rows, images // 256 + 512)


def test_workers_say_nothing_about_the_shards() -> None:
    assert Bulk(workers=1).size_shards(100_000) == Bulk(workers=9).size_shards(100_000) == 3584
    assert Bulk(workers=3).processes == 3
