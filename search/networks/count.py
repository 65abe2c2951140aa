"""What a network costs, counted on the real network without memory or arithmetic."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from search.candidate import OPTIMIZERS, Architecture, Recipe
from search.description import ImageShape
from search.networks.build import build

aten = torch.ops.aten

IMAGES = 2  # counted at once: in training, batch norm refuses one image of one pixel
FLOAT32 = 4  # bytes of a number: weights and gradients are kept in it
REMEMBERED = 4096  # architectures; a search asks for the same one again when it is trained, confirmed and reported


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Size and work of one network."""

    parameters: int  # frozen ones included
    flops: int  # of one image's forward pass; a multiplication and its addition are two
    activations: int  # bytes that one image's forward pass keeps for the backward pass in float32, without parameters

    def training_bytes(self, recipe: Recipe) -> int:
        """Weights, gradients, the optimiser's moments, the averaged weights, and what a batch's forward pass keeps.

        Not counted: what the device's libraries take. In half precision the activations need half of theirs.
        """
        copies = 2 + OPTIMIZERS[recipe.optimizer].moments + recipe.averaging
        return FLOAT32 * copies * self.parameters + self.activations * recipe.batch_size


@lru_cache(REMEMBERED)
def cost(architecture: Architecture, *, images: ImageShape) -> Cost:
    """Build the network on the meta device and count. Raises NetworkError where the architecture is impossible."""
    network = build(architecture, images=images, seed=0, device="meta")
    parameters = list(network.parameters())
    # torch has one object for each storage as long as it is held, so its id identifies it
    own = {id(storage): storage for part in (*parameters, *network.buffers()) for storage in [part.untyped_storage()]}
    saved: dict[int, UntypedStorage] = {}

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if id(storage) not in own:
            saved[id(storage)] = storage
        return tensor

    with FlopCounter() as counter, saved_tensors_hooks(save, lambda tensor: tensor):
        network(torch.empty(IMAGES, images.channels, images.side, images.side, device="meta"))
    return Cost(
        parameters=sum(weights.numel() for weights in parameters),
        flops=counter.flops // IMAGES,
        activations=sum(storage.nbytes() for storage in saved.values()) // IMAGES,
    )


class FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums the FLOPs of all calls by torch's formulas.

    torch's FlopCounterMode has the same sums, but lets torch find each shape on the meta device in Python, which makes
    a network take 3 to 8 times as long, and `spaces check` with it.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing here is compiled, and to say so torch would import seconds of itself

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        shape = SHAPES.get(func)
        output = shape(*args) if shape else None
        if output is None:
            output = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=output)
        return output


def _empty(*sizes: int) -> Tensor:
    return torch.empty(sizes, device="meta")  # empty_like is as slow as what it would replace


def _convolution(
    images: Tensor, filters: Tensor, _: Any, stride: list[int], padding: list[int], dilation: list[int], *__: Any
) -> Tensor | None:
    if max(dilation) > 1:
        return None
    geometry = zip(images.shape[2:], filters.shape[2:], stride, padding, strict=True)
    sides = ((side + 2 * pad - kernel) // step + 1 for side, kernel, step, pad in geometry)
    return _empty(images.shape[0], filters.shape[0], *sides)


def _batch_norm(images: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return _empty(*images.shape), _empty(images.shape[1]), _empty(images.shape[1])


def _elementwise(one: Tensor, other: Any = None, *_: Any) -> Tensor | None:
    if not isinstance(other, Tensor) or other.shape == one.shape:
        return _empty(*one.shape)
    return _empty(*map(max, one.shape, other.shape)) if other.dim() == one.dim() else None


def _mean(images: Tensor, axes: list[int], keep: bool = False) -> Tensor | None:
    if images.dim() != 4 or {axis % 4 for axis in axes} != {2, 3}:
        return None
    return _empty(*images.shape[:2], *(1, 1) * keep)


# What the shipped families call, none a transposed convolution; what is not here, or whose shape is None, torch finds.
SHAPES: dict[Any, Callable[..., Any]] = {
    aten.convolution.default: _convolution,
    aten.native_batch_norm.default: _batch_norm,
    aten.mean.dim: _mean,
    aten.addmm.default: lambda _, inputs, weights: _empty(inputs.shape[0], weights.shape[1]),
    aten.upsample_bilinear2d.default: lambda images, sides, *_: _empty(*images.shape[:2], *sides),
    **dict.fromkeys((aten.add.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.div.Scalar), _elementwise),
    **dict.fromkeys((aten.relu.default, aten.gelu.default, aten.silu.default, aten.sigmoid.default), _elementwise),
    **dict.fromkeys((aten.hardswish.default, aten.hardsigmoid.default, aten.bernoulli.p), _elementwise),
    **dict.fromkeys((aten.relu_.default, aten.silu_.default, aten.hardswish_.default), lambda given: given),
    **dict.fromkeys((aten.add_.Tensor, aten.div_.Scalar, aten.bernoulli_.float), lambda given, *_: given),
}
