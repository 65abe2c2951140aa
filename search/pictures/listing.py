"""Lists the picture files of a folder or of a table, each with its class and its part."""

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from search.errors import DataError
from search.sentences import nearest
from search.text import some

Part = Literal["training", "validation", "test"]

PART_NAMES: dict[str, Part] = {
    "train": "training", "training": "training",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
COLUMNS = {
    "path": ("path", "image", "file", "filename", "filepath", "image_path"),
    "label": ("label", "class", "target", "category"),
    "part": ("part", "split", "set"),
}
LEFT_OUT = ("__MACOSX", "lost+found")  # folders that programs make, beside those with a dot
FEWEST_CLASSES, MOST_CLASSES = 2, 1000
MOST_NAMED = 10  # files or classes in a message


@dataclass(frozen=True, kw_only=True)
class PictureList:
    """Pictures in a fixed order; of files nothing was read."""

    root: Path
    classes: tuple[str, ...]
    files: tuple[str, ...]  # relative to the root, or what is said for each of the `pictures`
    labels: tuple[int, ...]  # one per file
    parts: tuple[Part | None, ...]  # likewise; None where the source names no part for any
    skipped: dict[str, str]  # relative path to the reason
    pictures: Sequence[Any] = ()  # arrays [H, W] or [H, W, C] in memory; none where they are files

    def __post_init__(self) -> None:
        count = len(self.classes)
        if not FEWEST_CLASSES <= count <= MOST_CLASSES:
            raise DataError(
                f"{self.root} has {count} classes, and a classifier needs {FEWEST_CLASSES} to {MOST_CLASSES:,}; "
                "each class is a folder of pictures, or a label"
            )
        present = set(zip(self.labels, self.parts, strict=True))
        first: Part | None = None if None in self.parts else "training"
        if empty := [name for label, name in enumerate(self.classes) if (label, first) not in present]:
            raise DataError(
                f"{self.root} has no picture to train on of {some(empty, MOST_NAMED)}; add some, or remove the class"
            )

    def picture(self, index: int) -> Any:
        """Its array, or the path of its file."""
        return self.pictures[index] if self.pictures else self.root / self.files[index]


@dataclass(frozen=True, kw_only=True)
class Unlisted:
    """Pictures in a few large files, which are read only where they were not decoded before."""

    root: Path  # as messages call the source
    files: tuple[Path, ...]
    read: Callable[[], PictureList]


def holds_pictures(root: Path) -> bool:
    """Whether a folder has folders of pictures, perhaps in parts such as `train`."""
    if not root.is_dir():
        return False
    inside = [path for _, path in _folders(root)]
    deeper = [path for part in inside if part.name.lower() in PART_NAMES for _, path in _folders(part)]
    return any(next(_pictures(str(path), below=""), None) for path in (*deeper, *inside))


def list_folder(root: Path) -> PictureList:
    """A folder of folders, one for each class; or train, val and test folders of them. Raises DataError."""
    inside = dict(_folders(root))
    parts = {PART_NAMES[name.lower()]: path for name, path in inside.items() if name.lower() in PART_NAMES}
    if "training" not in parts:
        if parts:
            raise DataError(
                f"{root} has {some(sorted(inside), MOST_NAMED)} and no `train`; make one, or one folder for each class"
            )
        return _listing(root, {None: inside})
    strange = sorted(path.name for path in inside.values() if path not in parts.values())
    if strange:
        known = ", ".join(path.name for path in parts.values())
        raise DataError(f"{root} has {some(strange, MOST_NAMED)} beside its parts {known}")
    return _listing(root, {part: dict(_folders(parts[part])) for part in get_args(Part) if part in parts})


def list_table(table: Path) -> PictureList:
    """A CSV with a header, a row for each picture: its path beside the CSV, its label, perhaps its part.

    Raises DataError.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read as CSV ({error}); save it as UTF-8 with a header") from error
    if len(rows) < 2:
        raise DataError(f"{table} has {len(rows)} lines: it needs a header such as `path,label` and a row per picture")
    columns = _columns(rows[0], table)
    found: list[tuple[str, str, Part | None]] = []
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) != len(rows[0]):
            raise DataError(f"{table}:{number} has {len(row)} cells, and the header has {len(rows[0])}")
        cells = {column: row[index].strip() for column, index in columns.items()}
        if not cells["path"] or not cells["label"]:
            raise DataError(f"{table}:{number} lacks its path or its label")
        found.append((cells["path"], cells["label"], part_of(cells.get("part"), f"{table}:{number}")))
    parts = {part for *_, part in found}
    if None in parts and parts != {None}:
        raise DataError(f"{table} names a part in some rows only; name one in each, or in none")
    root, names = table.absolute().parent, {label for _, label, _ in found}
    classes = tuple(sorted(names, key=_order))
    kept: list[tuple[str, int, Part | None]] = []
    skipped: dict[str, str] = {}
    for path, label, part in found:
        if reason := _outside(root, path):
            skipped[path] = reason
        else:
            kept.append((path, classes.index(label), part))
    return _made(root, classes, kept, skipped)


def _listing(root: Path, parts: dict[Part | None, dict[str, Path]]) -> PictureList:
    training = next(iter(parts.values()))
    classes = tuple(sorted(training, key=_order))
    kept: list[tuple[str, int, Part | None]] = []
    skipped: dict[str, str] = {}
    for part, folders in parts.items():
        if unknown := sorted(folders.keys() - training.keys()):
            raise DataError(
                f"{root}: {part} has the classes {some(unknown, MOST_NAMED)}, which nothing trains; move or rename them"
            )
        for name, folder in sorted(folders.items()):
            label = classes.index(name)
            for path, is_link in _pictures(str(folder), below=str(folder.relative_to(root))):
                if is_link and (reason := _outside(root, path)):
                    skipped[path] = reason
                else:
                    kept.append((path, label, part))
    return _made(root, classes, kept, skipped)


def _made(
    root: Path, classes: tuple[str, ...], kept: list[tuple[str, int, Part | None]], skipped: dict[str, str]
) -> PictureList:
    files, labels, parts = zip(*kept, strict=True) if kept else ((), (), ())
    return PictureList(root=root, classes=classes, files=files, labels=labels, parts=parts, skipped=skipped)


def _folders(root: Path) -> Iterator[tuple[str, Path]]:
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{root} cannot be listed ({error.strerror}); make it readable") from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and entry.name[0] != "." and entry.name not in LEFT_OUT:
            yield entry.name, Path(entry.path)


def _pictures(folder: str, *, below: str) -> Iterator[tuple[str, bool]]:
    """The files below a folder that are called as pictures are, by path, and whether each is a link.

    Links to folders are left aside.
    """
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = f"{below}{os.sep}{entry.name}"
        if entry.name[0] == ".":
            continue
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in LEFT_OUT:
                yield from _pictures(entry.path, below=path)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122 - there may be millions
            yield path, entry.is_symlink()


def _outside(root: Path, relative: str) -> str | None:
    """Why a path may not be followed: it, or what it links to, lies outside of the folder."""
    inside = (root / relative).resolve().is_relative_to(root.resolve())
    return None if inside else f"it leads out of {root}"


def _columns(header: Sequence[str], table: Path) -> dict[str, int]:
    names = [name.strip().lower() for name in header]
    columns = {column: names.index(name) for column, known in COLUMNS.items() for name in known[::-1] if name in names}
    for column in ("path", "label"):
        if column not in columns:
            hint = nearest(column, names)
            raise DataError(f"{table}:1 has no column `{column}` ({hint}); its first line must name `path` and `label`")
    return columns


def part_of(text: str | None, place: str) -> Part | None:
    """The part that a person calls so; None where nothing is said. Raises DataError."""
    if not text:
        return None
    if text.lower() not in PART_NAMES:
        raise DataError(f"{place} names the part {text!r}, which is none: {nearest(text, PART_NAMES)}")
    return PART_NAMES[text.lower()]


def _order(name: str) -> tuple[bool, int, str]:
    """Numbers by their size, before names."""
    number = name.isascii() and name.isdecimal()
    return not number, int(name) if number else 0, name
