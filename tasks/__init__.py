"""One stage of work a file: reads, calls the trade, writes, returns a small record."""

from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

# The committed files say what is done, not Prefect's state, which cannot see that a file is
# gone; and a pickled result in the home would be code waiting to run.
stage = partial(task, cache_policy=NO_CACHE, persist_result=False)
