"""What all tests need before torch is imported, and the servers that some of them share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from postgres import Postgres, programs, server

# Tiny networks gain nothing from a second thread, and waiting threads take the cores from the slots that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests say themselves where their studies are.
os.environ.pop("CIFAR_SEARCH_STORAGE", None)


@pytest.fixture(scope="session")
def _server() -> Iterator[Postgres]:
    if programs() is None:
        pytest.skip("needs PostgreSQL's server programs (Debian: the package postgresql)")
    with server() as found:
        yield found


@pytest.fixture
def postgres(_server: Postgres) -> Postgres:
    """A running server, whatever the test before did to it."""
    if not _server.running:
        _server.start()
    return _server
