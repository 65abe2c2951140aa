"""Writing a report: report.md for a person, report.json for a program, history.csv, and the pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from search.deciding.evidence import Confirmed, Epoch, OpenedTest, Report
from search.reporting.answers import answers
from search.reporting.literature import PUBLISHED
from search.reporting.page import CONFUSION, LOSSES, PER_CLASS, page
from search.reporting.pictures import confusion_png, losses_png, per_class_png

__all__ = ["Confirmed", "Epoch", "OpenedTest", "Report", "as_json", "write_report"]


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write all files of a report into `folder`; none replaces an older one before all are complete."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".unfinished-") as unfinished:
        fresh = Path(unfinished)
        files = [
            losses_png(report.history, fresh / LOSSES, claims=report.claims),
            confusion_png(report.test.confusion, report.test.classes, fresh / CONFUSION),
            per_class_png(report.test.per_class, fresh / PER_CLASS, claims=report.claims),
            _write_history(report.history, fresh / "history.csv"),
            _write_text(page(report), fresh / "report.md"),
            _write_text(json.dumps(as_json(report), indent=2, allow_nan=False) + "\n", fresh / "report.json"),
        ]
        return [file.replace(folder / file.name) for file in files]


def as_json(report: Report) -> dict[str, Any]:
    """The content of report.json: plain data, every accuracy a fraction of 1."""
    test, found = report.test, report.recommendation
    return {
        "unit": "fraction",
        "study": report.study,
        "device": report.device,
        "data": report.data,
        "official": report.official,
        "candidate": dict(report.candidate),
        "parameters": report.parameters,
        "flops": report.flops,
        "validation_accuracy": report.validation_accuracy,
        "test": {
            "accuracy": test.accuracy,
            "n": test.n,
            "interval": [test.interval.low, test.interval.high],
            "level": test.interval.level,
            "seeds": list(test.seeds),
            "corrects": list(test.correct),
            "accuracies": list(test.accuracies),
        },
        "test_accuracy_with_views": test.accuracy_with_views,
        "test_accuracies_with_views": list(test.accuracies_with_views),
        "claims": [asdict(claim) for claim in found.claims],
        "verdict": found.verdict,
        "test_openings": len(report.openings),
        "test_opened_at": list(report.openings),
        "seconds": report.seconds,
        "per_class": [{"name": row.name, "accuracy": row.accuracy, "n": row.n} for row in test.per_class],
        "classes": list(test.classes),
        "confusion": test.confusion.tolist(),
        "confirmation": [{**asdict(row), "mean": row.mean} for row in report.confirmation],
        "trials": dict(report.trials),
        "recommendation": {
            "answers": [asdict(answer) for answer in answers(report)],
            "changes": list(found.changes),
            "limits": list(found.limits),
        },
        "published": [asdict(row) for row in PUBLISHED],
        "provenance": dict(report.provenance),
        "starts": [dict(start) for start in report.starts],
    }


def _write_history(history: Sequence[Epoch], path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Epoch)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in history)
    return path


def _write_text(text: str, path: Path) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
