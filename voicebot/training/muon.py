"""Muon: momentum whose matrix is made nearly orthogonal before it is applied, in float32 or bfloat16.

torch.optim.Muon does the same always in bfloat16, which processors without bf16 units run a hundred times slower, and
one matrix at a time, which keeps no GPU busy.
Source: Jordan et al., 2024, "Muon: an optimizer for hidden layers in neural networks"; coefficients from there.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonal(matrices: Tensor, bf16: bool = False) -> Tensor:
    """Push the singular values of each of float32[k, m, n] towards one by a quintic Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x.bfloat16() if bf16 else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """Nesterov momentum, orthogonalised, scaled to AdamW-like update sizes; decoupled weight decay."""

    def __init__(
        self, matrices: Iterable[Tensor], lr: float, weight_decay: float, momentum: float = 0.95, bf16: bool = False
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self._bf16 = bf16

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    alike.setdefault(weight.shape, []).append(weight)
            for weights in alike.values():
                self._move(weights, group)

    def _move(self, weights: list[Tensor], group: dict[str, float]) -> None:
        """Matrices of one size, in one batch: a GPU has little to do for each."""
        for weight in weights:
            if "momentum" not in self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        gradients = [weight.grad for weight in weights]
        momenta = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        ahead = torch.stack(torch._foreach_lerp(gradients, momenta, group["momentum"]))
        scale = max(1.0, ahead.shape[1] / ahead.shape[2]) ** 0.5
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(weights, list(orthogonal(ahead, self._bf16)), alpha=-group["lr"] * scale)
