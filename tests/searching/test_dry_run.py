"""A dry run forecasts what a start would do, and leaves everything as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.console.watch import forecast_text
from search.errors import UsageError
from search.planning.forecast import Forecast, fitted
from search.searching.dry_run import DryRun, dry_run
from search.searching.request import Search
from search.searching.setup import Setup
from search.slots.machine import DeviceError
from search.slots.slot_state import SlotError
from studies import StudyError
from studies.storage import owned
from studies.study import Study

pytestmark = pytest.mark.usefixtures("images")


def ask(folder: Path, **changes: Any) -> Search:
    search = Search(trials=4, space="smoke", data="synthetic", folder=folder, device="cpu", slots=1)
    return replace(search, **changes)


def dry(search: Search) -> DryRun:
    return dry_run(search, work="stub:work")


@contextmanager
def study(setup: Setup) -> Iterator[Study]:
    manifest, split = setup.draft()
    split.save(setup.folder.split)
    with owned(setup.url, study=setup.name) as storage:
        yield setup.study(manifest, storage=storage, carry=None)


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_dry_run_of_a_new_study_forecasts_and_makes_nothing(tmp_path: Path) -> None:
    found = dry(ask(tmp_path / "runs"))
    assert list(tmp_path.iterdir()) == []
    assert (found.remaining, found.slots, found.epochs, found.images) == (4, 1, 2, 1800)
    assert found.images_per_second == 1e6
    assert found.seconds > 0
    assert found.share_of_epochs < 1
    assert {"seconds", "share_of_epochs", "disk_mb", "remaining", "slots"} <= found.as_json().keys()
    said = forecast_text(found).plain
    assert "epochs: 8 in 4 trials, of which pruning leaves about" in said
    assert "then up to about 48 min for `cifar-search best --retrain`" in said


def test_slots_that_cannot_start_are_told_with_what_they_said(tmp_path: Path) -> None:
    """Their log goes with the run."""
    with pytest.raises(SlotError, match=r"(?s)3 slots in a row ended .* it said:\nTraceback.*no attribute 'nothing'$"):
        dry_run(ask(tmp_path), work="stub:nothing")


def test_a_dry_run_of_a_known_study_counts_what_is_left_and_refuses_what_a_start_would(tmp_path: Path) -> None:
    setup = Setup.of(ask(tmp_path, images=100, epochs=1))
    setup.folder.path.mkdir()
    with study(setup) as opened:
        assert opened.ask(setup.space.suggest)
        opened.report(0, epoch=1, accuracy=0.5)
        opened.complete(0)
    before = files(tmp_path)
    found = dry(ask(tmp_path))
    assert (found.finished, found.remaining, found.epochs, found.images) == (1, 3, 1, 100)
    for changes in ({"images": 200}, {"images": 1800}, {"epochs": 3}):
        with pytest.raises(StudyError, match=rf"{next(iter(changes))}: .* -> "):
            dry(ask(tmp_path, **changes))
    assert files(tmp_path) == before


def test_a_start_says_how_its_networks_were_compiled(tmp_path: Path) -> None:
    setup = Setup.of(ask(tmp_path, compile="default", epochs=1))
    setup.folder.path.mkdir()
    with study(setup) as opened:
        assert opened.history().starts[0]["compile"] == "default"
    with pytest.raises(DeviceError, match="reduce-overhead works by CUDA graphs, and this is a CPU"):
        dry(ask(tmp_path, compile="reduce-overhead"))


@pytest.mark.parametrize("count", [9, 1801])
def test_images_that_cannot_be_are_refused_before_anything_is_made(tmp_path: Path, count: int) -> None:
    with pytest.raises(UsageError, match="from 10, one of each class, to 1,800, not"):
        Setup.of(ask(tmp_path / "runs", images=count)).draft()
    assert list(tmp_path.iterdir()) == []


def test_with_the_images_given_only_the_epochs_are_shortened(tmp_path: Path) -> None:
    manifest, _ = Setup.of(ask(tmp_path / "runs", images=900)).draft()
    slow = Forecast(images_per_second=1, flops=1, mean_flops=1, images=1800, pruner="none", learning=False)
    chosen, note = fitted(manifest, slow, epochs=8, images=900, trials=4, minutes=1e-6)
    assert (chosen.epochs, chosen.images) == (1, 900)
    assert note.startswith("trials of 1 epoch, not 8")


@pytest.mark.parametrize(("asked", "kept"), [(None, 36), (1790, 1790), (1800, 1800)])
def test_all_images_may_be_insisted_on_like_fewer(tmp_path: Path, asked: int | None, kept: int) -> None:
    found = dry(ask(tmp_path / "runs", images=asked, minutes=0.001, trials=100_000))
    assert (found.epochs, found.images) == (2, kept)
