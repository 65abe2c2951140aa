"""What every layer of a network makes of an image: shapes, receptive field, parameters, FLOPs, memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from search.candidate import Architecture
from search.description import ImageShape
from search.networks.build import build
from search.networks.count import FlopCounter

FLOAT32 = 4  # bytes
RESIZING = ("interpolate", "adaptive_avg_pool2d", "adaptive_max_pool2d")
TAPS = {"bilinear": 2, "bicubic": 4}  # neighbours along a side that make one pixel of an enlarged image

Shape = tuple[int, ...]
"""Of one image: channels, height and width, or neurons."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A module without parts; or one with parts that has weights of its own or does work outside of its parts."""

    name: str  # of the module; that of the whole network is empty
    kind: str  # the class of the module
    input: Shape
    output: Shape
    arithmetic: str | None  # of a side of the output, where a window slides over the input
    receptive_field: int | None  # pixels along a side of the image that one output may depend on; None is the whole
    parameters: int  # frozen ones included; of a module that is used twice, at its first use
    flops: int  # of one image; a multiplication and its addition are two
    memory_mb: float  # of the outputs of a batch in float32, in 10^6 bytes; 0 where no new numbers are written


def trace(architecture: Architecture, *, images: ImageShape, batch_size: int) -> tuple[Layer, ...]:
    """Every layer in the order of evaluation; parameters and FLOPs add up to those of networks.count.cost.

    Raises NetworkError where the architecture is impossible.
    """
    network = build(architecture, images=images, seed=0, device="meta").eval()
    image = torch.empty(1, images.channels, images.side, images.side, device="meta")
    return layers_of(network, image, batch_size=batch_size)


@torch.no_grad()
def layers_of(network: nn.Module, image: Tensor, *, batch_size: int) -> tuple[Layer, ...]:
    """Every layer that an image [1, C, H, W] passes; hooks stay on the network."""
    with FlopCounter() as counter:
        tracer = Tracer(image, counter=counter, batch_size=batch_size)
        for name, module in network.named_modules():
            module.register_forward_pre_hook(tracer.enter)
            module.register_forward_hook(partial(tracer.leave, name))
        with tracer:
            network(image)
    return tuple(tracer.layers)


@dataclass(frozen=True)
class ReceptiveField:
    """What each position of a tensor depends on.

    Counted as in textbooks: what padding adds and what an incomplete last step leaves out is not taken off.
    """

    size: float = 1  # pixels of the image along a side; infinite where it is the whole image
    jump: float = 1  # pixels of the image between two neighbours

    def after(self, kernel: int, stride: float) -> ReceptiveField:
        """What each position depends on after a window of so many positions along a side."""
        return ReceptiveField(self.size + (kernel - 1) * self.jump, self.jump * stride)


class Tracer(TorchFunctionMode):
    """Follows what depends on the image through all calls; the hooks of modules make layers of them."""

    def __init__(self, image: Tensor, *, counter: FlopCounter, batch_size: int) -> None:
        super().__init__()
        self.layers: list[Layer] = []
        self._side = image.shape[-1]
        self._counter = counter
        self._batch_size = batch_size
        self._starts: list[tuple[int, int]] = []  # of the running modules: FLOPs and layers before them
        self._fields = {id(image): (image, ReceptiveField())}  # with the tensor, so that no other gets its id
        self._parameters: set[nn.Parameter] = set()  # that a layer has already

    def enter(self, _module: nn.Module, _inputs: object) -> None:
        """A module begins."""
        self._starts.append((self._counter.flops, len(self.layers)))

    def leave(self, name: str, module: nn.Module, inputs: Sequence[Tensor], output: Tensor) -> None:
        """A module ends."""
        flops_before, layers_before = self._starts.pop()
        flops = self._counter.flops - flops_before - sum(layer.flops for layer in self.layers[layers_before:])
        parameters = set(module.parameters(recurse=False)) - self._parameters
        parts = any(module.children())
        if isinstance(module, nn.Identity | nn.Sequential) or (parts and not parameters and not flops):
            return
        arithmetic = None
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            kernel, padding, stride = _window(module)
            arithmetic = _arithmetic(inputs[0].shape[-1], kernel, padding, stride, output.shape[-1])
            self._fields[id(output)] = (output, self._fields[id(inputs[0])][1].after(kernel, stride))
        seen = self._fields[id(output)][1].size
        storage = output.untyped_storage()
        written = not parts and all(tensor.untyped_storage() is not storage for tensor in inputs)
        self._parameters |= parameters
        self.layers.append(
            Layer(
                name=name,
                kind=type(module).__name__,
                input=tuple(inputs[0].shape[1:]),
                output=tuple(output.shape[1:]),
                arithmetic=arithmetic,
                receptive_field=None if math.isinf(seen) else math.ceil(seen),
                parameters=sum(map(torch.numel, parameters)),
                flops=flops,
                memory_mb=FLOAT32 * output.numel() * self._batch_size / 1e6 if written else 0.0,
            )
        )

    def __torch_function__(
        self, func: Any, _types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run a function and note what its output depends on: the most that one of its inputs does."""
        named = kwargs or {}
        output = func(*args, **named)
        flat = [part for value in (*args, *named.values()) for part in (value if isinstance(value, list) else [value])]
        inputs = [value for value in flat if id(value) in self._fields]
        if inputs and isinstance(output, Tensor):
            field = max((self._fields[id(tensor)][1] for tensor in inputs), key=lambda field: field.size)
            before, after = max(map(_positions, inputs)), _positions(output)
            if after == 1 and (before > 1 or field.size >= self._side):
                field = replace(field, size=math.inf)
            elif getattr(func, "__name__", "") in RESIZING and after > 1:
                stride = math.sqrt(before / after)
                field = field.after(TAPS.get(named.get("mode", ""), math.ceil(stride)), stride)
            self._fields[id(output)] = (output, field)
        return output


def _positions(tensor: Tensor) -> int:
    return math.prod(tensor.shape[2:]) if tensor.dim() == 4 else 1


def _window(module: nn.Module) -> tuple[int, int, int]:
    """Along a side: the kernel from end to end, the padding on each side, and the stride."""
    fields: list[Any] = [getattr(module, name, 1) for name in ("kernel_size", "dilation", "padding", "stride")]
    kernel, dilation, padding, stride = (value[-1] if isinstance(value, tuple) else value for value in fields)
    kernel = dilation * (kernel - 1) + 1
    return kernel, {"valid": 0, "same": (kernel - 1) // 2}.get(padding, padding), stride


def _arithmetic(side: int, kernel: int, padding: int, stride: int, output: int) -> str:
    """(W - F + 2P)/S + 1 with its numbers; a fraction is rounded as the layer does."""
    exact = (side - kernel + 2 * padding) / stride + 1
    text = f"({side} - {kernel} + 2*{padding})/{stride} + 1 = {exact:.4g}"
    return text if exact == output else f"{text}, so {output}"
