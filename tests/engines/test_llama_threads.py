"""A decode takes the cores that nobody else wants as it begins."""

from __future__ import annotations

from pathlib import Path

import llama_cpp
import pytest

from voicebot.engines import llama_c
from voicebot.engines.llama_c import Context, ContextOptions, Model, Row


@pytest.fixture
def runnable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The system's word on who wants a core: one thread, which is the one that asks."""
    path = tmp_path / "loadavg"
    path.write_text("0.20 0.18 0.12 1/80 11206\n")
    monkeypatch.setattr(llama_c, "_RUNNABLE", path)
    monkeypatch.setattr(llama_c.os, "cpu_count", lambda: 4)
    return path


def threads_of(context: Context) -> tuple[int, int]:
    """Of one row and of several, after a decode of one."""
    assert context.decode([Row(1, 0, 0, True)])
    context.clear()
    pointer = context._pointer
    return llama_cpp.llama_n_threads(pointer), llama_cpp.llama_n_threads_batch(pointer)


@pytest.mark.parametrize(
    ("wanting", "threads", "used"),
    [
        (1, 0, (3, 4)),
        (2, 0, (3, 3)),
        (3, 0, (2, 2)),
        (9, 0, (2, 2)),
        (1, 1, (1, 1)),
        (9, 3, (3, 3)),
    ],
    ids=["nobody else", "one else", "two else", "crowded", "told one", "told three"],
)
def test_as_many_threads_as_find_a_free_core(
    models: Path, runnable: Path, wanting: int, threads: int, used: tuple[int, int]
) -> None:
    model = Model(models / "tiny.gguf", 0)
    context = Context(model, ContextOptions(64, 2, 8, threads))
    if not threads:
        context.use_threads(3, 4)
    runnable.write_text(f"0.20 0.18 0.12 {wanting}/80 11206\n")
    assert threads_of(context) == used
    context.close()
    model.close()


def test_who_is_done_in_no_time_takes_no_core_away(
    models: Path, runnable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(models / "tiny.gguf", 0)
    context = Context(model, ContextOptions(64, 2, 8))
    context.use_threads(4, 4)
    runnable.write_text("0.20 0.18 0.12 4/80 11206\n")
    slept = iter(["3/80", "1/80"])
    monkeypatch.setattr(llama_c.time, "sleep", lambda _s: runnable.write_text(f"0.20 0.18 0.12 {next(slept)} 11206\n"))
    assert threads_of(context) == (4, 4)
    assert next(slept, None) is None
    context.close()
    model.close()


def test_a_system_that_says_nothing_is_thought_to_be_free(
    models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(llama_c, "_RUNNABLE", tmp_path / "nothing here")
    monkeypatch.setattr(llama_c.os, "cpu_count", lambda: 4)
    model = Model(models / "tiny.gguf", 0)
    context = Context(model, ContextOptions(64, 2, 8))
    context.use_threads(4, 4)
    assert threads_of(context) == (4, 4)
    context.close()
    model.close()
