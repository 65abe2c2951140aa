"""What all tests need before torch is imported, and the servers that some of them share."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from places import Place
from postgres import Postgres, programs, server
from starts import Zygote, zygote
from tiny import Start, database, starter

if TYPE_CHECKING:
    from search.data.images import Images
    from search.slots.job import SlotSettings

# Tiny networks gain nothing from a second thread, and waiting threads take the cores from the slots that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Slots know only this path, not that of a test's process: some of them run the stub.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
# Tests say themselves where their studies are.
os.environ.pop("CIFAR_SEARCH_STORAGE", None)
# Nor does the shell say how wide a table is.
os.environ.pop("COLUMNS", None)
# What a background job or nohup ignores, we ignore too, but what tests start inherits no handler of ours.
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)
# Seconds say nothing about an example: other tests share the cores.
settings.register_profile("shared cores", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared cores")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One process for a single file, and for the slow tests, which measure the machine; else one for each core."""
    one_file = len(config.args) == 1 and ".py" in config.args[0]
    return 0 if one_file or config.option.markexpr == "slow" else None


@pytest.fixture(scope="session")
def _server() -> Iterator[Postgres]:
    found = programs()
    if found is None:
        pytest.skip("needs PostgreSQL's server programs (Debian: the package postgresql)")
    with server(found) as running:
        yield running


@pytest.fixture
def postgres(_server: Postgres) -> Postgres:
    """A running server, whatever the test before did to it."""
    if not _server.running:
        _server.start()
    return _server


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a SQLite database without a study."""
    return database(tmp_path)


@pytest.fixture
def start(url: str) -> Start:
    """Opens tiny studies in that database."""
    return starter(url)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process: exit code, output, errors, and never a traceback."""
    from search import cli

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cifar-search", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        output, errors = capsys.readouterr()
        assert "Traceback" not in output + errors, errors
        return int(ended.value.code or 0), output, errors

    return call


@pytest.fixture(scope="session")
def warm() -> Iterator[Zygote]:
    """A warm process that starts the real command line quickly."""
    with zygote() as found:
        yield found


@pytest.fixture(scope="module")
def images() -> Iterator[Images]:
    """The generated images, made once for a file of tests: it takes half a second, each time."""
    from search.data import synthetic

    images = synthetic.training()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "training", lambda: images)
        yield images


@pytest.fixture
def place(warm: Zygote, tmp_path: Path) -> Place:
    """A folder of runs with a search in it, on SQLite."""
    return Place.at(tmp_path, warm=warm)


@pytest.fixture(scope="module")
def slot_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlotSettings]:
    """Of a slot: generated images, 500 of which validate, one thread."""
    import torch  # not for tests that can do without

    from search.data import synthetic
    from search.data.sources import Source
    from search.data.split import stratified
    from search.slots.job import SlotSettings

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("slot") / "split.npz"
    stratified(synthetic.training().labels, validation=500, seed=0).save(path)
    source = Source(kind="synthetic", title="generated images")
    yield SlotSettings(source=source, split=path, device="cpu", threads=1, precision="float32")
    torch.set_num_threads(threads)
