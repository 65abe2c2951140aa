"""What an attacker would hide in a file of weights or in a checkpoint."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch


class Payload:
    """Leaves a folder behind where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def malicious(trace: Path) -> bytes:
    """A checkpoint that holds one."""
    buffer = io.BytesIO()
    torch.save({"format": 1, "identity": "it", "state": Payload(trace)}, buffer)
    return buffer.getvalue()
