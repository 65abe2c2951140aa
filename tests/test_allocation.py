"""Processes that train keep the memory that they took."""

from __future__ import annotations

import os

import pytest

from search.running.allocation import TUNABLES, VARIABLE, in_fresh_process, keeping_memory


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_a_fresh_process_keeps_its_memory_and_leaves_no_trace_here() -> None:
    told = in_fresh_process(os.getenv, VARIABLE)
    assert told is not None
    assert all(f"{name}={value}" in told for name, value in TUNABLES.items())
    assert VARIABLE not in os.environ


def test_an_operator_s_own_choice_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "glibc.malloc.hugetlb=0")
    with keeping_memory():
        assert os.environ[VARIABLE] == "glibc.malloc.hugetlb=0"
    assert os.environ[VARIABLE] == "glibc.malloc.hugetlb=0"


def test_what_the_process_raises_is_raised_here() -> None:
    with pytest.raises(FileNotFoundError):
        in_fresh_process(os.listdir, "/not/a/folder")
