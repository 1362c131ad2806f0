"""Reading a model's joblib file with a closed list of what it may contain.

Nothing is looked up by name: a global that is not in the table is refused, and numpy's own are
replaced by stand-ins that take plain numbers alone. So a file can rebuild a fitted classifier
and nothing else, whoever signed it.
"""

import importlib
import io
import math
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn, TypeAlias

import numpy as np
from joblib.numpy_pickle import NumpyArrayWrapper, NumpyUnpickler

from digitline.errors import TamperedError

# A class as pickles name it: its module, and its name there.
Name: TypeAlias = tuple[str, str]

NETWORK: Name = ("sklearn.neural_network._multilayer_perceptron", "MLPClassifier")
# What a fitted model consists of beside plain values and arrays.
PARTS: frozenset[Name] = frozenset(
    {
        NETWORK,
        ("sklearn.preprocessing._label", "LabelBinarizer"),
        ("sklearn.calibration", "CalibratedClassifierCV"),
        ("sklearn.calibration", "_CalibratedClassifier"),
        ("sklearn.calibration", "_TemperatureScaling"),
        ("sklearn.frozen._frozen", "FrozenEstimator"),
    }
)
# Little-endian float32 and float64 for weights, int64 for classes.
DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {name: np.dtype(f"<{name}") for name in ("f4", "f8", "i8")}
)
_DTYPE_STATE = (3, "<", None, None, None, -1, -1, 0)


class ForbiddenError(Exception):
    """A model file asks for something that is not on the list."""


class _Dtype:
    """Stand in for `numpy.dtype`, whose own state could describe any memory."""

    def __init__(self, name: str, align: object, copy: object) -> None:
        if name not in DTYPES or (align, copy) != (False, True):
            raise ForbiddenError(f"an array of {name!r}")
        self.dtype = DTYPES[name]

    def __setstate__(self, state: object) -> None:
        if state != _DTYPE_STATE:
            raise ForbiddenError("an array of an unusual type")


class _NdArray:
    """Stand in for `numpy.ndarray`, which joblib names but does not call."""

    def __init__(self, *_: object) -> NoReturn:
        raise ForbiddenError("an array made by hand")


class _PlainArray(NumpyArrayWrapper):  # type: ignore[misc]  # joblib has no types
    """Read an array of plain numbers that fits into what is left of the file."""

    def read(self, unpickler: "_ModelUnpickler", ensure_native_byte_order: bool) -> Any:  # noqa: ANN401, FBT001 - joblib's signature
        kind: object = self.dtype
        if not isinstance(kind, _Dtype) or not _is_shape(self.shape):
            raise ForbiddenError("an array that is not of plain numbers")
        self.dtype: np.dtype[Any] = kind.dtype
        if math.prod(self.shape) * self.dtype.itemsize > unpickler.remaining():
            raise ForbiddenError("an array larger than its file")
        return super().read(unpickler, ensure_native_byte_order)


_PLAIN: Mapping[Name, type] = MappingProxyType(
    {
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): _PlainArray,
        ("numpy", "ndarray"): _NdArray,
        ("numpy", "dtype"): _Dtype,
    }
)


# What a model's pickle is written with. Others read bytes of any number, ask for objects from
# elsewhere, or are of protocols we do not write; `GLOBAL` stays so that its name can be told.
_OPCODES: tuple[bytes, ...] = (
    *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.MEMOIZE),
    *(pickle.BINGET, pickle.LONG_BINGET, pickle.SHORT_BINUNICODE),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BINFLOAT),
    *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1),
    *(pickle.EMPTY_TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3, pickle.TUPLE),
    *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS),
    *(pickle.EMPTY_DICT, pickle.SETITEM, pickle.SETITEMS),
    *(pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.NEWOBJ, pickle.REDUCE, pickle.BUILD),
)


class _ModelUnpickler(NumpyUnpickler):  # type: ignore[misc]  # joblib has no types
    """joblib's reader, with closed tables of globals and of opcodes."""

    dispatch: ClassVar = {code[0]: NumpyUnpickler.dispatch[code[0]] for code in _OPCODES}

    def __init__(self, content: bytes, stand_ins: Mapping[Name, type] | None) -> None:
        super().__init__("", io.BytesIO(content), ensure_native_byte_order=True)
        self._size = len(content)
        self._stand_ins = stand_ins

    def find_class(self, module: str, name: str) -> type:
        """Give the class of the table; `ForbiddenError` where it is not in it."""
        wanted = (module, name)
        if wanted in _PLAIN:
            return _PLAIN[wanted]
        if wanted not in PARTS:
            raise ForbiddenError(f"{module}.{name}")
        if self._stand_ins is not None:
            return self._stand_ins[wanted]
        return _load_part(wanted)

    def load_build(self) -> None:
        """Give an object its state, but never a class: that would outlive the model."""
        if isinstance(self.stack[-2], type):
            raise ForbiddenError("a change to a class")
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build

    def remaining(self) -> int:
        """Count the bytes that have not been read."""
        return self._size - int(self.file_handle.tell())


def name_of(part: object) -> Name:
    """Give the name under which pickles look an object's class up."""
    return type(part).__module__, type(part).__qualname__


def unpickle(
    content: bytes,
    where: Path,
    stand_ins: Mapping[Name, type] | None = None,
) -> Any:  # noqa: ANN401 - scikit-learn has no types
    """Rebuild the object a joblib file holds, of scikit-learn's own parts or `stand_ins` for them.

    Raises `TamperedError` for anything unexpected.
    """
    try:
        with warnings.catch_warnings():
            # Versions are compared before, by the card.
            warnings.simplefilter("ignore", UserWarning)
            unpickler = _ModelUnpickler(content, stand_ins)
            model = unpickler.load()
    except ForbiddenError as error:
        raise TamperedError(
            f"the model file asks for what no model needs ({error}); nothing was executed",
            where=where,
            todo="Do not use it, and find out who signed it",
        ) from error
    except Exception as error:  # a broken pickle can fail in any way
        raise TamperedError(
            f"the model file cannot be read ({type(error).__name__})",
            where=where,
            todo="Put it back from a backup",
        ) from error
    parts = {*map(_load_part, PARTS)} if stand_ins is None else {*stand_ins.values()}
    if type(model) not in parts or unpickler.remaining():
        raise TamperedError(
            "the model file holds no model", where=where, todo="Put it back from a backup"
        )
    return model


def _load_part(name: Name) -> type:
    """Load one of scikit-learn's classes, which takes a while when it is the first."""
    part = getattr(importlib.import_module(name[0]), name[1])
    assert isinstance(part, type)
    return part


def _is_shape(shape: object) -> bool:
    return isinstance(shape, tuple) and all(type(side) is int and side >= 0 for side in shape)
