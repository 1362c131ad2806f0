"""`digitline train`: train a network by any recipe and register it, without promoting it."""

from cyclopts import App

from digitline.learning.recipe import load_recipe, recipe_knobs, recipe_names
from flows.commands.shell import start_prefect, tell


def _explain_recipes() -> str:
    """List the recipes that come with Digitline, and every knob of one."""
    recipes = [
        f"- {name}: {recipe.members} x {'-'.join(map(str, recipe.hidden))} units, "
        f"{recipe.epochs} epochs, aspects {' and '.join(recipe.aspects)}"
        for name, recipe in ((name, load_recipe(name)) for name in recipe_names())
    ]
    knobs = [f"- `{knob.name}` = {knob.default}: {knob.description}" for knob in recipe_knobs()]
    return "\n".join(
        [
            "Recipes that come with Digitline:\n",
            *recipes,
            "\nWhat a recipe file (TOML) can set, with the defaults:\n",
            *knobs,
        ]
    )


train = App(name="train", help_epilogue=_explain_recipes())


@train.default
def train_only(
    *sources: str,
    recipe: str | None = None,
    seed: int | None = None,
    start: str | None = None,
) -> None:
    """Train on labelled data, evaluate and register the model, without promoting it.

    Parameters
    ----------
    sources
        Data sets by name, or paths and addresses as `ingest` takes them, such as
        s3://bucket/labelled; the embedded `mnist` if none.
    recipe
        Recipe to train with: quick, default, best, or a TOML file.
    seed
        Seed of everything random in the training.
    start
        Weights to begin with: auto (the champion's where only new rows came), fresh, or a version.
    """
    from digitline.objects import check_addresses

    check_addresses(*sources)
    start_prefect(recipe=recipe, seed=seed, start=start)
    from flows.retrain import retrain

    done = retrain(
        sources or ("mnist",), recipe=recipe, seed=seed, force=True, promote="never", start=start
    )
    tell(
        model=f"{done.version}, {done.error:.2%} test error",
        report=done.report,
        promote=f"digitline models promote {done.version}",
    )
