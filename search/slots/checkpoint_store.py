"""The checkpoints of one training: each is whole or not there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from search.files import PARTIAL, audit, sync_folder, write_whole

FORMAT = "cifar-search checkpoint 1"
FINAL = "final.ckpt"


class BadCheckpointError(ValueError):
    """A file that is not, or no longer, what was written."""


@dataclass(eq=False)
class CheckpointStore:
    """A folder with the two newest checkpoints of a training, then only with the final one."""

    folder: Path
    _good: Path | None = field(default=None, init=False)  # what was written or read last

    def save(self, step: int, payload: bytes) -> None:
        """Keep a checkpoint beside the one that was written or read last, and no other. Raises OSError."""
        self._keep(f"step-{step:08d}.ckpt", payload, beside=self._good)

    def finish(self, payload: bytes) -> str:
        """Keep the final checkpoint and no other; returns its payload's SHA-256. Raises OSError."""
        return self._keep(FINAL, payload, beside=None)

    def newest_first(self) -> Iterator[Path]:
        """Every checkpoint, good or not."""
        final = self.folder / FINAL
        if os.path.lexists(final):
            yield final
        yield from sorted(self.folder.glob("step-*.ckpt"), reverse=True)

    def read(self, path: Path) -> bytes:
        """The payload of a checkpoint. Raises BadCheckpointError where any bit of the file is not as it was written."""
        payload = _payload(path)
        self._good = path
        return payload

    def newest(self) -> tuple[bytes | None, tuple[str, ...]]:
        """The payload of the newest checkpoint that is whole; with the names of newer ones, and what is wrong."""
        rejected: list[str] = []
        for path in self.newest_first():
            try:
                return self.read(path), tuple(rejected)
            except BadCheckpointError as error:
                rejected.append(f"{path.name}: {error}")
        return None, tuple(rejected)

    def final(self) -> bytes:
        """The payload of the final checkpoint. Raises BadCheckpointError."""
        return self.read(self.folder / FINAL)

    def verify_final(self, sha256: str) -> str | None:
        """What is wrong with the final checkpoint, whose payload should have this SHA-256."""
        try:
            found = hashlib.sha256(self.final()).hexdigest()
        except BadCheckpointError as error:
            return f"{self.folder / FINAL}: {error}"
        return None if found == sha256 else f"{self.folder / FINAL}: it is whole, but another than SHA-256 {sha256}"

    def clear(self) -> None:
        """Remove the checkpoints, what writing left behind, and the folder if nothing else is in it. Raises OSError."""
        if self.folder.is_symlink():
            return
        for path in (*self.newest_first(), *self.folder.glob(PARTIAL)):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _keep(self, name: str, payload: bytes, *, beside: Path | None) -> str:
        path = self.folder / name
        audit("begin", path)
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            sync_folder(self.folder.parent)
        for left in self.folder.glob(PARTIAL):  # first, because they may be what fills the disk
            left.unlink(missing_ok=True)
        sha256 = hashlib.sha256(payload).hexdigest()
        write_whole(path, payload, header=_header(payload, sha256))
        audit("kept", path)
        # By name, not by age: one that was rejected must not count as one of two because its step is higher.
        for other in self.newest_first():
            if other not in (path, beside):
                other.unlink(missing_ok=True)
        self._good = path
        return sha256


def _payload(path: Path) -> bytes:
    try:
        # Neither a link nor a pipe in its place may lead elsewhere or wait for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            line, _, payload = file.read().partition(b"\n")
    except OSError as error:
        raise BadCheckpointError(f"it cannot be read: {error.strerror}") from error
    if line + b"\n" == _header(payload, hashlib.sha256(payload).hexdigest()):
        return payload
    if not line.startswith(FORMAT.encode() + b" "):
        raise BadCheckpointError(f"its first line is not that of a {FORMAT}")
    raise BadCheckpointError(f"its {len(payload):,} bytes are not those of its first line: cut short or changed")


def _header(payload: bytes, sha256: str) -> bytes:
    return f"{FORMAT} {len(payload)} {sha256}\n".encode()
