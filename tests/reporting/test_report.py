"""A report must be complete, say what it rests on, own up to a second opening, and never be half written."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE
from unittest.mock import MagicMock

import numpy as np
import pytest
from matplotlib.font_manager import fontManager, get_font
from matplotlib.image import imread
from reports import OPENING, epochs, example, opened
from rich.console import Console
from tiny import python

from search.console.follow import report_table
from search.deciding.choice import Chosen
from search.deciding.request import Claim
from search.planning.confirmation import Confirmed
from search.reporting import pictures
from search.reporting import report as writing
from search.reporting.answers import PUBLISHED
from search.reporting.page import page
from search.reporting.report import as_json, write_report

FONTS = [*fontManager.ttflist]
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
        assert "The verdict rests on the plain answers" in shown
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
        "in this storage: 1, oldest first:\n\n1. study fast, trial 7, 2026-03-01 10:00 UTC\n",
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
    second = replace(OPENING, by="baseline mlp", trial=None, time="2026-03-02T09:30:00+00:00")
    report = example(openings=(OPENING, second))
    text, data = page(report), as_json(report)
    who = ["study fast, trial 7, 2026-03-01 10:00 UTC", "baseline mlp, 2026-03-02 09:30 UTC"]
    assert f"Warning: the test set was opened 2 times** ({'; '.join(who)})" in text
    assert f"1. {who[0]}\n2. {who[1]}\n" in text
    assert "| test set opened | 2 x |" in text
    assert (data["test_openings"], [row["by"] for row in data["openings"]]) == (2, ["study fast", "baseline mlp"])


@pytest.mark.parametrize(("percent", "title"), [(94.4, "Cannot tell"), (99.0, "Buy"), (70.0, "Build in-house")])
def test_the_title_is_the_verdict(percent: float, title: str) -> None:
    assert page(example(claims=(Claim("Vendor", percent / 100),))).startswith(f"# {title}: 94.50 %")


def test_generated_images_are_called_a_rehearsal_and_real_ones_are_not() -> None:
    rehearsal = page(example(data="generated images (not CIFAR-10)", official=False, generated=True))

    assert "Warning: generated images" in rehearsal
    assert "must not be signed" in rehearsal
    assert "must not be signed" not in page(example())


def test_an_interrupted_report_leaves_the_old_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(example(), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert before.keys() == FILES

    def full_disk(*_: object, **__: object) -> str:
        raise OSError("No space left on device")

    monkeypatch.setattr(writing, "page", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_report(example(study="other"), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_names_cannot_break_the_page_or_a_picture(tmp_path: Path) -> None:
    write_report(
        example(claims=(Claim("A|B <script> $x_1$ `q` *x* _y_", 0.7), Claim("C$", 0.8)), study="a | b"), tmp_path
    )
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "| A\\|B &lt;script> \\$x_1\\$ \\`q\\` \\*x\\* \\_y\\_ | 70 % |" in text
    assert "| study | a \\| b |" in text
    assert "best --retrain \\| tee &lt;log>" in text


@pytest.mark.fault(
    "a picture of a report cannot be drawn", then="the report is written, says which and why, and shows no older one"
)
def test_a_picture_that_fails_costs_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert write_report(example(), tmp_path) == {}
    monkeypatch.setattr(pictures, "draw_losses", MagicMock(side_effect=RuntimeError("no [font]\nof any kind")))

    assert write_report(example(), tmp_path) == {"losses.png": "RuntimeError: no [font]"}

    assert {file.name for file in tmp_path.iterdir()} == FILES - {"losses.png"}
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Loss and accuracy by epoch could not be drawn: RuntimeError: no \\[font]" in text
    assert "(losses.png)" not in text
    assert "(confusion.png)" in text


def test_pictures_are_drawn_in_spite_of_a_persons_own_settings_of_matplotlib(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from reports import example\n"
        "from search.reporting.report import write_report\n"
        "print(write_report(example(), Path(sys.argv[1])))\n"
    )
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfigure.facecolor: black\nsavefig.format: pdf\n")
    notebook = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    with python(code, str(tmp_path / "r"), cwd=tmp_path, env=notebook, stdout=PIPE, stderr=PIPE) as child:
        assert child.communicate() == ("{}\n", "")
    write_report(example(), tmp_path / "usual")
    for name in sorted(FILES):
        assert (tmp_path / "r" / name).read_bytes() == (tmp_path / "usual" / name).read_bytes(), name


@pytest.fixture
def only_font(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that has matplotlib's own font and no other."""
    pictures.fonts.cache_clear()
    monkeypatch.setattr(pictures.fontManager, "ttflist", [each for each in FONTS if each.name == pictures.FONT])
    yield
    pictures.fonts.cache_clear()


@pytest.mark.usefixtures("only_font")
def test_a_name_that_no_font_can_show_is_a_number_in_the_pictures_and_said_so_once(tmp_path: Path) -> None:
    claims = (Claim("Detectocorp", 0.6), Claim("识图科技", 0.7), Claim("Ünïcode 1", 0.8))
    assert [pictures.label(claim, claims) for claim in claims] == ["Detectocorp", "claim 2", "Ünïcode 1"]

    assert write_report(example(claims=claims), tmp_path) == {}  # a warning of a missing glyph would be an error

    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert text.count("in the pictures claim 2 is 识图科技.") == 1
    assert "| 识图科技 | 70 % |" in text
    assert "in the pictures" not in page(example())


def test_a_name_is_shown_by_the_fonts_of_the_machine_together(tmp_path: Path) -> None:
    fonts = {font.name: set(get_font(font.fname).get_charmap()) for font in FONTS if font.name != pictures.BOXES}
    other = next(name for name in fonts if name.startswith("STIX") and fonts[name] - set.union(*_of(fonts, but=name)))
    letter = next(chr(code) for code in fonts[other] - set.union(*_of(fonts, but=other)) if chr(code).isprintable())
    name = f"Ä{letter}"
    assert pictures.fonts(name) == (pictures.FONT, other)

    assert write_report(example(claims=(Claim(name, 0.7),)), tmp_path) == {}


def _of(fonts: dict[str, set[int]], *, but: str) -> list[set[int]]:
    return [letters for name, letters in fonts.items() if name != but]


def test_a_candidate_that_failed_in_the_confirmation_stands_in_the_report() -> None:
    winner = Confirmed(trial=7, accuracies=(0.9,), flops=34_000_000)
    dropped = ("trial 4, seed 1: diverged, the loss is nan | <inf>",)
    report = example(choice=Chosen(confirmation=(winner,), winner=winner, dropped=dropped))
    assert "\n\n- trial 4, seed 1: diverged, the loss is nan \\| &lt;inf>" in page(report)
    assert as_json(report)["dropped"] == dropped
    assert "left out" not in page(example())


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


def test_a_balanced_study_is_reported_by_its_own_number() -> None:
    unequal = opened(classes=("cat", "dog"), answers=np.array([[[880, 20], [50, 50]]] * 2))
    about = ("They are seen at 48 x 48 pixels, as asked for.",)
    text = page(example(test=unequal, metric="validation balanced accuracy", about_images=about))
    assert text.startswith("# Cannot tell: 73.89 % balanced accuracy on the test images")
    for phrase in (
        "| test accuracy | 93.00 % |",
        "| balanced test accuracy, each class counts alike | 73.89 % (",
        "| validation balanced accuracy (it was chosen by this) | 90.12 % |",
        "\n## The images\n\n- They are seen at 48 x 48 pixels, as asked for.\n",
    ):
        assert phrase in text
    found = as_json(example(test=unequal, metric="validation balanced accuracy", about_images=about))
    assert found["validation_balanced_accuracy"] == pytest.approx(0.9012)
    assert "validation_accuracy" not in found
    assert (found["images"]["side"], found["images"]["about"]) == (32, about)
    assert found["test"]["balanced_accuracy"] == pytest.approx((880 / 900 + 0.5) / 2)
    assert "balanced" not in page(example())  # where all classes are of one size there is nothing to say
