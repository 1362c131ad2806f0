"""Recipes: the network's architecture and the plan by which it is trained."""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from digitline.errors import SettingsError
from digitline.pixels.aspect import PLAIN, Aspect
from digitline.pixels.distort import Distortion

Units = Annotated[int, Field(ge=1, le=20_000)]


class Recipe(BaseModel):
    """What `fit` needs to know beside the rows and the seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: tuple[Units, ...] = Field(
        min_length=1, max_length=16, description="units in each hidden layer"
    )
    epochs: int = Field(ge=1, le=10_000, description="passes over the training rows")
    batch: int = Field(default=500, ge=1, le=100_000, description="rows per step of the optimiser")
    rate: float = Field(
        default=1e-3, gt=0, le=1, allow_inf_nan=False, description="highest learning rate (Adam)"
    )
    warm_up: float = Field(
        default=1, ge=0, le=1_000, description="epochs over which the rate rises to its highest"
    )
    final_rate: float = Field(
        default=0.0, ge=0, le=1, description="share of the rate left at the end of the cosine"
    )
    alpha: float = Field(
        default=0.0, ge=0, le=1_000, description="L2 penalty on the weights, as in MLPClassifier"
    )
    averaging: float = Field(
        default=2, ge=0, le=1_000, description="epochs over which the weights are averaged; 0: none"
    )
    patience: int = Field(
        default=0,
        ge=0,
        description="epochs without a lower validation loss before stopping early; 0: never stop",
    )
    warm_share: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="share of the epochs and of the rate when starting from an earlier model",
    )
    members: int = Field(
        default=1,
        ge=1,
        le=20,
        description="networks of these layers, trained side by side, that answer as one",
    )
    aspects: tuple[Aspect, ...] = Field(
        default=PLAIN,
        min_length=1,
        description="what the members see of a digit, shared out among them in this order: "
        "`plain`, its pixels; `upright`, those without slant and of one size; `strokes`, how they "
        "run in that",
    )
    class_weight: Literal["none", "balanced"] = Field(
        default="none", description="`balanced` lets every digit count the same in sum"
    )
    focus: float = Field(
        default=0,
        ge=0,
        lt=1,
        description="share of the easy rows that an epoch leaves out; which ones, changes",
    )
    hard: float = Field(
        default=0.2, ge=0, le=1, description="share of the rows that count as hard, for `focus`"
    )
    label_noise: float = Field(
        default=0, ge=0, lt=1, description="share of labels replaced at random, anew every epoch"
    )
    distortion: Distortion = Field(
        default=Distortion(), description="how far digits are distorted, anew every epoch"
    )

    @model_validator(mode="after")
    def _check_aspects(self) -> "Recipe":
        if len(set(self.aspects)) < len(self.aspects):
            raise ValueError("an aspect is named twice")
        if len(self.aspects) > self.members:
            raise ValueError(f"{len(self.aspects)} aspects for {self.members} members")
        return self

    def warmed(self) -> "Recipe":
        """Give the shorter, gentler plan for a network that already knows most of it."""
        epochs = max(1, round(self.epochs * self.warm_share))
        return self.model_copy(update={"epochs": epochs, "rate": self.rate * self.warm_share})


@dataclass(frozen=True)
class Knob:
    """One line of help about a recipe: a dotted name, its default and what it means."""

    name: str
    default: str
    description: str


def recipe_names() -> tuple[str, ...]:
    """Name the recipes that come with Digitline."""
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in _shipped().iterdir()))


def recipe_knobs() -> tuple[Knob, ...]:
    """List every knob of a recipe, for help texts."""
    return tuple(_knobs(Recipe, ""))


def load_recipe(name_or_path: str) -> Recipe:
    """Load a recipe by name, or from a TOML file (a path that ends in `.toml`).

    Raises `SettingsError` where there is none, or it makes no sense.
    """
    entry = Path(name_or_path) if name_or_path.endswith(".toml") else None
    if entry is None and name_or_path in recipe_names():
        text = (_shipped() / f"{name_or_path}.toml").read_text()
    elif entry is not None and entry.is_file():
        text = _read(entry)
    else:
        known = ", ".join(recipe_names())
        raise SettingsError(
            "no such recipe",
            where=name_or_path,
            todo=f"Name one of {known}, or a file that ends in .toml",
        )
    return _parse(text, name_or_path)


def _shipped() -> Any:  # noqa: ANN401 - importlib's Traversable moved between Python versions
    return files("digitline.learning") / "recipes"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            "the recipe cannot be read", where=path, todo="Give a TOML file in UTF-8"
        ) from error


def _parse(text: str, where: str) -> Recipe:
    try:
        return Recipe.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"the recipe is not TOML ({error})", where=where, todo="Correct it"
        ) from error
    except ValidationError as error:
        faults = "; ".join(
            f"`{'.'.join(map(str, fault['loc']))}`: {fault['msg']}" for fault in error.errors()
        )
        raise SettingsError(
            f"the recipe makes no sense ({faults})", where=where, todo="Correct it"
        ) from error


def _knobs(model: type[BaseModel], prefix: str) -> Iterator[Knob]:
    for name, field in model.model_fields.items():
        if field.annotation is Distortion:
            yield from _knobs(Distortion, f"{prefix}{name}.")
        else:
            yield Knob(prefix + name, _default(field), field.description or "")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.default
    return json.dumps(default) if isinstance(default, tuple) else str(default)
