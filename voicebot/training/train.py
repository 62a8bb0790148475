"""The training loop: Muon for matrices, AdamW for the table and norms, averaged weights, checkpoints that can go on.

Muon (Jordan et al., 2024; see `muon.py`) needs about half the tokens that AdamW alone does here,
which matters on two processor cores.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from voicebot.training.batches import Batch
from voicebot.training.model import Talker
from voicebot.training.muon import Muon
from voicebot.training.shape import Shape

CHECKPOINT_EVERY_S = 60.0
SAY_EVERY = 20
"""Steps."""
AVERAGE_DECAY = 0.995
WARM_UP = 0.02
COOL_DOWN_FROM = 0.3
"""Share of the run after which the learning rate falls, linearly, to a twentieth."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One run. It ends at `steps` or after `minutes`, whichever is first; the schedule follows the nearer end."""

    steps: int
    minutes: float
    matrix_rate: float = 0.02
    table_rate: float = 0.003
    weight_decay: float = 0.02
    bf16: bool = False
    """Products in bfloat16: faster on every GPU, twice as fast where the processor has units for it (avx512_bf16,
    amx_bf16), far slower where it has none."""
    device: str = "cpu"


def learning_share(progress: float) -> float:
    """Multiplier of the learning rates at `progress` 0..1 of the run."""
    if progress < WARM_UP:
        return progress / WARM_UP
    if progress < COOL_DOWN_FROM:
        return 1.0
    return 0.05 + 0.95 * (1.0 - (progress - COOL_DOWN_FROM) / (1.0 - COOL_DOWN_FROM))


def optimizers(model: Talker, recipe: Recipe) -> list[torch.optim.Optimizer]:
    named = list(model.named_parameters())
    matrices = [weight for name, weight in named if weight.dim() == 2 and "embed" not in name]
    others = [weight for name, weight in named if weight.dim() != 2 or "embed" in name]
    return [
        Muon(matrices, lr=recipe.matrix_rate, weight_decay=recipe.weight_decay, bf16=recipe.bf16),
        torch.optim.AdamW(others, lr=recipe.table_rate, betas=(0.9, 0.97), weight_decay=0.0),
    ]


def loss_of(model: Talker, batch: Batch) -> Tensor:
    """Weighted mean cross entropy over the learned tokens, on the model's device."""
    device = model.embed.weight.device
    ids = torch.from_numpy(batch.ids).to(device)
    weights = torch.from_numpy(batch.weights[:, 1:]).to(device)
    wanted = weights > 0
    logits = model.logits(model(ids[:, :-1], wanted))
    losses = functional.cross_entropy(logits, ids[:, 1:][wanted], reduction="none")
    return (losses * weights[wanted]).sum() / weights.sum()


def train(
    model: Talker, batches: Iterator[Batch], recipe: Recipe, folder: Path, say: Callable[[str], None]
) -> dict[str, float]:
    """Run the recipe; `folder` receives `model.pt` (averaged weights). Returns the figures that were said last."""
    model.to(recipe.device)
    average = {name: value.clone() for name, value in model.state_dict().items()}
    steppers = optimizers(model, recipe)
    rates = [stepper.param_groups[0]["lr"] for stepper in steppers]
    begin, saved, tokens, running = time.monotonic(), 0.0, 0, Running()
    figures: dict[str, float] = {}
    for step in range(recipe.steps):
        elapsed = time.monotonic() - begin
        progress = max(step / recipe.steps, elapsed / (recipe.minutes * 60))
        if progress >= 1.0:
            break
        for stepper, rate in zip(steppers, rates, strict=True):
            stepper.param_groups[0]["lr"] = rate * learning_share(progress)
        batch = next(batches)
        running.add(_step(model, batch, steppers, recipe))
        _average(average, model, min(AVERAGE_DECAY, (step + 1) / (step + 10)))
        tokens += int(batch.ids.size)
        if step % SAY_EVERY == 0:
            figures = {"step": step, "loss": running.mean(), "tokens": tokens, "seconds": round(elapsed, 1)}
            say(json.dumps(figures | {"tokens_per_s": round(tokens / max(elapsed, 0.1))}))
        if elapsed - saved > CHECKPOINT_EVERY_S:
            saved = elapsed
            save(folder, average, model.shape)
    save(folder, average, model.shape)
    return figures


class Running:
    """The mean loss since it was last asked for: asking a GPU at every step would have it wait."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        self._losses.append(loss)

    def mean(self) -> float:
        mean = float(torch.stack(self._losses).mean())
        self._losses.clear()
        return round(mean, 4)


def _step(model: Talker, batch: Batch, steppers: list[torch.optim.Optimizer], recipe: Recipe) -> Tensor:
    with torch.autocast(torch.device(recipe.device).type, torch.bfloat16, enabled=recipe.bf16):
        loss = loss_of(model, batch)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for stepper in steppers:
        stepper.step()
        stepper.zero_grad(set_to_none=True)
    return loss.detach()


def _average(average: dict[str, Tensor], model: Talker, decay: float) -> None:
    weights = model.state_dict()
    torch._foreach_lerp_(list(average.values()), [weights[name] for name in average], 1.0 - decay)


def save(folder: Path, weights: dict[str, Tensor], shape: Shape) -> None:
    """Write weights and shape in one move, so that a killed run leaves a whole file."""
    temporary = folder / "model.pt.part"
    stored = {name: value.cpu() for name, value in weights.items()}
    torch.save({"weights": stored, "shape": asdict(shape)}, temporary)
    temporary.replace(folder / "model.pt")


def load(path: Path) -> Talker:
    stored = torch.load(path, weights_only=True)
    model = Talker(Shape(**stored["shape"]))
    model.load_state_dict(stored["weights"])
    return model
