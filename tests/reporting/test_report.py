"""A report must be complete, say what it rests on, own up to a second opening, and never be half written."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from reports import epochs, example, opened
from rich.console import Console

from search.console.follow import report_table
from search.deciding.request import Claim
from search.deciding.trainings import Chosen, Confirmed
from search.reporting import report as writing
from search.reporting.answers import PUBLISHED
from search.reporting.page import page
from search.reporting.report import as_json, write_report

FILES = {"report.md", "report.json", "history.csv", "losses.png", "confusion.png", "per_class.png"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "report"
    write_report(example(), folder)
    return folder


def test_report_json_holds_what_was_promised(written: Path) -> None:
    found = json.loads((written / "report.json").read_text(encoding="utf-8"))
    for key, kind in {
        "study": str, "device": str, "candidate": dict, "parameters": int, "flops": int, "test": dict, "claims": list,
        "seconds": float, "provenance": dict,
    }.items():  # fmt: skip
        assert type(found[key]) is kind, key
    expected = {"accuracy": 0.945, "n": 10_000, "seeds": [11, 12], "corrects": [9450, 9450]}
    assert expected.items() <= found["test"].items()
    low, high = found["test"]["interval"]
    assert 0 < low < 0.945 < high < 1
    [claim] = found["claims"]
    assert (claim["name"], claim["accuracy"], claim["verdict"]) == ("Detectocorp", 0.7, "build")
    assert (found["unit"], found["verdict"], found["test_openings"]) == ("fraction", "build", 1)
    assert found["per_class"][3] == {"name": "cat", "accuracy": 0.855, "n": 1000}
    assert np.shape(found["confusion"]) == (10, 10)
    assert found["validation_accuracy"] == pytest.approx(0.9012)
    assert [row["chosen"] for row in found["confirmation"]] == [True, False]
    assert found["published"][-1]["parameters"] == 557_000_000


def test_the_accuracy_with_views_stands_on_lines_of_its_own(written: Path) -> None:
    found = json.loads((written / "report.json").read_text(encoding="utf-8"))
    assert found["test_accuracy_with_views"] == 0.951
    assert found["test_accuracies_with_views"] == [0.95, 0.952]
    text = (written / "report.md").read_text(encoding="utf-8")
    console = Console(width=120, record=True)
    console.print(report_table(example()))
    for shown in (text, console.export_text()):
        assert len(re.findall("95.10 %", shown)) == 1
        assert "test-time views" in next(line for line in shown.splitlines() if "95.10 %" in line)
        assert "The verdict rests on the plain accuracy" in shown
        assert "airbench" in shown


def test_nothing_rests_on_the_accuracy_with_views() -> None:
    claims = (Claim("Vendor", 0.951),)
    poor, rich = (
        as_json(example(test=opened(correct_with_views=(count, count)), claims=claims)) for count in (0, 10_000)
    )
    own = {"test_accuracy_with_views", "test_accuracies_with_views"}
    assert {key for key in poor if poor[key] != rich[key]} == own
    assert poor["verdict"] == "buy"


def test_every_file_of_the_report_tells_the_same_numbers(written: Path) -> None:
    text = (written / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# Build in-house: 94.50 % on the test images\n\n**Verdict: build.**")
    for phrase in (
        "\n### How does it compare to Detectocorp?\n",
        "\n### How does it compare to the far more advanced solutions in the literature?\n",
        "\n### What was done to get the accuracy?\n",
        "\n### Is it necessary to improve it, and what work would that be?\n",
        "\n### What would change it\n",
        "\n### What this benchmark cannot show\n",
        "The weakest class is cat (85.50 %)",
        "cat is taken for dog in 10.50 % of its images (105)",
        "| GPipe, AmoebaNet-B (Huang et al.) | 2018 | 99 % | 557.0 M | ImageNet |",
        "31 complete, 18 pruned, 1 failed",
        "It has been opened once: 2026-03-01T10:00:00+00:00.",
        "| 7 | 90.00 %, 90.24 % | 90.12 % ± 1.52 | 34,000,000 | yes |",
        "| 17 min |",
    ):
        assert phrase in text
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


def test_every_picture_that_the_page_shows_is_a_real_one(written: Path) -> None:
    text = (written / "report.md").read_text(encoding="utf-8")
    for name in ("losses.png", "confusion.png", "per_class.png"):
        assert f"]({name})" in text
        height, width, _ = imread(written / name).shape
        assert 300 < height < 3000
        assert 400 < width < 3000
        assert imread(written / name)[..., :3].std() > 0.05  # something is drawn


def test_history_csv_gives_back_every_epoch_exactly(written: Path) -> None:
    with (written / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, epoch in zip(rows, example().history, strict=True):
        expected = {"phase": epoch.phase, "trial": epoch.trial, "seed": epoch.seed, **vars(epoch.result)}
        assert row == {name: "" if value is None else str(value) for name, value in expected.items()}


def test_an_accuracy_without_an_opening_is_refused() -> None:
    with pytest.raises(ValueError, match="without an opening"):
        example(openings=())


def test_a_second_opening_is_shown_as_such() -> None:
    twice = ("2026-03-01T10:00:00+00:00", "2026-03-02T09:30:00+00:00")
    report = example(openings=twice)
    text, data = page(report), as_json(report)
    assert f"Warning: the test set was opened 2 times** ({', '.join(twice)})" in text
    assert "| test set opened | 2 x |" in text
    assert (data["test_openings"], data["test_opened_at"]) == (2, twice)


@pytest.mark.parametrize(("percent", "title"), [(94.4, "Cannot tell"), (99.0, "Buy"), (70.0, "Build in-house")])
def test_the_title_is_the_verdict(percent: float, title: str) -> None:
    assert page(example(claims=(Claim("Vendor", percent / 100),))).startswith(f"# {title}: 94.50 %")


def test_generated_images_are_called_a_rehearsal_and_real_ones_are_not() -> None:
    rehearsal = page(example(data="generated images (not CIFAR-10)", official=False))

    assert "Warning: generated images" in rehearsal
    assert "must not be signed" in rehearsal
    assert "must not be signed" not in page(example())


def test_an_interrupted_report_leaves_the_old_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(example(), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert before.keys() == FILES

    def full_disk(*_: object) -> str:
        raise OSError("No space left on device")

    monkeypatch.setattr(writing, "page", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_report(example(study="other"), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_names_cannot_break_the_page_or_a_picture(tmp_path: Path) -> None:
    write_report(example(claims=(Claim("A|B <script> $x_1$ `q`", 0.7), Claim("C$", 0.8)), study="a | b"), tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "| study | a \\| b |" in text
    assert "best --retrain \\| tee &lt;log>" in text


def test_the_smallest_job_makes_a_report_too(tmp_path: Path) -> None:
    only = Confirmed(trial=0, accuracies=(0.5,), flops=1)
    history = (*epochs("confirmation", 0, 1, length=1), *epochs("retraining", 0, 0, length=1))
    perfect = opened(
        seeds=(0,), classes=("cat", "dog"), answers=np.array([[[10, 0], [0, 10]]]), correct_with_views=(20,)
    )
    choice = Chosen(confirmation=(only,), winner=only)
    small = example(test=perfect, choice=choice, history=history, trials={"complete": 1})
    write_report(small, tmp_path)
    assert as_json(small)["test"]["interval"][1] == 1.0
    assert "The most frequent confusions: none." in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_the_published_table_ascends_and_ends_in_gpipe() -> None:
    accuracies = [row.accuracy for row in PUBLISHED]
    assert accuracies == sorted(accuracies)
    last = PUBLISHED[-1]
    assert (last.accuracy, last.parameters, last.extra_data) == (0.99, 557_000_000, "ImageNet")
    assert all(row.source for row in PUBLISHED)
