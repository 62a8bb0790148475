"""Distils the router's sentence encoder from a sentence model: needs torch, a machine with minutes, and never a caller.

    python -m voicebot.training.router_base --vocabulary VOCAB.json --vectors VECTORS.npy --texts TEXTS.json
        --targets TARGETS.npy --out models/router/encoder.npz

`VOCAB.json` is the teacher's word pieces in order, `VECTORS.npy` its output for each piece alone (float[pieces, n]),
`TEXTS.json` a list of sentences and `TARGETS.npy` the teacher's unit vectors for them (float[sentences, size]). The
student starts from the teacher's own vectors, reduced by PCA, and learns to point where the teacher points.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from voicebot.brain.router_encoder import Encoder

WIDTH, HIDDEN = 192, 384
BATCH, EPOCHS, PEAK_RATE = 256, 10, 2e-3
PIECE_DROPOUT = 0.1
"""Pieces lost at random in training: recognisers lose words."""
_KEPT = re.compile(r"(##)?[a-z0-9]+|'")


class Student(nn.Module):  # type: ignore[misc]
    """The encoder of `brain.router_encoder` with gradients; index 0 is padding."""

    def __init__(self, vectors: torch.Tensor, size: int) -> None:
        super().__init__()
        self.table = nn.Embedding.from_pretrained(vectors, freeze=False, padding_idx=0)
        self.conv = nn.Linear(3 * WIDTH, HIDDEN)
        self.out = nn.Linear(2 * HIDDEN + WIDTH, size)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """`ids` int[batch, length] -> float[batch, size], unit vectors."""
        there = (ids > 0).float().unsqueeze(-1)
        count = there.sum(1).clamp(min=1)
        vectors = self.table(ids)
        padded = nn.functional.pad(vectors, (0, 0, 1, 1))
        windows = torch.cat([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], -1)
        hidden = torch.relu(self.conv(windows)) * there
        pooled = torch.cat([hidden.sum(1) / count, hidden.amax(1), vectors.sum(1) / count], -1)
        return nn.functional.normalize(self.out(pooled), dim=-1)


def kept_pieces(vocabulary: list[str]) -> list[int]:
    """Indices of the pieces that an English transcript can hold."""
    return [at for at, piece in enumerate(vocabulary) if _KEPT.fullmatch(piece)]


def reduced(vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """PCA to WIDTH dimensions, rows of length 1."""
    centred = vectors - vectors.mean(0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :WIDTH]
    projected = centred @ axes
    return np.asarray(projected / np.linalg.norm(projected, axis=1, keepdims=True), np.float32)


def train(student: Student, ids: torch.Tensor, targets: torch.Tensor, epochs: int) -> None:
    """Cosine loss; rate rises for a twentieth and then falls linearly to nothing. Texts are sorted by length in
    batches so that little is padding."""
    generator = torch.Generator().manual_seed(1)
    rates = [{"params": student.table.parameters(), "lr": PEAK_RATE},
             {"params": [*student.conv.parameters(), *student.out.parameters()], "lr": PEAK_RATE}]  # fmt: skip
    optimiser = torch.optim.Adam(rates)
    total = epochs * (len(ids) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / (total / 20), max(0.0, 1 - step / total))
    )
    lengths = (ids > 0).sum(1)
    for epoch in range(epochs):
        order = torch.argsort(lengths + torch.rand(len(ids), generator=generator) * 3)
        batches = torch.randperm(len(ids) // BATCH, generator=generator)
        summed = 0.0
        for batch in batches:
            rows = order[batch * BATCH : (batch + 1) * BATCH]
            shown = ids[rows][:, : int(lengths[rows].max())]
            lost = torch.rand(shown.shape, generator=generator) < PIECE_DROPOUT
            shown = torch.where(lost, torch.zeros_like(shown), shown)
            loss = (1 - (student(shown) * targets[rows]).sum(-1)).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            summed += float(loss)
        print(f"epoch {epoch + 1}: 1 - cosine {summed / len(batches):.4f}", flush=True)  # noqa: T201


def saved(student: Student, pieces: list[str], file: Path) -> None:
    """Write the encoder: the table as int8 with a scale per piece, the rest as float16."""
    table = student.table.weight.detach().numpy()[1:]
    scale = np.abs(table).max(1) / 127 + 1e-12
    np.savez_compressed(
        file,
        pieces=np.frombuffer("\n".join(pieces).encode(), np.uint8),
        table=np.round(table / scale[:, None]).astype(np.int8),
        scale=scale.astype(np.float32),
        conv=student.conv.weight.detach().numpy().T.astype(np.float16),
        conv_bias=student.conv.bias.detach().numpy().astype(np.float16),
        out=student.out.weight.detach().numpy().T.astype(np.float16),
        out_bias=student.out.bias.detach().numpy().astype(np.float16),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name in ("vocabulary", "vectors", "texts", "targets", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    given = parser.parse_args()
    torch.manual_seed(1)
    vocabulary = json.loads(given.vocabulary.read_text("utf-8"))
    kept = kept_pieces(vocabulary)
    pieces = [vocabulary[at] for at in kept]
    vectors = reduced(np.load(given.vectors)[kept])
    targets = torch.from_numpy(np.load(given.targets).astype(np.float32))
    student = Student(torch.from_numpy(np.concatenate([np.zeros((1, WIDTH), np.float32), vectors])), targets.shape[1])
    nothing = np.zeros(0, np.float32)
    splitter = Encoder(
        {piece: at for at, piece in enumerate(pieces)},
        nothing.astype(np.int8),
        nothing,
        nothing,
        nothing,
        nothing,
        nothing,
    )
    rows = [splitter.pieces(text) for text in json.loads(given.texts.read_text("utf-8"))]
    ids = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.long)
    for row, found in zip(ids, rows, strict=True):
        row[: len(found)] = torch.tensor(found) + 1
    train(student, ids, targets, given.epochs)
    saved(student, pieces, given.out)


if __name__ == "__main__":
    main()
