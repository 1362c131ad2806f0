"""What a result was made with: the code's digest and the libraries' versions."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# A change in these rooms can change a model; one in the report cannot.
_SHAPING = ("sources", "pixels", "learning", "rows.py")
_LIBRARIES = (
    "joblib",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pillow",
    "prefect",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "seaborn",
)


def code_digest() -> str:
    """SHA-256 over the source code that shapes a model."""
    digest = hashlib.sha256()
    for path in sorted(_shaping_files()):
        digest.update(f"{path.relative_to(_PACKAGE).as_posix()}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def library_versions() -> dict[str, str]:
    """Give the versions of the libraries that shape a model or a report."""
    return {name: version(name) for name in _LIBRARIES}


def digest_of(facts: Mapping[str, object]) -> str:
    """SHA-256 of plain facts, whatever their order."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _shaping_files() -> list[Path]:
    rooms = [_PACKAGE / name for name in _SHAPING]
    suffixes = {".py", ".toml"}
    return [
        file
        for room in rooms
        for file in ([room] if room.is_file() else room.rglob("*"))
        if file.suffix in suffixes
    ]
