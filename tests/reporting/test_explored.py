"""The page of a data set holds its numbers and nothing that a browser would run or fetch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from photos import Make, maker

from search.candidate import Recipe
from search.data.images import Images
from search.inspecting.duplicates import Pair
from search.inspecting.explore import Exploration
from search.inspecting.label_errors import LabelError
from search.reporting.explored import AUGMENTATIONS, page

Call = Callable[..., tuple[int, str, str]]
HOSTILE = "<script>alert('&')"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return maker(tmp_path)


class Tags(HTMLParser):
    """The tags of a page, the addresses in it, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_command_writes_a_page_and_prints_the_same_numbers(folder: Make, call: Call, tmp_path: Path) -> None:
    root = folder(**{HOSTILE: 20, "dog": 10})
    (root / "dog" / "010.png").write_bytes((root / "dog" / "009.png").read_bytes())
    (root / "dog" / f"{HOSTILE}.png").write_text("no picture")
    arguments = ("explore", root, "--output", tmp_path / "new" / "page.html")

    code, output, errors = call(*arguments, "--json")
    assert (code, errors) == (0, "")
    found = json.loads(output)
    assert found["classes"] == {HOSTILE: {"training": 16, "test": 4}, "dog": {"training": 9, "test": 2}}
    assert found["kinds"] == {"PNG RGB of 32 to 63 pixels": 31}
    assert found["skipped"] == {f"dog/{HOSTILE}.png": "it is no picture"}
    twice = [(part, pair["similarity"]) for part, pairs in found["duplicates"].items() for pair in pairs]
    assert twice in ([("training", 1.0)], [])  # or both of them are in the test part
    html = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    seen = Tags(html)
    assert "script" not in seen.tags
    assert seen.tags.isdisjoint({"link", "iframe", "object", "embed", "form", "base"})
    assert all(address.startswith("data:image/png;base64,") for address in seen.addresses)
    assert not {"http:", "https:", "url(", "@import"} & {*html.replace("(", "( ").split()}
    for text in (HOSTILE, f"dog/{HOSTILE}.png", "it is no picture", "1.78 times", "64.00 %", f"{found['mean'][0]:.2f}"):
        assert text in seen.text
    code, output, _ = call(*arguments)
    assert code == 0
    assert f"classes: 2; {HOSTILE} has 1.78 times as many training images as dog" in output


def exploration(*, classes: int, side: int, channels: int = 3) -> Exploration:
    """Noise, which compresses worst, with as much of everything as a page shows."""
    pixels = torch.randint(256, (10 * classes, side, side, channels), generator=torch.Generator().manual_seed(0))
    images = Images(
        pixels.to(torch.uint8), torch.arange(10 * classes) % classes, tuple(f"class {i}" for i in range(classes))
    )
    pairs = [Pair(number, number + 1, 0.95) for number in range(20)]
    return Exploration(
        title="noise", notes=(), images={"training": images, "test": images}, names={}, mean=[127.0] * channels,
        std=[74.0] * channels, kinds={}, skipped={}, duplicates={"training": pairs, "test": pairs},
        label_errors=[LabelError(number, 1, 0.9) for number in range(20)],
    )  # fmt: skip


def test_the_largest_page_stays_small() -> None:
    assert len(page(exploration(classes=100, side=64))) < 1_500_000


def test_a_grey_image_has_one_channel_with_its_values() -> None:
    found = exploration(classes=3, side=8, channels=1)
    value = int(found.images["training"].pixels[0, 0, 0, 0])
    assert f'<td style="background:rgb({value},{value},{value})">{value}' in page(found)


def test_every_augmentation_of_a_recipe_is_shown() -> None:
    names = [*Recipe.__dataclass_fields__]
    known = {*names[names.index("flip") :]} - {"operations", "magnitude"}  # of RandAugment
    assert {name for change in AUGMENTATIONS for name in change} == known


def test_what_cannot_be_explored_is_a_sentence(call: Call, tmp_path: Path) -> None:
    for arguments, exit_code, message in (
        (("nowhere",), 3, "nowhere is not a folder"),
        (("synthetic", "--output", tmp_path), 2, "is a folder"),
        (("synthetic", "--study", "none"), 5, "there is no database"),
        (("synthetic", "--image-size", 2), 2, "--image-size must be from 8"),
        (("synthetic", "--image-size", 48), 3, "have 32 pixels a side, not 48; leave --image-size out"),
    ):
        code, output, errors = call("explore", *arguments, "--runs", tmp_path / "runs")
        assert (code, output) == (exit_code, ""), errors
        assert message in errors


@pytest.mark.realdata
@pytest.mark.skipif("CIFAR_SEARCH_DATA" not in os.environ, reason="needs CIFAR-10: set CIFAR_SEARCH_DATA")
def test_the_channels_of_cifar10(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.inspecting.explore.find_duplicates", lambda *_, **__: [])  # they take a minute
    code, output, _ = call("explore", "--output", tmp_path / "page.html")
    assert code == 0
    numbers = "mean 125.31 / 122.95 / 113.87, standard deviation 62.99 / 62.09 / 66.70"
    assert numbers in output
    assert numbers in (tmp_path / "page.html").read_text()
