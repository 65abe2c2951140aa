"""The state of a training as bytes that are data, never code."""

import io

import torch

from search.training.train import State

FORMAT = 1


class CheckpointError(ValueError):
    """A checkpoint of something else than this training."""


def pack(state: State, *, identity: str) -> bytes:
    """The state as bytes; `identity` says which training it is of."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "identity": identity, "state": state}, buffer)
    return buffer.getvalue()


def unpack(payload: bytes, *, identity: str) -> State:
    """What `pack` was given, on the CPU. Raises CheckpointError, or what torch raises where the bytes are no state."""
    # weights_only must be said: the environment can turn its default into the running of code from the file.
    found = torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise CheckpointError(f"it is not of format {FORMAT}, the only one that this version reads")
    if found.get("identity") != identity:
        raise CheckpointError("it is of another training: candidate, seed, epochs or images differ")
    state: State = found["state"]
    return state
