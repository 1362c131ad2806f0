"""`digitline keys`: see the keys that sign models, sign with a new one, retire an old one."""

from typing import TYPE_CHECKING

from cyclopts import App

from flows.commands.shell import Switch, check_settings

if TYPE_CHECKING:
    from digitline.models.registry import Registry

keys = App(name="keys", help="See the keys that sign models, change them, trust them no more.")

_MEANS = {
    "current": "signs today",
    "trusted": "signed before, still trusted",
    "retired": "trusted no more",
}


@keys.command
def show(*, json: Switch = False) -> None:
    """Show the keys, and which models each of them has signed.

    Parameters
    ----------
    json
        Print them as JSON, for programs.
    """
    from pydantic import TypeAdapter

    from digitline.models.rotation import Key, list_keys

    registry = _registry()
    # A home that has never trained has no keys, and nothing to check with them.
    found = list_keys(registry) if registry.keys.is_dir() else ()
    if json:
        print(TypeAdapter(tuple[Key, ...]).dump_json(found, indent=2).decode())
        return
    if not found:
        print("No keys yet: the first training makes a pair.")
    for key in found:
        signed = ", ".join(key.models) or "no model"
        print(f"{key.fingerprint}  {_MEANS[key.state]}  ({signed})")


@keys.command
def rotate() -> None:
    """Sign with a new key from now on; what earlier keys have signed stays trusted.

    The old private key is deleted. Other machines that check these models need the new public
    keys: `signing.pub` and the folder `trusted`.
    """
    from digitline.models.rotation import rotate as rotate_keys

    registry = _registry()
    check_settings().places.prepare()
    fingerprint = rotate_keys(registry)
    print(f"{fingerprint} signs from now on. `digitline keys retire` ends the trust in another.")


@keys.command
def retire(fingerprint: str, /) -> None:
    """Trust a key no more: every model that it has signed is refused from now on.

    Parameters
    ----------
    fingerprint
        The key, as `digitline keys show` names it.
    """
    from digitline.models.rotation import list_keys
    from digitline.models.rotation import retire as retire_key

    registry = _registry()
    news = retire_key(registry, fingerprint)
    signed = next(key.models for key in list_keys(registry) if key.fingerprint == fingerprint)
    refused = f" What it has signed is refused: {', '.join(signed)}." if signed else ""
    print(f"{fingerprint} is {'now' if news else 'already'} retired.{refused}")


def _registry() -> "Registry":
    from digitline.models.registry import Registry

    places = check_settings().places
    return Registry(places.models, places.keys)
