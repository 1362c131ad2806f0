"""How Digitline runs unattended, as it can be set: when, on what, and whom it tells."""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from digitline.objects import check_addresses

INBOX_JOB = "inbox"
_Place = TypeVar("_Place", str, str | Path)


def _check_place(place: _Place) -> _Place:
    check_addresses(place)  # before anything shows it
    return place


class Service(BaseModel):
    """What `digitline serve` does, and when. Times are cron lines; an empty one is never."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retrain: str = Field("0 3 * * 0", description="when to retrain: by default Sundays at three")
    sources: tuple[Annotated[str, AfterValidator(_check_place)], ...] = Field(
        ("mnist",), description="data sets, paths or addresses to retrain on"
    )
    score: str = Field("*/5 * * * *", description="when to look into the inbox")
    inbox: Annotated[str | Path, AfterValidator(_check_place)] = Field(
        Path("inbox"),
        description="folder whose new images are scored, beneath the home, or s3://bucket/inbox",
    )
    monitor: str = Field("30 2 * * *", description="when to look for drift over the last runs")
    upkeep: str = Field("15 2 * * *", description="when to prune and to write the index anew")
    time_zone: str = Field("UTC", description="time zone of these times, such as Europe/Zurich")
    patience: int = Field(3, ge=1, description="failures in a row before somebody is told")
    longest_pause: float = Field(
        6 * 3600, gt=0, description="most seconds between tries of what keeps failing"
    )


class Server(BaseModel):
    """Where Prefect's server listens, and where it keeps what it knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address that Prefect's server listens on")
    port: int = Field(4200, ge=1, le=65535, description="port that it listens on")
    database: SecretStr | None = Field(
        None,
        description="PostgreSQL in place of SQLite: postgresql+asyncpg://user:password@host/name",
    )


class Notify(BaseModel):
    """Whom to tell of what happens unattended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    webhook: SecretStr | None = Field(
        None, description="URL that a message is posted to, as JSON with the key `text`"
    )
    command: SecretStr = Field(
        SecretStr(""), description="command that a message is given to, on its standard input"
    )
    timeout: float = Field(20.0, gt=0, description="seconds that telling somebody may take")
