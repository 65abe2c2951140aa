"""What a person may ask of a search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from search.errors import UsageError
from search.options import check_fields, option

if TYPE_CHECKING:
    from search.training.compiling import Mode

MOST_SEED = 2**63 - 1  # it is stored as a signed integer of 64 bits
MOST_SLOTS = 1000  # each is a process


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search: what is searched, for how long, and on what. Raises UsageError."""

    trials: int = option(50, "Finished trials in total, over all starts.", least=1)
    space: str | None = option(None, "A shipped space or a file.  [default: fast, or wide on a GPU]")
    study: str | None = option(None, "Name of the study.")  # a new study has the name of its space
    folder: Path = option(Path("runs"), "Folder for all that is left behind.")
    storage: str | None = option(None, "Optuna storage URL.  [default: sqlite in the folder of runs]")
    data: str | None = option(None, "A folder, CSV, .npz, name of a set, or `synthetic`.  [default: CIFAR_SEARCH_DATA]")
    image_size: int | None = option(
        None, "Pixels of a side at which pictures are seen.  [default: theirs]", least=8, most=512
    )
    sampler: str = option("prior", "prior, tpe, random or qmc.")
    pruner: str | None = option(None, "halving, median, hyperband, none.  [default: halving]")  # none with a cost
    metric: str | None = option(None, "Maximise: accuracy or balanced-accuracy.  [default: accuracy]")
    cost: str | None = option(None, "Minimise too: parameters, flops, memory_mb, latency_ms.")
    enqueue: tuple[str, ...] = option((), "A published recipe to try first (repeatable).")
    carry_over: str | None = option(None, "Start with what fits of that study's trials.")
    slots: int | Literal["auto"] | None = option(
        None, "Trials at a time, or auto.  [default: one per GPU or CPU core to 4]", least=1, most=MOST_SLOTS
    )
    epochs: int | None = option(None, "Length of a trial.  [default: the space's, cut to fit]", least=1)
    images: int | None = option(None, "Images of a trial's epoch; the next epoch takes the next ones.")
    minutes: float | None = option(None, "Time that the search should take.  [default: 12, or 3 on a GPU]", least=0.001)
    seed: int = option(0, "Seed of the study.", least=0, most=MOST_SEED)
    device: str | None = option(None, "cuda or cpu.  [default: cuda if there is one]")
    ray: str | None = option(None, "Run on a Ray cluster: HOST:PORT, or this machine's.")
    cpus_per_slot: int = option(1, "With --ray: CPUs, and threads, of a slot.", least=1)
    gpus_per_slot: float | None = option(None, "With --ray: share of a GPU, such as 0.5.", least=0, most=1)
    timeout: float | None = option(None, "Stop after so long: 90s, 30m, 2h.", least=1)  # seconds
    trial_timeout: float | None = option(None, "Give a trial up after so long.", least=1)  # seconds of one attempt
    compile: Mode | None = option(None, "torch.compile each network: default or reduce-overhead.")

    def __post_init__(self) -> None:
        check_fields(self)
        if self.ray and self.slots == "auto":
            raise UsageError("--slots auto is for slots of this machine; with --ray give --gpus-per-slot")
