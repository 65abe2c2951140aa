"""How long a network takes to answer for one image."""

import time
from statistics import median

import torch

from search.candidate import Architecture
from search.data.store import Store, normalise
from search.networks.build import build
from search.training.precision import Precision, autocast

WARMUP = 10  # answers before the measured ones: the first load code and choose algorithms
ANSWERS = 50  # measured; their median is taken, since other work on the machine disturbs some of them
SECONDS = 5.0  # that the measuring may take with a slow network


@torch.no_grad()
def latency_ms(architecture: Architecture, *, store: Store, precision: Precision) -> float:
    """Milliseconds from a normalised image on the slot's device to its logits there, batch of 1, its threads."""
    network = build(architecture, images=store.training.shape, seed=0, device=store.device).eval()
    image = normalise(next(store.training.batches(1)), store.mean, store.std)
    start, took = time.perf_counter(), list[float]()
    with autocast(store.device, precision):
        while len(took) < WARMUP + ANSWERS and (len(took) < 2 or time.perf_counter() - start < SECONDS):
            began = time.perf_counter()
            network(image)
            if store.device.type == "cuda":
                torch.cuda.synchronize(store.device)
            took.append(time.perf_counter() - began)
    return 1000 * median(took[min(WARMUP, len(took) - 1) :])
