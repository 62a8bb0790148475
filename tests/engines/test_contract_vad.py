"""What every voice activity driver must do."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.engines.conftest import Garage, in_another_thread
from voicebot.engines import registry
from voicebot.engines.base import Pcm, VadEngine
from voicebot.errors import EngineUnavailable

WINDOW = 512


@pytest.fixture(params=["silero://", "scripted://"])
def vad(request: pytest.FixtureRequest, garage: Garage) -> VadEngine:
    return garage.loaded("vad", request.param)


def windows(pcm: Pcm) -> list[Pcm]:
    return [pcm[start : start + WINDOW] for start in range(0, len(pcm) - WINDOW + 1, WINDOW)]


@pytest.fixture
def phrase(spoken: dict[str, tuple[str, Pcm]]) -> Pcm:
    return spoken["what_time_is_it.wav"][1]


def test_speech_is_probable_and_silence_is_not(vad: VadEngine, phrase: Pcm) -> None:
    stream = vad.open_stream()
    quiet = [stream.probability(np.zeros(WINDOW, dtype=np.int16)) for _ in range(20)]
    heard = [stream.probability(window) for window in windows(phrase)]
    assert max(quiet) < 0.3
    assert max(heard) > 0.9
    assert np.mean(np.array(heard) > 0.5) > 0.3
    assert all(isinstance(value, float) and 0.0 <= value <= 1.0 for value in quiet + heard)


def test_streams_do_not_disturb_one_another_and_reset_forgets(vad: VadEngine, phrase: Pcm) -> None:
    alone = vad.open_stream()
    expected = [alone.probability(window) for window in windows(phrase)]
    one, other = vad.open_stream(), vad.open_stream()
    mixed = []
    for window in windows(phrase):
        mixed.append(one.probability(window))
        other.probability(window[::-1])
    assert mixed == expected
    other.reset()
    assert [other.probability(window) for window in windows(phrase)] == expected


def test_windows_of_many_streams_at_once_are_judged_as_each_would_be_alone(vad: VadEngine, phrase: Pcm) -> None:
    said = windows(phrase)
    steps = list(zip(said, said[::-1], said[7:] + said[:7], strict=True))
    alone = [vad.open_stream() for _ in range(3)]
    expected = [[stream.probability(window) for stream, window in zip(alone, step, strict=True)] for step in steps]
    streams = [vad.open_stream() for _ in range(3)]
    heard = []
    for number, step in enumerate(steps):
        together = 3 - number % 3  # All three, two, one: the others are then alone.
        heard.append(vad.probabilities(streams[:together], step[:together]))
        heard[-1] += [streams[at].probability(step[at]) for at in range(together, 3)]
    assert np.abs(np.array(heard) - np.array(expected)).max() < 1e-3
    assert np.ptp(np.array(expected)) > 0.5


def test_a_stream_works_on_a_thread_other_than_the_loaders(vad: VadEngine, phrase: Pcm) -> None:
    expected = vad.open_stream().probability(phrase[:WINDOW])
    assert in_another_thread(lambda: vad.open_stream().probability(phrase[:WINDOW])) == expected


@pytest.mark.parametrize("url", ["silero://", "scripted://"])
def test_loading_and_closing_twice_is_safe_and_it_works_again_after(url: str) -> None:
    engine = registry.create("vad", url)
    engine.close()
    for _ in range(2):
        engine.load()
        engine.load()
        assert engine.open_stream().probability(np.zeros(WINDOW, dtype=np.int16)) < 0.3
        engine.close()
        engine.close()


def test_noise_that_is_not_speech_is_improbable_to_silero(garage: Garage) -> None:
    stream = garage.loaded("vad", "silero://").open_stream()
    noise = np.random.default_rng(1).normal(0, 2000, WINDOW * 40).astype(np.int16)
    assert np.mean([stream.probability(window) for window in windows(noise)]) < 0.3


def test_a_missing_or_broken_model_is_unavailable_and_names_its_path(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x01 not a model")
    for path in (tmp_path / "missing.onnx", broken):
        engine = registry.create("vad", f"silero://{path}")
        with pytest.raises(EngineUnavailable, match=path.name):
            engine.load()
        engine.close()


@pytest.mark.realtime
def test_a_silero_window_costs_far_less_than_its_32_ms(garage: Garage) -> None:
    stream = garage.loaded("vad", "silero://").open_stream()
    window = np.zeros(WINDOW, dtype=np.int16)
    costs_ms = []
    for _ in range(200):
        started = time.perf_counter()
        stream.probability(window)
        costs_ms.append((time.perf_counter() - started) * 1000)
    assert float(np.median(costs_ms)) < 2.0


@pytest.mark.realtime
def test_eight_silero_windows_together_cost_less_than_eight_alone(garage: Garage) -> None:
    """Measured: half hot, a quarter where the processor has slept in between."""
    vad = garage.loaded("vad", "silero://")
    streams = [vad.open_stream() for _ in range(8)]
    quiet = [np.zeros(WINDOW, dtype=np.int16)] * 8

    def cost_s(judge: Callable[[], object]) -> float:
        costs = []
        for _ in range(100):
            began = time.thread_time()
            judge()
            costs.append(time.thread_time() - began)
        return float(np.median(costs))

    alone = cost_s(lambda: [stream.probability(quiet[0]) for stream in streams])
    assert cost_s(lambda: vad.probabilities(streams, quiet)) < 0.8 * alone
