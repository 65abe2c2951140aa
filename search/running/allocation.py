"""How processes that train take their memory: in huge pages, and without giving it back after every step."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

VARIABLE = "GLIBC_TUNABLES"  # read when a process starts; other C libraries know nothing of it
NEVER = 4_000_000_000  # bytes
TUNABLES = {
    "glibc.malloc.hugetlb": 1,  # transparent huge pages
    "glibc.malloc.mmap_threshold": NEVER,  # a tensor of its own mapping is new, zeroed pages at each step
    "glibc.malloc.trim_threshold": NEVER,
}
"""1.15 times the images per second of two slots of one thread (studies/results/LOG.md, 10)."""

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@contextmanager
def keeping_memory() -> Iterator[None]:
    """Processes that are started in the block, and theirs, take memory so; an operator's own choice stands."""
    if VARIABLE in os.environ:
        yield
        return
    os.environ[VARIABLE] = ":".join(f"{name}={value}" for name, value in TUNABLES.items())
    try:
        yield
    finally:
        del os.environ[VARIABLE]


def in_fresh_process(function: Callable[[Argument], Result], argument: Argument) -> Result:
    """The result of a module's function in a process of its own that takes memory so; raises what it raises."""
    with keeping_memory(), ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, argument).result()
