"""Slots on a real Ray cluster of several nodes: the same events as at home, and a node that dies costs no trial."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from ray_cluster import Cluster, ray_cluster

from search.candidate import Candidate, Cnn, Recipe
from search.cluster import pool
from search.cluster.connection import ClusterError, SlotResources, connected
from search.cluster.pool import ClusterPool, cluster_slots
from search.data import synthetic
from search.data.sources import Source
from search.data.split import stratified
from search.inspecting.doctor import examine_study
from search.searching import supervisor
from search.searching.progress import Progressed, Resumed, Retried
from search.searching.setup import Search
from search.slots.checkpoint_store import CheckpointStore
from search.slots.job import Began, Event, Finished, Job, Lost, Paused, SlotSettings
from search.slots.job_runner import identity
from search.slots.machine import survey
from search.slots.pool import Pool
from search.slots.signals import stop_flag
from search.slots.slot_state import BasePool
from search.training.checkpoint import unpack
from search.training.result import EpochResult
from studies.storage import storage_url

pytestmark = pytest.mark.ray

SOURCE = Source(kind="synthetic", title="generated images")
TINY = Candidate(
    architecture=Cnn(stages=2, width=(4, 8), pool=3, hidden_layers=0), recipe=Recipe(learning_rate=2.0, mixup=0.5)
)
PACE = 0.05  # seconds of a step of the stub, of which an epoch has four
TRIALS, EPOCHS = 16, 3

Opened = Callable[..., AbstractContextManager[ClusterPool]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    pytest.importorskip("ray", reason="needs Ray: pip install 'cifar-search[ray]'")
    with ray_cluster(STUB_PACE=str(PACE)) as found:
        yield found


@pytest.fixture(scope="module")
def opened(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Opens slots that run the stub."""
    log = tmp_path_factory.mktemp("cluster") / "slots.log"
    return partial(cluster_slots, SOURCE, split=None, log=log, address=cluster.address, work="stub:work")


@pytest.fixture(scope="module")
def slots(opened: Opened) -> Iterator[ClusterPool]:
    """One slot; a test that ends early must leave it idle."""
    with opened(slots=1, gpus_per_slot=0) as pool:
        yield pool


def job(folder: Path, **changes: object) -> Job:
    given = Job(name="a trial", seed=7, candidate=TINY, epochs=EPOCHS, checkpoints=folder / "checkpoints")
    return replace(given, **changes)  # type: ignore[arg-type]


def until(slots: BasePool, kind: type[Event], *, seconds: float = 30.0) -> list[Event]:
    """All that the only busy slot says, up to such a thing, which is not answered."""
    said: list[Event] = []
    deadline = time.monotonic() + seconds
    while not (said and isinstance(said[-1], kind)):
        assert time.monotonic() < deadline, said
        for index, _, event in slots.events(timeout=0.2):
            said.append(event)
            if isinstance(event, EpochResult) and not isinstance(event, kind):
                slots.go_on(index)
    return said


def ready(slots: ClusterPool, *, count: int = 1) -> int:
    """An idle slot, when so many are there."""
    deadline = time.monotonic() + 30
    while len(slots.idle) < count:
        assert time.monotonic() < deadline
        slots.events(timeout=0.2)
    return slots.idle[0]


def process(slots: ClusterPool) -> int:
    (slot,) = slots._slots.values()
    pid: int = slots.ray.get(slot.actor.__ray_call__.options(concurrency_group="calls").remote(lambda _: os.getpid()))
    return pid


@pytest.mark.fault(
    "a node of a Ray cluster dies with all that runs on it",
    then="its trials go on elsewhere from their checkpoints; new slots come with the next node",
)
def test_a_search_on_four_nodes_outlives_one(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = [cluster.add() for _ in range(3)]
    made: list[ClusterPool] = []
    monkeypatch.setattr(pool, "ClusterPool", lambda **named: made.append(ClusterPool(**named)) or made[0])
    search = Search(
        trials=TRIALS, space="smoke", data="synthetic", folder=tmp_path, pruner="none", epochs=EPOCHS, device="cpu",
        ray=cluster.address,
    )  # fmt: skip
    updates, lengths, victim = [], [], None
    for update in supervisor.run(search, work="stub:work"):
        updates.append(update)
        lengths.append(len(made[0]) if made else 0)
        if isinstance(update, Progressed) and update.result.epoch == 2 and victim is None:
            node_id = next(
                slot.node_id for slot in made[0]._slots.values() if slot.job and slot.job.number == update.number
            )
            if node_id in workers:  # and not the head, without which there is no cluster
                victim = update.number
                cluster.kill(node_id)
        if isinstance(update, Retried):
            cluster.add(cpus=2)

    assert [(update.number, update.message) for update in updates if isinstance(update, Retried)] == [
        (victim, f"node {socket.gethostname()} died")
    ]
    assert [(update.number, update.epoch) for update in updates if isinstance(update, Resumed)] == [(victim, 1)]
    ledger = examine_study(tmp_path, storage=storage_url(tmp_path, None), study="smoke")
    assert ledger.findings == ()
    history = updates[-1].history  # type: ignore[union-attr]
    assert history.counts["complete"] == len(history.trials) == TRIALS
    assert (max(lengths[: len(lengths) // 4]), min(lengths[lengths.index(4) :]), lengths[-1]) == (4, 3, 5)


def test_a_signal_sets_our_flag_also_after_ray_set_its_own_handler(cluster: Cluster) -> None:
    with stop_flag() as flag, connected(cluster.address) as ray:
        os.kill(os.getpid(), signal.SIGTERM)

        assert flag.signal == signal.SIGTERM
        assert ray.is_initialized()
    assert not ray.is_initialized()


def test_a_share_of_a_gpu_puts_several_slots_on_one_node(
    cluster: Cluster, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlotResources, "gpu_precision", lambda _self, _ray: "float32")  # of a GPU that is only declared
    name = cluster.add(cpus=4, gpus=1)

    with opened(gpus_per_slot=0.5) as slots:
        ready(slots, count=2)

        assert [slot.node_id for slot in slots._slots.values() if slot.node_id] == [name, name]
        assert (slots.machine.kind, slots.machine.slots) == ("cuda", 2)


def test_a_slot_runs_nothing_of_the_current_folder(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "search.py").write_text("raise SystemExit('a file of the user was run')")
    monkeypatch.chdir(tmp_path)
    with opened(slots=1, gpus_per_slot=0) as slots:
        ready(slots)
        assert Path.cwd() == tmp_path


def test_a_slot_that_may_stop_is_free_at_once(slots: ClusterPool, tmp_path: Path) -> None:
    index, before = ready(slots), process(slots)
    slots.start(index, job(tmp_path, epochs=1000))
    until(slots, EpochResult)

    slots.stop(index)

    assert slots.idle == [index]
    slots.start(index, job(tmp_path / "other"))
    said = until(slots, Finished)
    assert [type(event) for event in said] == [Began, EpochResult, EpochResult, EpochResult, Finished]
    assert process(slots) == before


def test_a_slot_that_is_paused_keeps_its_checkpoint_on_this_machine(slots: ClusterPool, tmp_path: Path) -> None:
    index = ready(slots)
    slots.start(index, job(tmp_path, epochs=1000))
    until(slots, EpochResult)
    slots.go_on(index)
    assert slots.events(timeout=2 * PACE) == []

    slots.pause(index)

    until(slots, Paused)
    (kept,) = {path.name for path in (tmp_path / "checkpoints").iterdir()} - {"step-00000004.ckpt"}
    slots.start(index, job(tmp_path, epochs=1000))
    (began,) = until(slots, Began)
    assert isinstance(began, Began)
    assert kept == f"step-{began.step:08d}.ckpt"
    assert began.step > 4
    until(slots, EpochResult)
    slots.stop(index)


def test_a_training_whose_end_was_not_heard_ends_again(slots: ClusterPool, tmp_path: Path) -> None:
    for _ in range(2):
        slots.start(ready(slots), job(tmp_path))
        finished = until(slots, Finished)[-1]

        assert isinstance(finished, Finished)
        assert finished.checkpoint_sha256 is not None
        assert CheckpointStore(tmp_path / "checkpoints").verify_final(finished.checkpoint_sha256) is None


@pytest.mark.parametrize(
    ("trouble", "patience", "outcome", "message"),
    [("hang", 1, "hung", "no progress for "), ("die", 300, "crashed", f"the slot on {socket.gethostname()} died: ")],
)
def test_a_hung_or_dead_slot_is_lost_and_replaced(
    slots: ClusterPool, tmp_path: Path, trouble: str, patience: float, outcome: str, message: str
) -> None:
    index, before = ready(slots), process(slots)
    slots.start(index, job(tmp_path, name=f"0:{trouble}!", patience=patience))

    lost = until(slots, Lost)[-1]

    assert isinstance(lost, Lost)
    assert (lost.outcome, lost.counts) == (outcome, True)
    assert lost.message.startswith(message)
    ready(slots)
    assert process(slots) != before
    assert not Path(f"/proc/{before}").exists()


def test_an_idle_slot_that_dies_is_replaced_in_silence(slots: ClusterPool, tmp_path: Path) -> None:
    ready(slots)
    before = process(slots)

    os.kill(before, signal.SIGKILL)

    assert slots.events(timeout=0.5) == []
    slots.start(ready(slots), job(tmp_path))
    until(slots, Finished)
    assert process(slots) != before


def test_other_versions_on_a_node_are_refused(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "versions", lambda: "cifar-search 9.9, torch 9.9")

    match = r"has cifar-search 0\S+, torch \S+, this machine cifar-search 9.9, torch 9.9"
    with opened(slots=1, gpus_per_slot=0) as slots, pytest.raises(ClusterError, match=match):
        slots.measure(job(Path()))


def test_too_much_is_refused_with_what_there_is(opened: Opened) -> None:
    with pytest.raises(ClusterError, match=r"needs 1,000 CPUs, which no node has \(.*1 CPUs, 0 GPUs.*; ask for less"):
        opened(cpus_per_slot=1000, gpus_per_slot=0).__enter__()


@pytest.mark.slow
def test_a_training_gives_the_same_bits_on_a_node_as_at_home(cluster: Cluster, tmp_path: Path) -> None:
    split, log = tmp_path / "split.npz", tmp_path / "slots.log"
    stratified(synthetic.training().labels, validation=200, seed=0).save(split)
    settings = SlotSettings(source=SOURCE, split=split, device="cpu", threads=1, precision=survey("cpu").precision)
    cluster.add()

    with Pool([settings], log=log) as slots:
        at_home = trained(slots, tmp_path / "at home")
    with cluster_slots(SOURCE, split=split, log=log, address=cluster.address, slots=2, gpus_per_slot=0) as on_nodes:
        assert on_nodes.measure(job(tmp_path, epochs=None, checkpoints=None)) > 0
        assert len({slot.node_id for slot in on_nodes._slots.values()}) == 2
        away = trained(on_nodes, tmp_path / "away")

    assert len(at_home) == 2 * (EPOCHS + 1)
    assert away == at_home


def trained(slots: BasePool, folder: Path) -> list[object]:
    """All that two trainings say of themselves, without the time that it took, and their weights."""
    jobs = [job(folder, name=name, seed=seed, checkpoints=folder / name) for seed, name in enumerate("ab")]
    events = sorted(slots.run_all(jobs), key=lambda pair: pair[0].name)
    results = [replace(event, seconds=0.0) for _, event in events if isinstance(event, EpochResult)]
    states = [unpack(CheckpointStore(folder / one.name).final(), identity=identity(one)) for one in jobs]
    weights = [{name: tensor.tolist() for name, tensor in state["network"].items()} for state in states]
    return [*results, *weights]
