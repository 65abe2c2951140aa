"""Compiling a network: whether this machine can, and when it pays."""

from __future__ import annotations

import os
import shutil
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from search.candidate import Candidate
from search.data.store import Store
from search.measuring.throughput import ROUNDS, begun, in_turns, stretch, training_step, wait
from search.training.precision import Precision

Mode = Literal["default", "reduce-overhead"]  # the latter replays CUDA graphs: for small networks on a fast GPU

LEAVE_OUT = "or leave --compile out"


def compiled(network: nn.Module, mode: Mode | None) -> nn.Module:
    """The network itself, compiled in its first step, for every shape of a batch anew; None changes nothing.

    In place, so that the names of its weights stay. Forgets what this process compiled before: torch compiles the
    same code eight times at most and then stops without an error, and a slot trains more networks than that.
    """
    if mode is not None:
        torch.compiler.reset()
        network.compile(mode=mode, dynamic=False)
    return network


def obstacle(mode: Mode, *, device: torch.device) -> str | None:
    """Why no network can be compiled in this mode for this device, with the next step; None if it can."""
    cuda = device.type == "cuda"
    if mode == "reduce-overhead" and not cuda:
        return f"reduce-overhead works by CUDA graphs, and this is a CPU; take --compile default, {LEAVE_OUT}"
    # Triton, which makes the code for a GPU, compiles its launchers in C; for a CPU torch makes C++.
    variable, names = ("CC", ("gcc", "clang", "cc")) if cuda else ("CXX", ("g++",))
    names = (os.environ[variable],) if os.environ.get(variable) else names
    if not any(shutil.which(name) for name in names):
        known = " or ".join(names)
        return f"torch compiles with {known}, which is not here; install it (Debian: the package g++), {LEAVE_OUT}"
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        return f"torch compiles with {header}, which is not here; install it (Debian: python3-dev), {LEAVE_OUT}"
    return None


@dataclass(frozen=True, kw_only=True)
class Compilation:
    """What compiling one network costs and gives, in training."""

    mode: Mode
    seconds: float  # the first step, less a usual one; evaluation compiles a second, smaller time
    images_per_second: float
    plain_images_per_second: float

    @property
    def pays_after(self) -> float | None:
        """Images until the time spent is won back; None if it never is."""
        saved = 1 / self.plain_images_per_second - 1 / self.images_per_second
        return max(0.0, self.seconds) / saved if saved > 0 else None


def measure(
    candidate: Candidate, *, store: Store, precision: Precision, mode: Mode, rounds: int = ROUNDS
) -> Compilation:
    """Compile the candidate's network, with nothing kept from before, and train it in turns with and without."""
    from torch._inductor.utils import fresh_cache  # a second, and only here

    plain = stretch(training_step(begun(candidate, store=store, precision=precision)), device=store.device)
    training = begun(candidate, store=store, precision=precision)
    step = training_step(training)
    plain()  # what only the first step of a process costs is none of compiling's
    with fresh_cache():
        compiled(training.network, mode)
        start = time.perf_counter()
        images = step()
        wait(store.device)
        first = time.perf_counter() - start
        without, speed = in_turns(plain, stretch(step, device=store.device), rounds=rounds)
    return Compilation(
        mode=mode, seconds=first - images / without, images_per_second=speed, plain_images_per_second=without
    )
