"""What the live tests share."""

from collections.abc import Iterator

import pytest

from tests.live.postgres import Postgres, running


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with running() as cluster:
        yield cluster
