"""Folders and tables of pictures: classes, parts, links, and what cannot be."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from photos import Make

from search.errors import DataError
from search.pictures.listing import PictureList, list_folder, list_table


def rows(listing: PictureList) -> list[tuple[str, str, str | None]]:
    labels = (listing.classes[label] for label in listing.labels)
    return list(zip(listing.files, labels, listing.parts, strict=True))


def test_a_folder_for_each_class(folder: Make) -> None:
    root = folder(dog=2, cat=1)
    (root / "dog" / "old").mkdir()
    (root / "dog" / "000.png").rename(root / "dog" / "old" / "A.JPEG")
    for name in ("notes.txt", "dog/readme.md", "dog/.DS_Store", "dog/.hidden.png"):
        (root / name).touch()
    (root / ".git" / "x").mkdir(parents=True)
    listing = list_folder(root)
    assert listing.classes == ("cat", "dog")
    assert rows(listing) == [
        ("cat/000.png", "cat", None),
        ("dog/001.png", "dog", None),
        ("dog/old/A.JPEG", "dog", None),
    ]


def test_parts_are_found_by_their_usual_names(folder: Make) -> None:
    for part in ("Train", "val", "test"):
        folder(below=f"photos/{part}", a=1, b=1)
    listing = list_folder(folder(below="photos"))
    assert [part for *_, part in rows(listing)] == ["training"] * 2 + ["validation"] * 2 + ["test"] * 2


def test_numbers_are_in_their_order(folder: Make) -> None:
    assert list_folder(folder(**{"10": 1, "9": 1, "2": 1})).classes == ("2", "9", "10")


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        ({"train/a": 1, "train/b": 1, "test/c": 1}, "test has the classes c, which nothing trains"),
        ({"train/a": 1, "train/b": 1, "more/a": 1}, "has more beside its parts"),
        ({"test/a": 1, "test/b": 1}, "has test and no `train`"),
        ({"a": 1}, "has 1 classes, and a classifier needs 2"),
        ({}, "has 0 classes"),
        ({"a": 1, "b": 1, "c": 0}, "no picture to train on of c"),
        ({"train/a": 1, "train/b": 0, "test/b": 1}, "no picture to train on of b"),
    ],
)
def test_what_cannot_be_is_said(classes: dict[str, int], sentence: str, folder: Make) -> None:
    root = folder()
    root.mkdir(exist_ok=True)
    for name, count in classes.items():
        folder(**{name: count})
    with pytest.raises(DataError, match=sentence):
        list_folder(root)


def test_links_out_of_the_folder_are_skipped_by_name(folder: Make, tmp_path: Path) -> None:
    root, other = folder(cat=2, dog=1), folder(below="other", bird=1)
    (root / "dog" / "out.png").symlink_to(other / "bird" / "000.png")
    (root / "dog" / "up.png").symlink_to("../../other/bird/000.png")
    (root / "dog" / "within.png").symlink_to("../cat/001.png")
    (root / "dog" / "loop").symlink_to(root)
    (root / "elsewhere").symlink_to(other / "bird")
    listing = list_folder(root)
    assert listing.classes == ("cat", "dog")
    assert listing.files == ("cat/000.png", "cat/001.png", "dog/000.png", "dog/within.png")
    assert set(listing.skipped) == {"dog/out.png", "dog/up.png"}
    assert str(tmp_path) in listing.skipped["dog/out.png"]


def test_a_name_of_any_bytes_is_listed(folder: Make) -> None:
    root = folder(a=1, b=1)
    (root / "a" / "000.png").rename(root / "a" / os.fsdecode(b"caf\xe9.png"))
    assert list_folder(root).files[0] == "a/caf\udce9.png"


def test_a_table(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text('split,Filename,label\ntrain,"a,b.png",cat\ntest, c.png ,dog\ntrain,d.png,dog\n')
    assert rows(list_table(tmp_path / "list.csv")) == [
        ("a,b.png", "cat", "training"), ("c.png", "dog", "test"), ("d.png", "dog", "training"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has 0 lines"),
        ("path,label\n", "has 1 lines"),
        ("path,lable\na,b\n", "no column `label`.*nearest: lable"),
        ("path,label\na,b\nc\n", "list.csv:3 has 1 cells"),
        ("path,label\na,\n", "list.csv:2 lacks"),
        ("path,label,part\na,b,tset\n", "list.csv:2 names the part 'tset'.*nearest: test"),
        ("path,label,part\na,b,test\nc,d,\n", "some rows only"),
        ('path,label\n"a,b\n', "cannot be read as CSV"),
        ("path,label\na,b\nc,b\n", "has 1 classes"),
    ],
)
def test_a_table_that_cannot_be_read(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        list_table(tmp_path / "list.csv")


def test_a_table_reads_no_file_outside_of_its_folder(tmp_path: Path) -> None:
    table = tmp_path / "in" / "list.csv"
    table.parent.mkdir()
    table.write_text("path,label\n../secret.png,a\n/etc/passwd,a\nx.png,a\ny/../y.png,b\n")
    listing = list_table(table)
    assert listing.files == ("x.png", "y/../y.png")
    assert set(listing.skipped) == {"../secret.png", "/etc/passwd"}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    table = tmp_path_factory.mktemp("table") / "list.csv"
    table.write_bytes(b"path,label\n" + content)
    with suppress(DataError):
        assert list_table(table).files
