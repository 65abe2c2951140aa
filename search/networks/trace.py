"""What every layer of a network makes of a picture: shapes, receptive field, parameters, FLOPs, memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from search.candidate import Architecture
from search.networks.blocks import CHANNELS, PIXELS
from search.networks.build import build

FLOAT32 = 4  # bytes

WINDOWED = {  # the functions whose output follows (W - F + 2P)/S + 1, with the order of their arguments
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation"),
    "max_pool2d": ("input", "kernel_size", "stride", "padding", "dilation"),
    "avg_pool2d": ("input", "kernel_size", "stride", "padding"),
}
TAPS = {"bilinear": 2, "bicubic": 4}  # neighbours along a side that make one pixel of an enlarged picture

Shape = tuple[int, ...]
"""Of one image: channels, height and width, or neurons."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """What a convolution or a pooling slides over a picture, all in pixels along a side."""

    side: int  # of its input
    kernel: int  # from end to end where it is dilated
    padding: int  # on each side
    stride: int
    output: int

    @property
    def arithmetic(self) -> str:
        """(W - F + 2P)/S + 1 with its numbers; of a fraction, the whole part is left."""
        exact = (self.side - self.kernel + 2 * self.padding) / self.stride + 1
        text = f"({self.side} - {self.kernel} + 2*{self.padding})/{self.stride} + 1 = {exact:.4g}"
        return text if exact == self.output else f"{text}, so {self.output}"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One step from the image to the logits: a module without parts, or a function that a larger one calls itself."""

    name: str  # of the module; that of the whole network is empty
    kind: str  # the class of the module, or the name of the function
    input: Shape  # the largest, where there are several
    output: Shape
    window: Window | None
    receptive_field: int | None  # pixels along a side of the image that one output may depend on; None is the whole
    parameters: int  # frozen ones included; of a module that is used twice, at its first use
    flops: int  # of one image; a multiplication and its addition are two
    memory_mb: float  # of the outputs of a batch in float32, in 10^6 bytes; 0 where no new numbers are written


def trace(architecture: Architecture, *, batch_size: int, classes: int = 10) -> tuple[Layer, ...]:
    """Every layer in the order of evaluation; parameters and FLOPs add up to those of networks.count.cost.

    Raises NetworkError where the architecture is impossible.
    """
    network = build(architecture, classes=classes, seed=0, device="meta").eval()
    image = torch.empty(1, CHANNELS, PIXELS, PIXELS, device="meta")
    return layers_of(network, image, batch_size=batch_size)


@torch.no_grad()
def layers_of(network: nn.Module, image: Tensor, *, batch_size: int) -> tuple[Layer, ...]:
    """Every layer that makes something of an image [1, C, H, W]; hooks stay on the network."""
    with FlopCounterMode(display=False) as counter:
        tracer = Tracer(image, counter=counter, batch_size=batch_size)
        for name, module in network.named_modules():
            module.register_forward_pre_hook(partial(tracer.enter, name))
            module.register_forward_hook(tracer.leave)
        with tracer:
            network(image)
    assert sum(layer.flops for layer in tracer.layers) == counter.get_total_flops()
    assert sum(layer.parameters for layer in tracer.layers) == sum(map(torch.numel, network.parameters()))
    return tuple(tracer.layers)


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What each position of a tensor sees of the image.

    Counted as in textbooks: what padding adds and what an incomplete last step leaves out is not taken off.
    """

    field: float = 1  # pixels along a side; infinite where it is the whole image
    jump: float = 1  # pixels between what two neighbours see
    axes: tuple[int, ...] = (-2, -1)  # height and width, from the end; none where they are gone

    def slid(self, *, kernel: int, stride: float) -> Sight:
        """After a window of so many positions along a side."""
        return replace(self, field=self.field + (kernel - 1) * self.jump, jump=self.jump * stride)

    def sides(self, tensor: Tensor) -> Shape:
        """Positions along each side of a tensor."""
        return tuple(tensor.shape[axis] for axis in self.axes if tensor.dim() >= -min(self.axes))


@dataclass(frozen=True, kw_only=True)
class Call:
    """A module whose forward runs."""

    name: str
    whole: bool  # it has no parts, so that all that it does is one layer
    flops: int  # counted before
    windows: list[Window]


class Tracer(TorchFunctionMode):
    """Follows what comes from an image through all that is done to it."""

    def __init__(self, image: Tensor, *, counter: FlopCounterMode, batch_size: int) -> None:
        super().__init__()
        self.layers: list[Layer] = []
        self._side = image.shape[-1]
        self._counter = counter
        self._batch_size = batch_size
        self._calls: list[Call] = []
        self._known = {id(image): (image, Sight())}  # with the tensor, so that no other gets its id
        self._counted: set[int] = set()  # ids of parameters

    def enter(self, name: str, module: nn.Module, _inputs: object) -> None:
        """A module begins."""
        whole = not any(module.children())
        self._calls.append(Call(name=name, whole=whole, flops=self._counter.get_total_flops(), windows=[]))

    def leave(self, module: nn.Module, inputs: Sequence[Any], output: Any) -> None:
        """A module ends; it is a layer if it has no parts, unless it is there to do nothing."""
        call = self._calls.pop()
        if call.whole and not isinstance(module, (nn.Identity, nn.Sequential)):
            kind, window = type(module).__name__, next(iter(call.windows), None)
            self._add(kind, call, inputs=inputs, output=output, used=module.parameters(), window=window)

    def __torch_function__(
        self, func: Any, _types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run it and note what its outputs see; it is a layer itself where no module without parts called it."""
        named, name = kwargs or {}, str(getattr(func, "__name__", func))
        before = self._counter.get_total_flops()
        output = func(*args, **named)
        given, made = list(_tensors((*args, *named.values()))), list(_tensors([output]))
        seeing = [tensor for tensor in given if id(tensor) in self._known]
        if not seeing or not made:
            return output
        window = _window(name, args, named, output=made[0])
        sight = self._sight(name, args, named, seeing=seeing, output=made[0], window=window)
        for tensor in made:
            self._known[id(tensor)] = (tensor, sight)
        call = self._calls[-1]
        if call.whole:
            call.windows.extend([window] if window else [])
        elif _writes(made[0], seeing) or (name.endswith("_") and not name.endswith("__")):  # add_ writes in place
            weights = [tensor for tensor in given if isinstance(tensor, nn.Parameter)]
            call = replace(call, flops=before)
            self._add(name.strip("_"), call, inputs=seeing, output=made[0], used=weights, window=window)
        return output

    def _sight(
        self,
        name: str,
        args: Sequence[Any],
        named: Mapping[str, Any],
        *,
        seeing: Sequence[Tensor],
        output: Tensor,
        window: Window | None,
    ) -> Sight:
        """What the output sees; of several inputs, what the one that sees most does."""
        sights = [self._known[id(tensor)][1] for tensor in seeing]
        sight = Sight(
            field=max(sight.field for sight in sights),
            jump=max(sight.jump for sight in sights),
            axes=max((sight.axes for sight in sights), key=len),
        )
        if window:
            return sight.slid(kernel=window.kernel, stride=window.stride)
        if name == "permute":
            return replace(sight, axes=_moved(sight.axes, args))
        before, after = max(map(sight.sides, seeing), key=math.prod), sight.sides(output)
        if after != before and output.dim() < max(map(Tensor.dim, seeing)):
            after = ()
        if math.prod(after) == 1:  # all positions became one, or the sides are gone
            whole = math.prod(before) > 1 or sight.field >= self._side
            return Sight(field=math.inf if whole else sight.field, jump=sight.jump, axes=sight.axes if after else ())
        if name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
            ends = [(n * before[0] // after[0], -(-(n + 1) * before[0] // after[0])) for n in range(after[0])]
            kernel = max(end - start for start, end in ends)
            return sight.slid(kernel=kernel, stride=(before[0] - kernel) / (after[0] - 1))
        if name == "interpolate":
            return sight.slid(kernel=TAPS.get(named.get("mode", ""), 1), stride=before[0] / after[0])
        return sight

    def _add(
        self,
        kind: str,
        call: Call,
        *,
        inputs: Sequence[Any],
        output: Any,
        used: Iterable[nn.Parameter],
        window: Window | None,
    ) -> None:
        read = [tensor for tensor in _tensors(inputs) if id(tensor) in self._known]
        fresh = [weights for weights in used if id(weights) not in self._counted]
        self._counted.update(map(id, fresh))
        field = self._known[id(output)][1].field
        self.layers.append(
            Layer(
                name=call.name,
                kind=kind,
                input=tuple(max(read, key=torch.numel).shape[1:]),
                output=tuple(output.shape[1:]),
                window=window,
                receptive_field=None if math.isinf(field) else math.ceil(field),
                parameters=sum(map(torch.numel, fresh)),
                flops=self._counter.get_total_flops() - call.flops,
                memory_mb=FLOAT32 * output.numel() * self._batch_size / 1e6 if _writes(output, read) else 0.0,
            )
        )


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


def _writes(output: Tensor, inputs: Iterable[Tensor]) -> bool:
    """Whether an output has memory of its own."""
    return output.untyped_storage()._cdata not in {tensor.untyped_storage()._cdata for tensor in inputs}


def _window(name: str, args: Sequence[Any], named: Mapping[str, Any], *, output: Tensor) -> Window | None:
    """What a function slid over its first argument."""
    if name not in WINDOWED:
        return None
    given = dict(zip(WINDOWED[name], args, strict=False)) | dict(named)
    kernel = given["weight"].shape[-1] if name == "conv2d" else _side(given["kernel_size"])
    stride = _side(given.get("stride")) or (1 if name == "conv2d" else kernel)
    return Window(
        side=given["input"].shape[-1],
        kernel=_side(given.get("dilation", 1)) * (kernel - 1) + 1,
        padding=_side(given.get("padding", 0)),
        stride=stride,
        output=output.shape[-1],
    )


def _side(value: Any) -> int:
    """Of a width alone, or of height and width; 0 where neither is given."""
    return int(value[-1] if isinstance(value, (tuple, list)) else value or 0) if value else 0


def _moved(axes: tuple[int, ...], args: Sequence[Any]) -> tuple[int, ...]:
    """Where these axes, counted from the end, are after `permute`."""
    order = [axis % args[0].dim() for axis in (args[1] if isinstance(args[1], (tuple, list)) else args[1:])]
    return tuple(order.index(axis % len(order)) - len(order) for axis in axes)
