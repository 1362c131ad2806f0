"""What tests of every room share: a home of their own, digits, and one Prefect server."""

import atexit
import gc
import io
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from digitline import objects
from digitline.home import CHECKOUT, Home
from digitline.judging.verdict import Verdict
from digitline.models.card import Data, Facts, Metrics, Rows
from digitline.models.registry import Registry
from digitline.objects import Address
from digitline.pixels.normalise import NORMALISER

# What is loaded stays: it is looked through for garbage neither meanwhile nor ever after.
gc.disable()

# Before any test module imports Prefect: nothing reported, nothing printed.
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
os.environ["DO_NOT_TRACK"] = "1"
# Object stores are asked as if from a machine that has only what a test writes into these files.
AWS = Path(tempfile.mkdtemp(prefix="digitline-aws-"))
atexit.register(shutil.rmtree, AWS, ignore_errors=True)
for variable in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[variable]
os.environ["AWS_CONFIG_FILE"] = str(AWS / "config")
os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(AWS / "credentials")
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
# Practice rows would take longer than the tiny trainings of most tests.
os.environ["DIGITLINE_PRACTICE"] = "0"

# The networks of tests are so small that threads only wait for each other, and burn twenty times
# the processor time at it; the processes that tests start are told by the environment.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
threadpool_limits(1)

STARTUP_TIMEOUT = 600  # seconds; a busy machine is slow

KEY_ID, SECRET = "AKIAEXAMPLEOFATEST", "a-secret-that-nobody-may-tell"

# How long an example takes says more about the machine than about the code. The same code is tried
# on the same examples; `make explore` looks for others.
hypothesis.settings.register_profile("digitline", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
hypothesis.settings.load_profile("digitline")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home of this test's own, in the environment as a user would set it."""
    root = tmp_path / "home"
    root.mkdir()
    monkeypatch.setenv("DIGITLINE_HOME", str(root))
    return Home(root)


# What takes longest comes first, so that no core is idle in the end.
DEAREST_FIRST = ("torture", "flows", "browser", "live", "digitline", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the rooms, and leave out what takes too long for every change."""
    if not os.environ.get("DIGITLINE_TEST_LIVE"):
        for item in items:
            if item.get_closest_marker("live"):
                item.add_marker(pytest.mark.skip(reason="takes long: `make live`"))
    tests = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        parts = item.path.relative_to(tests).parts
        return DEAREST_FIRST.index(parts[0] if len(parts) > 1 else "")

    items.sort(key=rank)


def pytest_collection_finish() -> None:
    """Collect garbage from here on."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:  # noqa: ANN401 - xdist's
    """Let the attacks, which share a process that is warm, be made by one process of xdist."""
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415 - there is one only with xdist

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            attacks = "tests/torture/"
            return attacks if nodeid.startswith(attacks) else super()._split_scope(nodeid)

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


# One connection to memory: on a file, whenever many processes write at once, the server's only
# thread waits for a connection that waits for the write lock of a transaction that this thread
# would have to go on with, and all runs stand still for the minute after which SQLite gives up.
DATABASE = "sqlite+aiosqlite:///file::memory:?cache=shared&uri=true&check_same_thread=false"


@contextmanager
def prefect_api(note: Path) -> Iterator[None]:
    """Serve Prefect's real API on a database of its own; `note` will hold its address."""
    program = CHECKOUT / "tests" / "prefect_api.py"
    environment = {
        **os.environ,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": DATABASE,
        # As Prefect starts one for a process without a server.
        "PREFECT__SERVER_EPHEMERAL": "1",
        "PREFECT__SERVER_FINAL": "1",
        "PREFECT_UI_ENABLED": "0",
    }
    command = [sys.executable, str(program), str(note)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        yield
        process.communicate(b"")


SERVER = pytest.StashKey[ExitStack]()
NOTE = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Start one server for all processes of xdist, before they collect their tests."""
    shared = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if shared and not os.environ.get("PREFECT_API_URL"):
        stack = config.stash[SERVER] = ExitStack()
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="digitline-prefect-")))
        config.stash[NOTE] = place / "address"
        stack.enter_context(prefect_api(config.stash[NOTE]))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - xdist's
    """Tell a process of xdist where the address of that server will be."""
    if NOTE in node.config.stash:
        node.workerinput["prefect"] = str(node.config.stash[NOTE])


def pytest_unconfigure(config: pytest.Config) -> None:
    """End that server."""
    if SERVER in config.stash:
        config.stash[SERVER].close()


@pytest.fixture(scope="session")
def prefect_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Prefect's real API, one for all processes of the session.

    A server that `PREFECT_API_URL` names is used instead.
    """
    if os.environ.get("PREFECT_API_URL"):
        yield
        return
    with ExitStack() as stack:
        told = getattr(request.config, "workerinput", {}).get("prefect")
        note = Path(told) if told else tmp_path_factory.mktemp("prefect") / "address"
        if not told:
            stack.enter_context(prefect_api(note))
        from prefect import context, settings  # noqa: PLC0415 - slow to load

        give_up = time.monotonic() + STARTUP_TIMEOUT
        while not note.exists():
            assert time.monotonic() < give_up, "Prefect's server does not start"
            time.sleep(0.1)
        address = {settings.PREFECT_API_URL: note.read_text()}
        stack.enter_context(settings.temporary_settings(address))
        # For threads, too, as Prefect's own harness does.
        everywhere = context._temporary_global_settings_context
        stack.enter_context(everywhere(context.get_settings_context()))
        yield
        # What is still to be told would, once there is no server, be tried for a minute.
        from prefect.events.worker import EventsWorker  # noqa: PLC0415 - slow to load
        from prefect.logging.handlers import APILogWorker  # noqa: PLC0415 - slow to load

        EventsWorker.drain_all()
        APILogWorker.drain_all()


@pytest.fixture(scope="session")
def mnist() -> tuple[list[bytes], NDArray[np.int64]]:
    """The first 4,000 embedded training images as PNG bytes, and their labels (4000,)."""
    table = pq.ParquetFile(CHECKOUT / "data" / "mnist" / "train.parquet").iter_batches(4000)
    batch = next(table)
    return batch.column("image").field("bytes").to_pylist(), batch.column("label").to_numpy()


@pytest.fixture(scope="session")
def reader(
    mnist: tuple[list[bytes], NDArray[np.int64]], tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """Give a home whose champion reads nine digits of ten: not to be changed."""
    px = np.stack([np.asarray(Image.open(io.BytesIO(content))) for content in mnist[0][:2000]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network = MLPClassifier((32,), max_iter=12, random_state=0).fit(
            px.reshape(-1, 784).astype(np.float32) / np.float32(255), mnist[1][:2000]
        )
    part = Rows(rows=2000, digest="0" * 64)
    facts = Facts(
        created="2026-01-02T12:00:00Z",
        run="retrain-0001",
        parent=None,
        recipe={"hidden": [32]},
        recipe_digest="1" * 64,
        seed=0,
        data=Data(name="mnist", manifest="2" * 64, train=part, validation=part, test=part),
        code="3" * 64,
        normaliser=NORMALISER,
        metrics=Metrics(accuracy=0.9, error=0.1, n_test=200, recall=(0.9,) * 10),
        threshold=0.9,
        verdict=Verdict(kind="bootstrap", sentence="First champion."),
    )
    root = tmp_path_factory.mktemp("reader")
    home = Home(root)
    home.prepare()
    made = Registry(home.models, home.keys)
    version = made.register(network, facts, px[:10].reshape(-1, 784))
    made.promote(version, reason="first", run="retrain-0001", created="2026-01-02T12:00:00Z")
    return home


@dataclass(frozen=True)
class Scans:
    """A folder of images, and a home in which a run has scored it."""

    folder: Path
    home: Home
    run: str


@pytest.fixture(scope="session")
def session_scans(
    prefect_server: None,
    reader: Home,
    mnist: tuple[list[bytes], NDArray[np.int64]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Scans:
    """Score ninety scans: not to be changed."""
    from flows.score import score  # noqa: PLC0415 - slow to load

    place = tmp_path_factory.mktemp("scans")
    folder = place / "monday"
    folder.mkdir()
    for number, content in enumerate(mnist[0][2000:2090]):
        (folder / f"{number:02d}.png").write_bytes(content)
    shutil.copytree(reader.root, place / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIGITLINE_HOME", str(place / "home"))
        patch.setenv("DIGITLINE_AUDIT", "12")
        scored = score(str(folder))
    return Scans(folder, Home(place / "home"), scored.report.parent.name)


@pytest.fixture
def scans(session_scans: Scans, home: Home) -> Scans:
    """Ninety scored scans, in a home of this test's own."""
    shutil.copytree(session_scans.home.root, home.root, dirs_exist_ok=True)
    return Scans(session_scans.folder, home, session_scans.run)


@dataclass(frozen=True)
class Endpoint:
    """An object store: the address of a bucket in it, and ways for it to misbehave."""

    place: Address
    ports: dict[str, str]

    def use(self, kind: str) -> None:
        """Let the store be `good`, `failing`, `careless` or `refusing` from here on."""
        url = f"http://127.0.0.1:{self.ports[kind]}"
        (AWS / "config").write_text(f"[default]\nregion = eu-central-1\nendpoint_url = {url}\n")
        objects._connect.cache_clear()


@pytest.fixture(scope="session")
def endpoint_ports() -> Iterator[dict[str, str]]:
    """Serve the S3 protocol on loopback, in a process of its own."""
    command = [sys.executable, str(CHECKOUT / "tests" / "endpoint.py")]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        ports = process.stdout.readline().split()
        yield dict(zip(("good", "failing", "careless", "refusing"), ports, strict=True))
        process.communicate("")


@pytest.fixture
def store(endpoint_ports: dict[str, str]) -> Iterator[Endpoint]:
    """Give a bucket of this test's own, and credentials for it where the AWS tools look."""
    (AWS / "credentials").write_text(
        f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"
    )
    endpoint = Endpoint(Address(f"bucket-{secrets.token_hex(6)}", ""), endpoint_ports)
    endpoint.use("good")
    objects._connect().client.create_bucket(
        Bucket=endpoint.place.bucket,
        CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
    )
    yield endpoint
    objects._connect.cache_clear()


def png(digit: NDArray[np.uint8]) -> bytes:
    """Write a picture as PNG, as a user with Pillow would."""
    buffer = io.BytesIO()
    Image.fromarray(digit).save(buffer, "PNG")
    return buffer.getvalue()
