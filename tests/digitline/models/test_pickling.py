import base64
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from digitline.errors import IncompatibleError, TamperedError
from digitline.models.pickling import to_bytes
from digitline.models.unpickling import unpickle

WHERE = Path("model.joblib")
Smuggler = Callable[[MLPClassifier, object], bytes]


class Payload:
    """Create a file when unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


def dumped(thing: object) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(thing, buffer)
    return buffer.getvalue()


def ink(px: NDArray[np.uint8]) -> NDArray[np.float32]:
    return px.astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("kind", ["network", "calibrated"])
def test_a_model_comes_back_with_the_same_probabilities(
    request: pytest.FixtureRequest, px: NDArray[np.uint8], kind: str
) -> None:
    estimator = request.getfixturevalue(kind)
    rebuilt = unpickle(to_bytes(estimator), WHERE)
    assert type(rebuilt) is type(estimator)
    expected = estimator.predict_proba(ink(px))
    found = rebuilt.predict_proba(ink(px))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["network", "calibrated"])
def test_the_same_weights_give_the_same_bytes(request: pytest.FixtureRequest, kind: str) -> None:
    estimator = request.getfixturevalue(kind)
    content = to_bytes(estimator)
    assert to_bytes(unpickle(content, WHERE)) == content
    assert to_bytes(pickle.loads(pickle.dumps(estimator))) == content  # noqa: S301 - our own
    assert to_bytes(joblib.load(io.BytesIO(content))) == content


def test_order_of_attributes_and_of_memory_do_not_show(network: MLPClassifier) -> None:
    other = clone(network)
    for name, value in reversed(vars(network).items()):
        setattr(other, name, value)
    other.coefs_ = [np.asfortranarray(weights) for weights in network.coefs_]
    assert to_bytes(other) == to_bytes(network)


def test_another_process_gives_the_same_bytes(network: MLPClassifier) -> None:
    content = to_bytes(network)
    program = (
        "import sys, base64, pickle, hashlib; from digitline.models.pickling import to_bytes;"
        "network = pickle.loads(base64.b64decode(sys.stdin.read()));"
        "print(base64.b64encode(to_bytes(network)).decode())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        input=base64.b64encode(pickle.dumps(network)).decode(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert base64.b64decode(answer.stdout) == content


def test_the_optimiser_is_left_out(network: MLPClassifier) -> None:
    content = to_bytes(network)
    weights = sum(array.nbytes for array in (*network.coefs_, *network.intercepts_))
    assert len(content) < weights + 4096
    rebuilt = unpickle(content, WHERE)
    assert not hasattr(rebuilt, "_optimizer")
    assert not hasattr(rebuilt, "_random_state")
    assert hasattr(network, "_optimizer"), "the fitted network itself must stay as it is"


def test_a_calibrated_network_is_stored_once(
    network: MLPClassifier, calibrated: CalibratedClassifierCV
) -> None:
    assert len(to_bytes(calibrated)) < len(to_bytes(network)) + 2048


def test_a_rebuilt_network_can_be_trained_further(
    network: MLPClassifier, px: NDArray[np.uint8], digits: NDArray[np.int64]
) -> None:
    rebuilt = unpickle(to_bytes(network), WHERE)
    before = [weights.copy() for weights in rebuilt.coefs_]
    rebuilt.partial_fit(ink(px), digits)
    assert any((old != new).any() for old, new in zip(before, rebuilt.coefs_, strict=True))


def test_a_generator_as_random_state_is_left_out(
    px: NDArray[np.uint8], digits: NDArray[np.int64]
) -> None:
    fresh = MLPClassifier((4,), random_state=np.random.RandomState(0))
    fresh.partial_fit(ink(px), digits, classes=np.arange(10))
    assert unpickle(to_bytes(fresh), WHERE).random_state is None


@pytest.mark.parametrize(
    "change",
    [
        {"validation_scores": LogisticRegression()},
        {"random_state": 0, "activation": object()},
        {"coefs_": [np.array([object()])]},
        {"coefs_": [np.zeros(3, np.complex64)]},
    ],
)
def test_a_part_that_loading_would_refuse_is_not_written(
    network: MLPClassifier, change: dict[str, object]
) -> None:
    other = pickle.loads(pickle.dumps(network))  # noqa: S301 - our own
    vars(other).update(change)
    if "validation_scores" in change:  # an attribute no network has is left out
        assert to_bytes(other) == to_bytes(network)
    else:
        with pytest.raises(IncompatibleError, match="loading would refuse"):
            to_bytes(other)


def test_another_estimator_is_not_written() -> None:
    with pytest.raises(IncompatibleError, match="LogisticRegression"):
        to_bytes(LogisticRegression())


def smuggled_in_attribute(network: MLPClassifier, payload: object) -> bytes:
    network.loss_curve_ = [payload]
    return dumped(network)


def smuggled_in_object_array(network: MLPClassifier, payload: object) -> bytes:
    network.coefs_ = [np.array([payload], dtype=object)]
    return dumped(network)


def smuggled_in_structured_array(network: MLPClassifier, payload: object) -> bytes:
    network.coefs_ = [np.array([(payload, 1)], dtype=[("a", "O"), ("b", "i4")])]
    return dumped(network)


def smuggled_on_top(network: MLPClassifier, payload: object) -> bytes:
    return dumped((payload, network))


def smuggled_in_parameter(network: MLPClassifier, payload: object) -> bytes:
    network.random_state = payload
    return dumped(network)


@pytest.mark.parametrize(
    "smuggle",
    [
        smuggled_in_attribute,
        smuggled_in_object_array,
        smuggled_in_structured_array,
        smuggled_on_top,
        smuggled_in_parameter,
    ],
)
def test_code_in_a_model_is_refused(
    network: MLPClassifier, canary: Path, smuggle: Smuggler
) -> None:
    other = pickle.loads(pickle.dumps(network))  # noqa: S301 - our own
    content = smuggle(other, Payload(canary))
    with pytest.raises(TamperedError, match="nothing was executed"):
        unpickle(content, WHERE)


def test_the_payload_would_have_run(network: MLPClassifier, tmp_path: Path) -> None:
    other = pickle.loads(pickle.dumps(network))  # noqa: S301 - our own
    joblib.load(io.BytesIO(smuggled_in_object_array(other, Payload(tmp_path / "canary"))))
    assert (tmp_path / "canary").is_dir()


GLOBALS = [
    b"cos\nsystem\n",
    b"cbuiltins\neval\n",
    b"csklearn.neural_network._multilayer_perceptron\nnp\n",
    b"csklearn.neural_network._multilayer_perceptron\nMLPRegressor\n",
    b"cnumpy\nload\n",
    b"cnumpy._core.multiarray\n_reconstruct\n",
    b"cnumpy._core.multiarray\nscalar\n",
    b"cjoblib.numpy_pickle\nNDArrayWrapper\n",
    b"cdigitline.models.unpickling\n_Dtype\n",
]


@pytest.mark.parametrize("name", GLOBALS)
def test_a_global_off_the_list_is_refused(name: bytes) -> None:
    with pytest.raises(TamperedError, match="nothing was executed"):
        unpickle(name + b".", WHERE)


NETWORK = b"csklearn.neural_network._multilayer_perceptron\nMLPClassifier\n"
DTYPE = b"cnumpy\ndtype\n"


def text(value: bytes) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            NETWORK + b"N}" + text(b"predict_proba") + b"K\x01s\x86b.", id="a class changed"
        ),
        pytest.param(b"cnumpy\nndarray\nK\x09\x85R.", id="an array made by hand"),
        pytest.param(DTYPE + text(b"O") + b"\x89\x88\x87R.", id="an object type"),
        pytest.param(DTYPE + text(b"V8") + b"\x89\x88\x87R.", id="a void type"),
        pytest.param(
            DTYPE + text(b"f4") + b"\x89\x88\x87R(K\x03" + text(b">") + b"NNNK\x00K\x00K\x3ftb.",
            id="a type with flags",
        ),
    ],
)
def test_tricks_with_what_is_on_the_list_are_refused(content: bytes) -> None:
    with pytest.raises(TamperedError, match="nothing was executed"):
        unpickle(content, WHERE)
    assert MLPClassifier.predict_proba.__name__ == "predict_proba"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x96" + (1 << 33).to_bytes(8, "little") + b".", id="bytearray of any size"),
        pytest.param(b"\x97.", id="a buffer from elsewhere"),
        pytest.param(b"Pelsewhere\n.", id="an object from elsewhere"),
        pytest.param(b"\x82\x01.", id="an extension"),
        pytest.param(b"(ios\nsystem\n.", id="an instance of protocol 0"),
    ],
)
def test_opcodes_no_model_needs_are_refused(content: bytes) -> None:
    with pytest.raises(TamperedError, match="cannot be read"):
        unpickle(content, WHERE)


@pytest.mark.parametrize("hidden", [(2,), (2, 2), (2, 2, 2), (2,) * 4, (2,) * 40])
def test_a_network_of_any_depth_comes_back(
    px: NDArray[np.uint8], digits: NDArray[np.int64], hidden: tuple[int, ...]
) -> None:
    network = MLPClassifier(hidden, random_state=2**32 - 1)
    network.partial_fit(ink(px), digits, classes=np.arange(10))
    network.t_ = 2**40
    rebuilt = unpickle(to_bytes(network), WHERE)
    assert rebuilt.get_params() == network.get_params()
    np.testing.assert_array_equal(rebuilt.predict_proba(ink(px)), network.predict_proba(ink(px)))


def test_an_array_larger_than_the_file_is_refused_before_memory_is_taken() -> None:
    content = dumped(np.zeros(1000, np.float32)).replace(b"M\xe8\x03", b"M\xff\xff")
    with pytest.raises(TamperedError, match="larger than its file"):
        unpickle(content, WHERE)


@pytest.mark.parametrize("content", [b"", b"N.", b"\x80\x04", b"garbage", b"\x80\x04]q\x00."])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(TamperedError):
        unpickle(content, WHERE)


def test_bytes_after_the_model_are_refused(network: MLPClassifier) -> None:
    with pytest.raises(TamperedError, match="holds no model"):
        unpickle(to_bytes(network) + b"more", WHERE)


def test_no_mutation_of_the_file_runs_anything_or_fails_oddly(network: MLPClassifier) -> None:
    content = to_bytes(network)
    # The pickled part: weights are numbers, whatever a byte in them says.
    spots = [at for at in range(0, len(content), 7) if not 3000 < at < len(content) - 3000]
    refused = 0
    for at in spots:
        mutated = bytearray(content)
        mutated[at] ^= 1 << (at % 8)
        try:
            unpickle(bytes(mutated), WHERE)
        except TamperedError:
            refused += 1
    assert refused > 50
