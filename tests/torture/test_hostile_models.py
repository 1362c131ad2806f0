"""Models that are damaged, foreign, old, swapped, linked, or would run code: none is ever run."""

import base64
import hashlib
import io
import pickle
import pickletools
import resource
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random

import joblib
import numpy as np
import pytest

from digitline.errors import DigitlineError
from digitline.home import Home
from digitline.models.card import ModelFile, to_json
from digitline.models.registry import Registry
from digitline.models.signing import Purpose, Signer, open_signer
from tests.torture.attack import Attack
from tests.torture.changes import NOON, promote, register_again
from tests.torture.mutations import mutate
from tests.torture.nursery import Nursery

MODELS = Attack(
    row=12,
    name="joblib files: mutated, unsigned, foreign-signed, swapped, linked, an old pointer put "
    "back, validly signed with code in them",
    holds="never executed (a canary), always refused with its reason",
    small=150,
    full=5_000,
    batch=150,
)
REFUSALS = {6, 7, 8}  # no such model, tampered, incompatible
FILES = ("model.joblib", "card.json", "signature.json")
# Harms a model or the pointer to it, and says which.
Trick = Callable[[Home, Random, Path], str]


def mutated(home: Home, dice: Random, _: Path) -> str:
    path = home.models / "m0002" / dice.choice(FILES)
    content = path.read_bytes()
    damaged = mutate(content, dice, [content])
    # What differs only in what nobody reads is the model itself.
    path.write_bytes(damaged if damaged != content else content + b"\0")
    return "model"


def unsigned(home: Home, dice: Random, _: Path) -> str:
    path = home.models / "m0002" / "signature.json"
    choice = dice.randrange(3)
    if choice == 0:
        path.unlink()
    else:
        path.write_bytes((b"", b"{}")[choice - 1])
    return "model"


def foreign(home: Home, dice: Random, canary: Path) -> str:
    with tempfile.TemporaryDirectory() as place:
        sign_model(home, hide(home, dice, canary), open_signer(Path(place) / "keys"))
    return "model"


def swapped(home: Home, dice: Random, _: Path) -> str:
    names = dice.sample(FILES, dice.randint(1, len(FILES)))
    for name in names:
        shutil.copy(home.models / "m0001" / name, home.models / "m0002" / name)
    return "model"


def linked(home: Home, dice: Random, _: Path) -> str:
    name = dice.choice((*(f"m0002/{file}" for file in FILES), "m0002", "champion.json"))
    path = home.models / name
    aside = home.root / "aside"
    path.rename(aside)
    if dice.random() < 0.8:
        path.symlink_to(aside)
    elif not aside.is_dir():
        path.mkdir()
    return "pointer" if name == "champion.json" else "model"


def replayed(home: Home, dice: Random, _: Path) -> str:
    old = sorted((home.root / "old").iterdir())
    shutil.copy(dice.choice(old), home.models / "champion.json")
    return "pointer"


def signed_code(home: Home, dice: Random, canary: Path) -> str:
    sign_model(home, hide(home, dice, canary), open_signer(home.keys))
    return "model"


def signed_damage(home: Home, dice: Random, _: Path) -> str:
    content = (home.models / "m0002" / "model.joblib").read_bytes()
    # Where the weights begin, a number is a number, whatever it says; before it, all is code.
    head = content[:4000]
    damaged = mutate(head, dice, [head])
    sign_model(
        home, (damaged if damaged != head else head[1:]) + content[4000:], open_signer(home.keys)
    )
    return "model"


TRICKS: tuple[Trick, ...] = (
    *(mutated, mutated, unsigned, foreign, swapped, linked, replayed),
    *(signed_code, signed_code, signed_damage),
)


def sign_model(home: Home, content: bytes, signer: Signer) -> None:
    """Put a model file in place with a card and a signature that fit it."""
    directory = home.models / "m0002"
    card = Registry(home.models, home.keys).card("m0002")
    sha256 = hashlib.sha256(content).hexdigest()
    card = card.model_copy(update={"model": ModelFile(bytes=len(content), sha256=sha256)})
    (directory / "model.joblib").write_bytes(content)
    (directory / "card.json").write_bytes(card.to_bytes())
    signature = signer.sign(Purpose.VERSION, card.to_bytes())
    (directory / "signature.json").write_bytes(to_json(signature))


class Payload:
    """Makes a directory when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.mkdir, (str(self.canary),)


def hide(home: Home, dice: Random, canary: Path) -> bytes:
    """Hide code in a model file that is otherwise sound."""
    content = (home.models / "m0002" / "model.joblib").read_bytes()
    if dice.random() < 0.4:
        return smuggle(content, dice, canary)
    spots = []
    try:
        for _, _, at in pickletools.genops(content):
            spots.append(at)
    except ValueError:
        pass  # the weights begin
    at = dice.choice(spots[1:])
    return content[:at] + call(dice, canary) + b"0" + content[at:]


def call(dice: Random, canary: Path) -> bytes:
    """Pickle a call, by one of the ways there are, of a function that leaves the canary."""
    path = str(canary).encode()
    text = b"\x8c" + bytes([len(path)]) + path
    line = b"V" + path + b"\n"
    code = f"__import__('os').mkdir({str(canary)!r})".encode()
    source = b"X" + len(code).to_bytes(4, "little") + code
    return dice.choice(
        (
            b"cos\nmkdir\n" + text + b"\x85R",
            b"cposix\nmkdir\n(" + line + b"tR",
            b"\x8c\x02os\x8c\x05mkdir\x93" + text + b"\x85R",
            b"(" + line + b"ios\nmkdir\n",
            b"(cos\nmkdir\n" + text + b"o",
            b"cbuiltins\neval\n" + source + b"\x85R",
            b"cbuiltins\nexec\n" + source + b"\x85R",
            b"cos\nmkdir\n" + text + b"\x85\x81",
            b"cpathlib\nPath.mkdir\ncpathlib\nPath\n" + text + b"\x85R\x85R",
            b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93cos\nsystem\n" + text + b"\x86R",
        )
    )


def smuggle(content: bytes, dice: Random, canary: Path) -> bytes:
    network = joblib.load(io.BytesIO(content))  # our own
    payload = Payload(canary)
    ways: tuple[Callable[[], object], ...] = (
        lambda: setattr(network, "loss_curve_", payload),
        lambda: setattr(network, "coefs_", [np.array([payload], dtype=object)]),
        lambda: setattr(network, "classes_", np.array([payload] * 10, dtype=object)),
        lambda: setattr(network, "random_state", payload),
        lambda: setattr(network, base64.b32encode(dice.randbytes(5)).decode().lower(), payload),
    )
    dice.choice(ways)()
    out = io.BytesIO()
    joblib.dump(network, out, compress=dice.choice((0, 0, 3)))
    return out.getvalue()


def attack_models(arguments: list[str]) -> int:
    """Play tricks on a home, as the nursery calls it; says what did not hold."""
    root, first, cases, seed = Path(arguments[0]), *map(int, arguments[1:])
    limit = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, limit))
    warnings.simplefilter("ignore")
    dice, wrong = Random(seed), 0
    for number in range(first, first + cases):
        trick = TRICKS[number % len(TRICKS)]
        print(f"case {number}: {trick.__name__}", flush=True)
        signal.alarm(60)
        try:
            play(trick, root, dice)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            wrong += 1
            print(f"WRONG case {number}: {trick.__name__}: {type(error).__name__}: {error}")
    return min(wrong, 1)


def play(trick: Trick, root: Path, dice: Random) -> None:
    with tempfile.TemporaryDirectory() as place:
        home = Home(Path(shutil.copytree(root, Path(place) / "home")))
        canary = Path(place) / "canary"
        harmed = trick(home, dice, canary)
        registry = Registry(home.models, home.keys)
        for version, lean in ((None, False), (None, True), ("m0002", False)):
            try:
                registry.load(version, lean=lean)
            except DigitlineError as error:
                assert error.exit_code in REFUSALS, error  # noqa: PT017 - of several kinds
            else:
                # What we signed is ours, where it still reads its golden rows.
                untouched = harmed == "pointer" and version is not None
                assert untouched or trick is signed_damage, "it was taken"
            assert not canary.exists(), "it was executed"


@pytest.fixture(scope="module")
def two_models(reader: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a home with two models, of which the second is champion, and its older pointers."""
    root = tmp_path_factory.mktemp("two") / "home"
    home = Home(root)
    for name in ("models", ".digitline"):
        shutil.copytree(reader.root / name, root / name)
    register_again(home, "retrain-0002", nudge=0.01)
    (root / "old").mkdir()
    shutil.copy(home.models / "champion.json", root / "old" / "1.json")
    promote(home)
    shutil.copy(home.models / "champion.json", root / "old" / "2.json")
    registry = Registry(home.models, home.keys)
    registry.rollback(reason="worse", run="r", created=NOON)
    shutil.copy(home.models / "champion.json", root / "old" / "3.json")
    promote(home)
    assert registry.champion() == "m0002"
    return root


def test_hostile_models(cradle: Nursery, two_models: Path) -> None:
    for trial in MODELS.rounds():
        with trial as attack:
            run = cradle.run(
                *(str(two_models), str(attack.first), str(attack.cases)),
                str(attack.dice.getrandbits(32)),
                call="tests.torture.test_hostile_models:attack_models",
            )
            wrong = [line for line in run.said.splitlines() if line.startswith("WRONG")]
            assert run.code == 0, wrong or run.said[-500:]


def test_the_payloads_would_have_run(tmp_path: Path) -> None:
    """An attack that could do no harm would prove nothing."""
    dice, ran = Random(0), 0
    for number in range(30):
        canary = tmp_path / str(number)
        try:
            pickle.loads(call(dice, canary) + b".")  # noqa: S301 - in a directory of the test's own
        except Exception:  # noqa: BLE001, S112 - some fail by themselves
            continue
        ran += canary.exists()
    assert ran > 15
