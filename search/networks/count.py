"""What a network costs, counted on the real network without memory or arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry

from search.candidate import Architecture
from search.networks.blocks import CHANNELS, PIXELS
from search.networks.build import build

aten = torch.ops.aten

CONVOLUTION = aten.convolution.default
LINEAR = aten.addmm.default

IMAGES = 2  # counted at once: in training, batch norm refuses one image of one pixel
REMEMBERED = 4096  # architectures; a search asks for the same one again when it is trained, confirmed and reported


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Size and work of one network."""

    parameters: int  # frozen ones included
    flops: int  # of one image's forward pass; a multiplication and its addition are two
    activations: int  # bytes that one image's forward pass keeps for the backward pass in float32, without parameters

    def measures(self) -> dict[str, float]:
        """By the names that a space file's constraints use."""
        return {"parameters": self.parameters, "flops": self.flops}


@lru_cache(REMEMBERED)
def cost(architecture: Architecture, *, classes: int = 10) -> Cost:
    """Build the network on the meta device and count. Raises NetworkError where the architecture is impossible."""
    network = build(architecture, classes=classes, seed=0, device="meta")
    own = [part for module in network.modules() for part in (*module._parameters.values(), *module._buffers.values())]
    kept = _Kept(own)
    with _Counting() as counting, saved_tensors_hooks(kept.pack, _unpack):
        network(torch.empty(IMAGES, CHANNELS, PIXELS, PIXELS, device="meta"))
    return Cost(
        parameters=sum(part.numel() for part in own if isinstance(part, nn.Parameter)),
        flops=counting.flops // IMAGES,
        activations=kept.bytes // IMAGES,
    )


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums the work of what is called: the sums of torch's FlopCounterMode in a tenth of its time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing here is compiled, and to say so torch would import seconds of itself

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        shape = SHAPES.get(func)
        answer = shape(*args) if shape else None
        if answer is None:
            answer = func(*args, **(kwargs or {}))
        if func is CONVOLUTION:
            self.flops += conv_flop_count(args[0].shape, args[1].shape, answer.shape)
        elif func is LINEAR:
            self.flops += 2 * args[1].numel() * answer.shape[1]
        elif formula := flop_registry.get(func.overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=answer)
        return answer


class _Kept:
    """The storages that autograd keeps, each once, without those of the network's own tensors."""

    def __init__(self, own: Iterable[Tensor | None]) -> None:
        self._own = {tensor.untyped_storage()._cdata for tensor in own if tensor is not None}
        self._storages: dict[int, torch.UntypedStorage] = {}  # held, so that no address is used twice

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._own:
            self._storages[storage._cdata] = storage
        return tensor

    @property
    def bytes(self) -> int:
        return sum(storage.nbytes() for storage in self._storages.values())


def _unpack(tensor: Tensor) -> Tensor:
    return tensor


def _empty(shape: torch.Size) -> Tensor:
    return torch.empty(shape, device="meta")  # empty_like is as slow as what it would replace


def _convolved(images: Tensor, filters: Tensor, _: Any, stride: list[int], padding: list[int], *__: Any) -> Tensor:
    sides = [
        (side + 2 * pad - kernel) // step + 1
        for side, kernel, step, pad in zip(images.shape[2:], filters.shape[2:], stride, padding, strict=True)
    ]
    return _empty(torch.Size((images.shape[0], filters.shape[0], *sides)))


def _norm(images: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return _empty(images.shape), _empty(images.shape[1:2]), _empty(images.shape[1:2])


def _linear(_: Tensor, inputs: Tensor, weights: Tensor) -> Tensor:
    return _empty(torch.Size((inputs.shape[0], weights.shape[1])))


def _layer_norm(features: Tensor, shape: list[int], *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    places = features.shape[: -len(shape)] + (1,) * len(shape)
    return _empty(features.shape), _empty(places), _empty(places)


def _enlarged(images: Tensor, sides: list[int], *_: Any) -> Tensor:
    return _empty(torch.Size((*images.shape[:2], *sides)))


def _elementwise(one: Tensor, other: Any = None, *_: Any) -> Tensor | None:
    if not isinstance(other, Tensor) or other.shape == one.shape:
        return _empty(one.shape)
    if other.dim() == one.dim():
        return _empty(torch.Size(map(max, one.shape, other.shape)))
    return None


def _mean(images: Tensor, sides: list[int], keep: bool = False) -> Tensor | None:
    if images.dim() != 4 or {side % 4 for side in sides} != {2, 3}:
        return None
    return _empty(images.shape[:2] + (1, 1) * keep)


def _itself(tensor: Tensor, *_: Any) -> Tensor:
    return tensor


# On the meta device torch finds these shapes in Python, as slowly as a CPU computes the numbers of a small network.
# No family dilates its convolutions or transposes them.
SHAPES: dict[Any, Callable[..., Any]] = {
    CONVOLUTION: _convolved,
    LINEAR: _linear,
    aten.native_batch_norm.default: _norm,
    aten.native_layer_norm.default: _layer_norm,
    aten.upsample_bilinear2d.default: _enlarged,
    aten.mean.dim: _mean,
    **dict.fromkeys((aten.add.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.div.Scalar), _elementwise),
    **dict.fromkeys((aten.relu.default, aten.gelu.default, aten.silu.default, aten.sigmoid.default), _elementwise),
    **dict.fromkeys((aten.hardswish.default, aten.hardsigmoid.default, aten.bernoulli.p), _elementwise),
    **dict.fromkeys((aten.relu_.default, aten.silu_.default, aten.hardswish_.default, aten.add_.Tensor), _itself),
    **dict.fromkeys((aten.div_.Scalar, aten.div_.Tensor, aten.bernoulli_.float), _itself),
}
