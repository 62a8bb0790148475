"""The training loop on a tiny model: it learns, keeps averaged weights, and its optimizer works in batches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from voicebot.training import train  # noqa: E402
from voicebot.training.batches import Batch  # noqa: E402
from voicebot.training.model import Talker  # noqa: E402
from voicebot.training.muon import orthogonal  # noqa: E402
from voicebot.training.shape import Shape  # noqa: E402

TINY = Shape(vocabulary=50, width=32, layers=2, heads=4, kv_heads=2, feed_forward=64, context=64)


def batches() -> Iterator[Batch]:
    ids = np.random.default_rng(1).integers(0, 50, (8, 12))
    return repeat(Batch(ids, np.ones(ids.shape, np.float32)))


def test_a_model_learns_what_it_is_shown_and_is_kept(tmp_path: Path) -> None:
    torch.manual_seed(1)
    lines: list[str] = []
    figures = train.train(Talker(TINY), batches(), train.Recipe(81, 60, matrix_rate=0.02), tmp_path, lines.append)
    assert figures["step"] == 80
    assert figures["loss"] < 2.0 < np.log(50)
    kept = train.load(tmp_path / "model.pt")
    with torch.no_grad():
        assert float(train.loss_of(kept, next(batches()))) < 2.0


def test_dropout_changes_only_training() -> None:
    torch.manual_seed(1)
    model = Talker(TINY)
    ids = torch.from_numpy(next(batches()).ids)
    model.dropout = 0.5
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    plain = model(ids)
    model.dropout = 0.0
    assert torch.equal(model(ids), plain)


@pytest.mark.parametrize("size", [(3, 16, 8), (2, 8, 16), (1, 8, 8)])
def test_each_matrix_of_a_batch_is_made_nearly_orthogonal_alone(size: tuple[int, int, int]) -> None:
    torch.manual_seed(1)
    matrices = torch.randn(size) * torch.tensor([1.0, 100.0, 0.01][: size[0]])[:, None, None]
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert 0.5 < float(values.min()) <= float(values.max()) < 1.5
    alone = torch.cat([orthogonal(one[None]) for one in matrices])
    assert torch.allclose(orthogonal(matrices), alone, atol=1e-4)
