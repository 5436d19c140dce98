"""The optimizer of the demonstration models: Muon for matrices and convolutions, AdamW for everything else."""

from __future__ import annotations

import math
from typing import Any

#: Embedding tables have more rows than this, and are left to AdamW.
_ROWS = 500


class MuonAdamW:
    """One optimizer for both kinds of weights.

    Muon orthogonalises a matrix's momentum: it needs fewer steps for the same quality, which matters on a CPU.
    """

    def __init__(self, weights: list[Any], decay: float) -> None:
        import torch

        self.weights = weights
        self.decay = decay
        self.wide = [weight for weight in weights if weight.ndim >= 2 and weight.shape[0] < _ROWS]
        chosen = {id(weight) for weight in self.wide}
        self.momentum = [torch.zeros_like(weight) for weight in self.wide]
        self.rest = torch.optim.AdamW([weight for weight in weights if id(weight) not in chosen], weight_decay=0.0)

    def step(self, loss: Any, rate: float) -> None:
        """Run one optimization step."""
        import torch

        for weight in self.weights:
            weight.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        for group in self.rest.param_groups:
            group["lr"] = rate
        self.rest.step()
        with torch.no_grad():
            for weight, momentum in zip(self.wide, self.momentum, strict=True):
                momentum.lerp_(weight.grad, 0.05)
                turn = orthogonal(weight.grad.lerp(momentum, 0.95).flatten(1))
                weight.mul_(1 - rate * self.decay)
                weight.add_(turn.view_as(weight), alpha=-rate * 0.2 * math.sqrt(max(turn.shape)))


def orthogonal(matrix: Any) -> Any:
    """Return the matrix with all singular values near one, by five Newton-Schulz iterations."""
    tall = matrix.shape[0] > matrix.shape[1]
    found = matrix.T if tall else matrix
    found = found / (found.norm() + 1e-7)
    for _ in range(5):
        square = found @ found.T
        found = 3.4445 * found + (-4.775 * square + 2.0315 * square @ square) @ found
    return found.T if tall else found


class MovingAverage:
    """Exponential moving average of the weights, which gives better images than the weights themselves."""

    def __init__(self, weights: list[Any]) -> None:
        self.weights = weights
        self.kept = [weight.detach().clone() for weight in weights]

    def update(self, step: int) -> None:
        """Update the average after a step."""
        for kept, weight in zip(self.kept, self.weights, strict=True):
            kept.lerp_(weight.detach(), 1 - min(0.997, (1 + step) / (10 + step)))

    def swap(self) -> None:
        """Swap average and weights."""
        for kept, weight in zip(self.kept, self.weights, strict=True):
            last = weight.detach().clone()
            weight.detach().copy_(kept)
            kept.copy_(last)
