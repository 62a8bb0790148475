from __future__ import annotations

from pathlib import Path

import pytest

from voicebot.machine import Machine, free_memory_mb, total_memory_mb, usable_cores
from voicebot.models import load_manifest
from voicebot.sizes import DRIVERS, SIZED, Choice, best, best_or_smallest, fits, recommended


@pytest.mark.parametrize(
    ("machine", "stt", "llm"),
    [
        (Machine(1, 2000), "tiny.en", "smollm2-360m"),
        (Machine(1, 64_000), "tiny.en", "smollm2-360m"),
        (Machine(2, 2000), "tiny.en", "smollm2-360m"),
        (Machine(2, 4000), "base.en", "qwen3-0.6b"),
        (Machine(2, 64_000), "base.en", "qwen3-0.6b"),
        (Machine(4, 4000), "small.en", "smollm2-1.7b"),
        (Machine(4, 8000), "small.en", "qwen3-1.7b"),
        (Machine(8, 16_000), "small.en", "qwen3-1.7b"),
        (Machine(16, 32_000), "distil-large-v3", "qwen3-4b"),
        (Machine(8, 16_000, gpu_mb=8192), "distil-large-v3", "qwen3-4b"),
        (Machine(2, 4000, gpu_mb=24_576), "distil-large-v3", "qwen3-8b"),
    ],
    ids=str,
)
def test_cores_memory_and_gpu_choose_the_sizes(machine: Machine, stt: str, llm: str) -> None:
    chosen = recommended(load_manifest(), machine)
    assert {kind: choice.name for kind, choice in chosen.items()} == {
        "stt": stt,
        "llm": llm,
        "tts": "en_US-lessac-medium",
    }
    assert fits(list(chosen.values()), machine)


def test_nothing_is_recommended_where_no_whole_set_fits() -> None:
    assert recommended(load_manifest(), Machine(8, 1000)) == {}
    assert recommended({}, Machine(8, 64_000)) == {}


def test_only_the_kinds_that_are_asked_for_share_the_memory() -> None:
    assert recommended(load_manifest(), Machine(4, 4000), ["llm"])["llm"].name == "qwen3-1.7b"


def test_more_of_a_machine_never_means_a_worse_set() -> None:
    manifest = load_manifest()
    for cores in (1, 2, 4, 8, 16):
        ranks = [
            sum(choice.rank for choice in recommended(manifest, Machine(cores, memory_mb)).values())
            for memory_mb in range(500, 12_000, 250)
        ]
        assert ranks == sorted(ranks)


def test_every_recommended_model_is_of_a_driver_that_the_profile_runs_and_has_a_rank_of_its_own() -> None:
    ranked = [model for model in load_manifest().values() if model.rank]
    assert {model.scheme for model in ranked} == set(DRIVERS)
    assert {model.kind for model in ranked} == set(SIZED)
    assert len({(model.kind, model.rank) for model in ranked}) == len(ranked)


def test_a_model_without_a_number_of_cores_runs_only_on_a_gpu() -> None:
    model = Choice("large", "llm", 2000, None, 1)
    assert not fits([model], Machine(64, 64_000))
    assert fits([model], Machine(1, 1000, gpu_mb=4000))


def test_among_equals_the_larger_wins_and_where_nothing_fits_the_smallest() -> None:
    small, large = Choice("small", "llm", 500, 1, 0), Choice("large", "llm", 5000, 1, 0)
    assert best([small, large], Machine(1, 8000)) == {"llm": large}
    assert best([small, large], Machine(1, 2000)) == {"llm": small}
    assert best([large], Machine(1, 2000)) == {}
    assert best_or_smallest([large, small], Machine(1, 100)) == {"llm": small}


def test_a_containers_limits_are_the_machines(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "memory.max").write_text(f"{64 << 20}\n")
    (tmp_path / "memory.current").write_text(f"{24 << 20}\n")
    assert (usable_cores(tmp_path), total_memory_mb(tmp_path), free_memory_mb(tmp_path)) == (1, 64, 40)


def test_without_limits_the_whole_machine_counts_and_free_memory_is_what_the_system_says(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  99999999 kB\nMemAvailable:   20480 kB\n")
    assert usable_cores(tmp_path) == usable_cores(tmp_path / "none") >= 1
    assert total_memory_mb(tmp_path) == total_memory_mb(tmp_path / "none")
    assert free_memory_mb(tmp_path, meminfo) == 20
    assert free_memory_mb(tmp_path, tmp_path / "none") == total_memory_mb(tmp_path)
