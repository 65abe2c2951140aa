"""The whole loop on pictures that are not CIFAR-10: other sides, channels and classes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.console import terminal

Call = Callable[..., tuple[int, str, str]]


def stripes(root: Path, *, classes: int, side: int, mode: str) -> Path:
    """Pictures of noise with a bright stripe, whose place is the class."""
    random = np.random.default_rng(0)
    for label in range(classes):
        (root / f"stripe {label}").mkdir(parents=True)
        for number in range(40 if label == 0 else 20):
            pixels = random.integers(0, 120, (side, side, 3), dtype=np.uint8)
            pixels[:, label * side // classes : label * side // classes + 2] = 255
            Image.fromarray(pixels).convert(mode).save(root / f"stripe {label}" / f"{number}.png")
    return root


@pytest.mark.parametrize(("classes", "side", "mode"), [(11, 28, "L"), (7, 48, "RGB")])
def test_search_and_decision_on_other_pictures(
    classes: int, side: int, mode: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    place, runs = stripes(tmp_path / "photos", classes=classes, side=side, mode=mode), tmp_path / "runs"
    (place / "stripe 0" / "broken.png").write_text("no picture")
    common = ("--data", place, "--runs", runs, "--device", "cpu", "--slots", 1)
    asked = ("run", "--space", "smoke", "--trials", 1, "--epochs", 1, "--image-size", side, *common)
    code, output, errors = call(*asked, "--metric", "balanced-accuracy")
    assert (code, errors) == (0, "")
    assert "for the validation balanced accuracy" in output
    assert f"{classes} classes at {side} pixels" in output
    assert "names no test part" in output
    assert "1 file cannot be used: stripe 0/broken.png (it is no picture)" in " ".join(output.split())
    code, _, errors = call(*asked, "--metric", "accuracy")
    assert (code, "metric: validation balanced accuracy -> validation accuracy" in errors) == (4, True)
    code, output, _ = call("status", "--json", "--runs", runs)
    best = json.loads(output)["best"]
    assert best["validation_accuracy"] != best["validation_balanced_accuracy"]
    code, output, _ = call("studies", "--json", "--runs", runs)
    assert json.loads(output)["studies"][0]["best"] == best["validation_balanced_accuracy"]  # it is what was maximised
    code, output, _ = call("best", "--runs", runs)
    shown = f"{100 * best['validation_balanced_accuracy']:.2f} % where each class counts alike"
    assert shown in " ".join(output.split())
    shutil.rmtree(tmp_path / "cache")  # they are decoded again
    monkeypatch.setattr(terminal, "QUIET", 0)
    arguments = ("--candidates", 1, "--confirm-seeds", 1, "--seeds", 1, "--epochs", 1)
    code, output, errors = call("best", "--retrain", "--json", *arguments, *common)
    assert code == 0, errors
    assert errors.startswith("looking at pictures: ")
    report = json.loads(output)
    assert report["test"]["n"] == classes * 4 + 4  # a fifth of each class
    assert report["metric"] == "validation balanced accuracy"
    about = json.loads((runs / "smoke" / "report" / "weights-1.json").read_text())
    channels = 1 if mode == "L" else 3
    assert about["input"].startswith(f"float32 [N, {channels}, {side}, {side}]")
    assert about["classes"] == sorted(f"stripe {label}" for label in range(classes))
    page = (runs / "smoke" / "report" / "report.md").read_text()
    assert "cannot be compared" in page
    assert "rehearsal" not in page
    for sentence in (f"{side} x {side} pixels, as asked for", "split off by class with seed 0", "are kept closed for"):
        assert sentence in page.split("## The images")[1]
    seen = ("locate", place / "stripe 0" / "0.png", "--runs", runs, "--output", tmp_path, "--device", "cpu")
    code, output, errors = call(*seen)  # with the calibration that the decision wrote down
    assert code == 0, errors
    assert "no trained detector" in output
    code, output, _ = call("explain", "--trial", 0, "--runs", runs)
    assert code == 0
    assert f"{channels}x{side}x{side}" in output
