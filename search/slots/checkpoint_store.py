"""The checkpoints of one training: each is whole or absent."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from search.errors import first_line
from search.files import PARTIAL, audit, sync_folder, write_whole

FORMAT = "cifar-search checkpoint 1"
FINAL = "final.ckpt"

T = TypeVar("T")


class BadCheckpointError(ValueError):
    """A file that is not a checkpoint, or was changed after it was written."""


@dataclass(eq=False)
class CheckpointStore:
    """A folder with the two newest checkpoints of a training, or only with the final one."""

    folder: Path
    _good: Path | None = field(default=None, init=False)  # the checkpoint that was written or read last

    def save(self, step: int, payload: bytes) -> None:
        """Write a checkpoint; keep it and the one that was written or read last. Raises OSError."""
        self._write(f"step-{step:08d}.ckpt", payload, keep=self._good)

    def finish(self, payload: bytes) -> str:
        """Write the final checkpoint, remove the others, and return the SHA-256 of the payload. Raises OSError."""
        return self._write(FINAL, payload, keep=None)

    def newest_first(self) -> Iterator[Path]:
        """The paths of all checkpoints, good or bad."""
        final = self.folder / FINAL
        if os.path.lexists(final):
            yield final
        yield from sorted(self.folder.glob("step-*.ckpt"), reverse=True)

    def read(self, path: Path) -> bytes:
        """The payload of a checkpoint. Raises BadCheckpointError if any bit of the file changed."""
        try:
            # O_NOFOLLOW: a link in its place must not lead elsewhere. O_NONBLOCK: a pipe must not block for ever.
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
                line, _, payload = file.read().partition(b"\n")
        except OSError as error:
            raise BadCheckpointError(f"it cannot be read: {error.strerror}") from error
        if not line.startswith(FORMAT.encode() + b" "):
            raise BadCheckpointError(f"its first line is not that of a {FORMAT}")
        if line + b"\n" != _header(payload, hashlib.sha256(payload).hexdigest()):
            raise BadCheckpointError(f"its {len(payload):,} bytes do not match its first line: cut short or changed")
        self._good = path
        return payload

    def newest(self, load: Callable[[bytes], T]) -> tuple[T | None, tuple[str, ...]]:
        """The newest checkpoint that is whole and that `load` accepts; and the names and faults of newer ones."""
        rejected: list[str] = []
        for path in self.newest_first():
            try:
                return load(self.read(path)), tuple(rejected)
            except Exception as error:  # of any kind: a bad file must not keep the training from running
                rejected.append(f"{path.name}: {first_line(error)}")
        return None, tuple(rejected)

    def final(self) -> bytes:
        """The payload of the final checkpoint. Raises BadCheckpointError."""
        return self.read(self.folder / FINAL)

    def verify_final(self, sha256: str) -> str | None:
        """What is wrong with the final checkpoint, whose payload should have this SHA-256."""
        try:
            actual = hashlib.sha256(self.final()).hexdigest()
        except BadCheckpointError as error:
            return f"{self.folder / FINAL}: {error}"
        return None if actual == sha256 else f"{self.folder / FINAL}: it is whole, but another than SHA-256 {sha256}"

    def clear(self) -> None:
        """Remove all checkpoints and partial files, and the folder if it is then empty. Raises OSError."""
        if self.folder.is_symlink():
            return
        for path in (*self.newest_first(), *self.folder.glob(PARTIAL)):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _write(self, name: str, payload: bytes, *, keep: Path | None) -> str:
        path = self.folder / name
        audit("begin", path)
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            sync_folder(self.folder.parent)
        for partial in self.folder.glob(PARTIAL):  # first, because they may be what fills the disk
            partial.unlink(missing_ok=True)
        sha256 = hashlib.sha256(payload).hexdigest()
        write_whole(path, payload, header=_header(payload, sha256))
        audit("kept", path)
        # By name, not by age: a bad checkpoint must not count as one of the two because its step is higher.
        for other in self.newest_first():
            if other not in (path, keep):
                other.unlink(missing_ok=True)
        self._good = path
        return sha256


def _header(payload: bytes, sha256: str) -> bytes:
    return f"{FORMAT} {len(payload)} {sha256}\n".encode()
