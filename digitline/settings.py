"""Settings: from the environment (`DIGITLINE_*`), a TOML file, or their defaults.

The rooms know nothing of this module: each takes its own part of the settings by parameter.
"""

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    PyprojectTomlConfigSettingsSource,
    SettingsConfigDict,
)

from digitline.errors import SettingsError
from digitline.home import CHECKOUT, Home
from digitline.judging.demands import Gate
from digitline.keeping.retention import Retention
from digitline.keeping.unattended import Notify, Server, Service
from digitline.learning.split import Shares
from digitline.objects import Address, is_address
from digitline.pixels.decode import Limits
from digitline.scoring.bulk import Bulk
from digitline.sources.checks import Checks

FILE_NAME = "digitline.toml"
_PREFIX = "DIGITLINE_"
_FILE_VARIABLE = f"{_PREFIX}SETTINGS"
_NOT_SETTINGS = frozenset({"settings", "test_browser", "test_live"})


def _read_percent(value: object) -> object:
    if isinstance(value, str) and value.rstrip().endswith("%"):
        try:
            return float(value.rstrip().removesuffix("%")) / 100
        except ValueError:
            return value
    return value


Rate = Annotated[float, BeforeValidator(_read_percent)]


def _check_home(home: str | Path) -> str | Path:
    Home.at(home)  # an address that is none is refused before anything shows it
    return home


def default_home() -> Path:
    """Give the checkout the code lies in, or `~/digitline` where it was installed elsewhere."""
    return CHECKOUT if (CHECKOUT / "pyproject.toml").is_file() else Path.home() / "digitline"


class Settings(BaseSettings):
    """Everything that can be set, with its default."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        pyproject_toml_table_header=("tool", "digitline"),
        extra="forbid",
        frozen=True,
    )

    home: Annotated[str | Path, AfterValidator(_check_home)] = Field(
        default_factory=default_home,
        description="directory, or address such as s3://bucket/home, everything made lies under",
    )
    recipe: str = Field("default", description="recipe to train with: a name or a TOML file")
    start: str = Field(
        "auto",
        description="weights to begin with: `auto` the champion's where only new rows came, "
        "`fresh` ones, or a version's such as m0003",
    )
    weights: dict[str, Annotated[float, Field(gt=0, le=1e6)]] = Field(
        default_factory=dict,
        description="how much each training row of a data set counts, by the set's name; 1 if none",
    )
    seed: int = Field(0, ge=0, description="seed of everything random in the training")
    practice: int = Field(
        12_000, ge=0, description="training digits to practise on as realistic pictures as well"
    )
    practice_weight: float = Field(
        0.7, gt=0, le=1000, description="how much a practice picture counts in training"
    )
    max_error: Rate = Field(
        0.001, gt=0, le=1, description="share of accepted answers that may be wrong"
    )
    certainty: float = Field(
        0.95, gt=0.5, lt=1, description="confidence level at which `max_error` is certified"
    )
    odd: Rate = Field(
        0.0125, gt=0, lt=0.5, description="share of digits that may be taken for something else"
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="confidence from which an answer is accepted, in place of a certified one",
    )
    audit: int = Field(
        30, ge=0, le=1000, description="accepted answers of a scoring that people look at as well"
    )
    correction_weight: float = Field(
        5, gt=0, le=1000, description="how much a corrected image counts in training"
    )
    drift_retrain: Literal["auto", "never"] = Field(
        "never", description="whether `monitor` retrains where the writing has changed"
    )
    suspects: bool = Field(
        False, description="look for wrong labels in each retraining, once for the same data"
    )
    decoding: Limits = Field(
        default_factory=Limits, description="what an image may cost before it is refused"
    )
    bulk: Bulk = Field(default_factory=Bulk, description="what bulk scoring may use")
    checks: Checks = Field(default_factory=Checks, description="when training data is refused")
    shares: Shares = Field(default_factory=Shares, description="rows held out of the fitting")
    gate: Gate = Field(default_factory=Gate, description="what a challenger must show")
    service: Service = Field(default_factory=Service, description="what is done unattended")
    server: Server = Field(default_factory=Server, description="Prefect's server")
    notify: Notify = Field(default_factory=Notify, description="whom to tell of what happens")
    retention: Retention = Field(default_factory=Retention, description="how long things are kept")

    @property
    def places(self) -> Home:
        """Where things lie beneath the home."""
        return Home.at(self.home)

    @property
    def inbox(self) -> Path | Address:
        """The folder, or what lies beneath an address, whose new images are scored unattended."""
        inbox = self.service.inbox
        if is_address(inbox):
            return Address.parse(str(inbox))
        return self.places.root / Path(inbox).expanduser()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - a name pydantic calls by
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let options win over the environment, and the environment over the file."""
        file = PyprojectTomlConfigSettingsSource(settings_cls, settings_file())
        return init_settings, env_settings, file


def settings_file() -> Path | None:
    """Find the file to read: `DIGITLINE_SETTINGS`, or `digitline.toml` in this directory.

    Raises `SettingsError` where `DIGITLINE_SETTINGS` names no file.
    """
    named = os.environ.get(_FILE_VARIABLE)
    if named is not None and not Path(named).is_file():
        raise SettingsError(
            "no such settings file", where=named, todo=f"Correct {_FILE_VARIABLE} or unset it"
        )
    return Path(named or FILE_NAME)


def load_settings(**options: object) -> Settings:
    """Load the settings; `options` that are not `None` win.

    Raises `SettingsError` naming the first setting that makes no sense.
    """
    _refuse_unknown_variables()
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks the values
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"not valid TOML ({error})", where=settings_file(), todo="Correct the file"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise SettingsError(
            f"setting `{name}`: {first['msg']}", todo="`digitline settings` lists them all"
        ) from error


def _refuse_unknown_variables() -> None:
    # A misspelt variable would otherwise be ignored, and its default silently used.
    for variable in sorted(os.environ):
        name = variable.removeprefix(_PREFIX).lower().split("__")[0]
        if variable.startswith(_PREFIX) and name not in {*Settings.model_fields, *_NOT_SETTINGS}:
            raise SettingsError(
                "no such setting", where=variable, todo="`digitline settings` lists them all"
            )


@dataclass(frozen=True)
class Line:
    """One setting: its dotted name, value, environment variable and meaning."""

    name: str
    value: str
    variable: str
    description: str


def explain(settings: Settings) -> Iterator[Line]:
    """List every setting with its value."""
    yield from _explain(settings, ())


def _explain(group: object, path: tuple[str, ...]) -> Iterator[Line]:
    for name, description in _fields(group):
        value, where = getattr(group, name), (*path, name)
        if isinstance(value, BaseModel) or is_dataclass(value):
            yield from _explain(value, where)
        else:
            variable = _PREFIX + "__".join(where).upper()
            yield Line(".".join(where), str(value), variable, description)


def _fields(group: object) -> Iterator[tuple[str, str]]:
    if isinstance(group, BaseModel):
        for name, field in type(group).model_fields.items():
            yield name, field.description or ""
    elif is_dataclass(group):
        for entry in fields(group):
            yield entry.name, entry.metadata.get("description", "")
