"""Muon: the filters of convolutions take orthogonal steps, all other weights take SGD's."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

ROUNDS = 3  # of Newton-Schulz: the singular values have to come near 1, not to reach it
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of X, XX'X and XX'XX'X: steep at zero (kellerjordan.github.io/posts/muon)
SMALLEST = 1e-7  # norm that still divides


class Muon(Optimizer):
    """Groups with `filters` true hold weights [outputs, inputs, height, width] and take orthogonal steps.

    All groups have Nesterov momentum. Filters keep the norm that they began with: they are scaled back to it before
    each step, and a step is relative to it. So one learning rate serves every layer, and pretrained weights keep their
    size. (Without this airbench94 loses 0.4 points; it scales to the root of the outputs, which behind a batch norm is
    the same.) Weight decay is decoupled from the gradient; filters, whose norm is kept, have none.

    torch.optim.Muon takes matrices only, and always computes in bfloat16: 3.3 s a step instead of 0.1 s for
    64/256/256 channels on a CPU without instructions for it (studies/results/LOG.md, 9).
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, momentum: float) -> None:
        """`lr` and `momentum` are of groups that name none."""
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "filters": False})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One step of every weight that has a gradient."""
        for group in self.param_groups:
            weights: list[Tensor] = [each for each in group["params"] if each.grad is not None]
            if not weights:
                continue
            directions = self._directions(weights, momentum=group["momentum"])
            if group["filters"]:
                self._turn(weights, directions, rate=group["lr"])
            else:
                torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(weights, directions, alpha=-group["lr"])

    def _directions(self, weights: list[Tensor], *, momentum: float) -> list[Tensor]:
        for each in weights:
            if not self.state[each]:
                self.state[each] = {"momentum_buffer": torch.zeros_like(each), "norm": torch.linalg.vector_norm(each)}
        gradients = [each.grad for each in weights if each.grad is not None]
        buffers = [self.state[each]["momentum_buffer"] for each in weights]
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_add_(buffers, gradients)
        return list(torch._foreach_add(gradients, buffers, alpha=momentum))

    def _turn(self, filters: list[Tensor], directions: list[Tensor], *, rate: float) -> None:
        norms = [self.state[each]["norm"] for each in filters]
        turned = zip(filters, norms, torch._foreach_norm(filters), orthogonal_filters(directions), strict=True)
        for each, norm, now, direction in turned:
            each.mul_(norm / now.clamp(min=SMALLEST))
            each.sub_(direction * (norm * (rate / len(each) ** 0.5)))


def orthogonal_filters(filters: Sequence[Tensor]) -> list[Tensor]:
    """Each of [outputs, inputs, height, width] made nearly orthogonal as a matrix of one row per output."""
    # Channels last, as they lie in memory: the order of a matrix's columns does not matter here.
    lying = [each.permute(0, 2, 3, 1) for each in filters]
    found = orthogonal([each.flatten(1) for each in lying])
    return [each.view_as(before).permute(0, 3, 1, 2) for each, before in zip(found, lying, strict=True)]


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Each of [rows, columns] in float32 with its singular values drawn to about 1, its singular vectors kept.

    The rounds of Newton-Schulz on X come to a polynomial of XX', found on that small square alone, times X.
    """
    # On a GPU bfloat16 is exact enough and fast; on a CPU without instructions for it, very slow.
    exact = [each.to(torch.bfloat16 if each.is_cuda else torch.float32) for each in matrices]
    wide = [each.mT if len(each) > each.shape[1] else each for each in exact]
    found = list(wide)
    for side in dict.fromkeys(map(len, wide)):  # equal squares in one product: fewer, larger kernels
        places = [place for place, each in enumerate(wide) if len(each) == side]
        factors = _polynomial(torch.stack([wide[place] @ wide[place].mT for place in places]))
        for place, factor in zip(places, factors, strict=True):
            found[place] = factor @ wide[place]
    return [(x.mT if len(x) != len(each) else x).float() for x, each in zip(found, matrices, strict=True)]


def _polynomial(squares: Tensor) -> Tensor:
    """Of XX' [N, side, side] that by which X is multiplied; it brings X to a norm of 1 first."""
    a, b, c = COEFFICIENTS
    norm = squares.diagonal(dim1=1, dim2=2).sum(1).sqrt().clamp(min=SMALLEST)[:, None, None]
    squares = squares / norm**2
    found = torch.eye(squares.shape[1], dtype=squares.dtype, device=squares.device) / norm
    for _ in range(ROUNDS):
        factor = torch.baddbmm(squares, squares, squares, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        squares, found = factor @ squares @ factor, factor @ found
    return found
