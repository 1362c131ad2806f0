"""How a scoring uses the machine: processes, memory, patience, and the size of a shard."""

import os
import re
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

# A shard is a whole number of steps: no step then depends on where a shard begins.
STEP: Final = 512
# Prefect keeps up with some hundred tasks a flow; some dozens keep all processes busy.
_USUAL_SHARDS: Final = 32
_MOST_SHARDS: Final = 256

Engine: TypeAlias = Literal["local", "dask"]


class Bulk(BaseModel):
    """What bulk scoring may use of the machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(0, ge=0, description="processes that read images; 0 is one a core")
    shard_rows: int = Field(
        32_768, ge=1, description="images in a shard; more where that would make 256 shards"
    )
    worker_memory: int = Field(
        4 << 30, ge=256 << 20, description="memory one process may take for images, in bytes"
    )
    patience: float = Field(
        60.0, gt=0, description="seconds on one image after which its process is ended"
    )
    engine: Engine = Field(
        "local", description="what scores shards: `local` processes, or the workers of `dask`"
    )
    address: str = Field(
        "",
        description="Dask scheduler such as tcp://10.0.0.7:8786; a cluster on this machine if none",
    )
    error_threshold: str = Field(
        "-1", description="images that may fail: a number, a percentage such as 2%, -1 for any"
    )

    @field_validator("address")
    @classmethod
    def _check_address(cls, address: str) -> str:
        if address and not re.fullmatch(r"(tcp|tls)://[^/\s]+:\d+", address):
            raise ValueError("not an address such as tcp://10.0.0.7:8786")
        return address

    @property
    def processes(self) -> int:
        """Give the number of processes."""
        return self.workers or len(os.sched_getaffinity(0))

    def size_shards(self, images: int) -> int:
        """Choose how many images go into a shard, by nothing but the length of the listing."""
        usual = max(1, min(self.shard_rows, _round_up(-(-images // _USUAL_SHARDS))))
        return usual if images <= usual * _MOST_SHARDS else _round_up(-(-images // _MOST_SHARDS))


def _round_up(rows: int) -> int:
    return -(-rows // STEP) * STEP
