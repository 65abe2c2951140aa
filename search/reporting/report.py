"""Reports a decision: report.md for a person, report.json for a program, history.csv, the pictures and the weights."""

import csv
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from search.deciding.decide import DecisionStep, Report, decide
from search.deciding.request import Decision
from search.deciding.statistics import LEVEL
from search.errors import first_line
from search.pictures import Progress
from search.reporting.answers import PUBLISHED, answers
from search.reporting.page import PICTURES, dashboard_note, page
from search.searching.study_folder import StudyFolder
from studies.dashboard import publish
from studies.manifest import measure_of
from studies.storage import storage_url


@dataclass(frozen=True, kw_only=True)
class Reported:
    """The report is written."""

    report: Report
    folder: Path
    undrawn: Mapping[str, str]  # pictures that could not be drawn, and why


def report_decision(request: Decision, *, progress: Progress | None = None) -> Iterator[DecisionStep | Reported]:
    """Decide and write the report; a notebook may loop over this.

    Raises StudyError, StorageError, DataError, DeviceError, SlotError, OSError.
    """
    for step in decide(request, progress=progress):
        if not isinstance(step, Report):
            yield step
            continue
        folder = StudyFolder(request.folder, step.study).report
        undrawn = write_report(step, folder)
        for old in folder.glob("weights-*"):  # not before the report is written: they belong to an earlier one
            old.unlink()
        for file in (file for row in step.weights for file in (row.path, row.path.with_suffix(".json"))):
            file.replace(folder / file.name)
        publish(
            step.study,
            storage=storage_url(request.folder, request.storage),
            runs=request.folder,
            note=dashboard_note(step, folder),
            files=[folder / name for name in (*PICTURES, "report.md") if name not in undrawn],
        )
        for path in StudyFolder(request.folder, step.study).retraining.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif not path.name.startswith("confirmed-"):  # the only ones that never saw the validation images
                path.unlink()
        yield Reported(report=step, folder=folder, undrawn=undrawn)


def write_report(report: Report, folder: Path) -> dict[str, str]:
    """Write all files of a report into `folder`; none replaces an older one before all are complete.

    Returns the pictures that could not be drawn, and why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".unfinished-") as unfinished:
        fresh = Path(unfinished)
        undrawn = _draw(report, fresh)
        keys = ("phase", "trial", "seed")
        epochs = [{key: getattr(row, key) for key in keys} | asdict(row.result) for row in report.history]
        with (fresh / "history.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, epochs[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(epochs)
        text = page(report, undrawn=undrawn)
        (fresh / "report.md").write_text(text, encoding="utf-8", errors="replace")  # a folder's name
        text = json.dumps(as_json(report), indent=2, allow_nan=False) + "\n"
        (fresh / "report.json").write_text(text, encoding="utf-8")
        for path in fresh.iterdir():
            path.replace(folder / path.name)
    for name in undrawn:  # what lies there is half a picture, or that of an older report
        (folder / name).unlink(missing_ok=True)
    return undrawn


def _draw(report: Report, folder: Path) -> dict[str, str]:
    """Draw the pictures; returns those that failed, and why, for none is worth a decision."""
    undrawn = {}
    for name, draw in PICTURES.items():
        try:
            getattr(_pictures(), draw)(report, folder / name)
        except Exception as error:  # of matplotlib, of its fonts, of its installation
            undrawn[name] = first_line(error)
    return undrawn


def _pictures() -> Any:
    """The module that draws. Its import of matplotlib would fail for a notebook's backend that is not installed."""
    backend = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    matplotlib = import_module("matplotlib")
    if backend:  # the person may go on to draw with it; we need none
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = os.environ["MPLBACKEND"] = backend
    return import_module("search.reporting.pictures")


def as_json(report: Report) -> dict[str, Any]:
    """The content of report.json: plain data, every accuracy a fraction of 1."""
    test, recommendation, balanced = report.test, report.recommendation, report.test.score(balanced=True)
    winner, confirmed = report.choice.winner, report.choice.confirmation
    return {
        "unit": "fraction",
        "study": report.study,
        "device": report.device,
        "data": report.data,
        "official": report.official,
        "candidate": report.candidate.as_dict(),
        "parameters": report.cost.parameters,
        "flops": report.cost.flops,
        "metric": report.metric,
        measure_of(report.metric): winner.mean,
        "images": {**report.images._asdict(), "about": report.about_images},
        "test": {
            "accuracy": test.accuracy,
            "n": test.n,
            "interval": test.interval,
            "level": LEVEL,
            "seeds": test.seeds,
            "corrects": test.correct,
            "accuracies": test.accuracies,
            "balanced_accuracy": balanced.accuracy,
            "balanced_interval": balanced.interval,
        },
        "test_accuracy_with_views": test.accuracy_with_views,
        "test_accuracies_with_views": [correct / test.n for correct in test.correct_with_views],
        "ensemble": {"networks": test.members, "test_accuracy_with_views": test.accuracy_of_ensemble},
        "claims": [asdict(claim) for claim in recommendation.claims],
        "verdict": recommendation.verdict,
        "test_openings": len(report.openings),
        "openings": [asdict(opening) for opening in report.openings],
        "seconds": report.seconds,
        "per_class": [{"name": row.name, "accuracy": row.accuracy, "n": row.n} for row in test.per_class],
        "classes": test.classes,
        "confusion": test.confusion.tolist(),
        "dropped": report.choice.dropped,
        "confirmation": [{**asdict(row), "chosen": row is winner, "mean": row.mean} for row in confirmed],
        "gain": asdict(report.choice.gain) if report.choice.gain else None,
        "spared": report.spared,
        "trials": report.trials,
        "recommendation": {
            "answers": [asdict(answer) for answer in answers(report)],
            "changes": recommendation.changes,
            "limits": recommendation.limits,
        },
        "published": [asdict(row) for row in PUBLISHED],
        "provenance": report.provenance,
        "starts": report.starts,
    }
