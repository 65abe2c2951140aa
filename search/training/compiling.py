"""Compiling a network, and whether this machine can."""

import os
import shutil
import sysconfig
from pathlib import Path
from typing import Literal

import torch
from torch import nn

Mode = Literal["default", "reduce-overhead"]  # the latter replays CUDA graphs: for small networks on a fast GPU


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
        return "reduce-overhead works by CUDA graphs, and this is a CPU; take --compile default, or leave --compile out"
    # Triton, which makes the code for a GPU, compiles its launchers in C; for a CPU torch makes C++.
    variable, names = ("CC", ("gcc", "clang", "cc")) if cuda else ("CXX", ("g++",))
    names = (os.environ[variable],) if os.environ.get(variable) else names
    if not any(shutil.which(name) for name in names):
        compiler = " or ".join(names)
        return f"torch compiles with {compiler}, which is not here; install it (Debian: g++), or leave --compile out"
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        return (
            f"torch compiles with {header}, which is not here; install it (Debian: python3-dev), or leave --compile out"
        )
    return None
