"""What every end-of-turn driver must do, and what each of them is for.

Smart Turn's own weights are used where `VOICEBOT_SMART_TURN` names them; otherwise a tiny model of the same shape.
"""

from __future__ import annotations

import os
import wave
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.engines.conftest import Garage, in_another_thread
from voicebot.core.audio import EMPTY, mulaw_decode, mulaw_encode, resampler
from voicebot.engines import registry
from voicebot.engines.base import Pcm, TurnEngine
from voicebot.engines.turn_smart import FRAMES, MELS, SAMPLES, whisper_features
from voicebot.engines.turn_text import TextWeights, rows_of, words_of
from voicebot.errors import ConfigError, EngineBadOutput, EngineUnavailable

DRIVERS = ("text", "smart", "fused")


def write_smart(path: Path, outputs: int = 1, gain: float = 4.0) -> Path:
    """A stand-in for Smart Turn: the mean of the last features, squashed."""
    nodes = [
        helper.make_node("ReduceMean", ["input_features"], ["mean"], axes=[1, 2], keepdims=1),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Mul", ["flat", "gain"], ["scaled"]),
        helper.make_node("Sigmoid", ["scaled"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "smart",
        [helper.make_tensor_value_info("input_features", TensorProto.FLOAT, ["batch", MELS, FRAMES])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", outputs])],
        [helper.make_tensor("gain", TensorProto.FLOAT, [1, outputs], [gain] * outputs)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="session")
def smart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_smart(tmp_path_factory.mktemp("turn") / "smart.onnx")


def url(driver: str, smart: Path) -> str:
    return "text://" if driver == "text" else f"{driver}://{smart}"


@pytest.fixture(params=DRIVERS)
def engine(request: pytest.FixtureRequest, garage: Garage, smart: Path) -> TurnEngine:
    return garage.loaded("turn", url(request.param, smart))


@pytest.fixture
def phrase(spoken: dict[str, tuple[str, Pcm]]) -> Pcm:
    return spoken["what_time_is_it.wav"][1]


def test_it_answers_with_a_probability_for_any_text_and_any_length_of_speech(engine: TurnEngine, phrase: Pcm) -> None:
    texts = ("what time is it", "x", "42", "ça va ? 日本", "so " * 400, "...")
    sounds = (phrase, phrase[:1], np.tile(phrase, 12)) if engine.wants_audio else (EMPTY,)
    for text in texts:
        for pcm in sounds:
            answer = engine.end_probability(pcm, text)
            assert isinstance(answer, float) and 0.0 <= answer <= 1.0


def test_the_same_question_has_the_same_answer_on_any_thread(engine: TurnEngine, phrase: Pcm) -> None:
    first = engine.end_probability(phrase, "what time is it")
    engine.end_probability(phrase[::-1], "set a timer for")
    assert in_another_thread(lambda: engine.end_probability(phrase, "what time is it")) == pytest.approx(
        first, abs=1e-6
    )


@pytest.mark.parametrize("driver", DRIVERS)
def test_loading_and_closing_twice_is_safe_and_it_works_again_after(driver: str, smart: Path, phrase: Pcm) -> None:
    engine = registry.create("turn", url(driver, smart))
    engine.close()
    for _ in range(2):
        engine.load()
        engine.load()
        assert 0.0 <= engine.end_probability(phrase, "what time is it") <= 1.0
        engine.close()
        engine.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_missing_or_broken_file_is_unavailable_and_is_named(driver: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.bin"
    broken.write_bytes(b"PK\x03\x04 not a model")
    for path in (tmp_path / "missing.bin", broken):
        engine = registry.create("turn", f"{driver}://{path}")
        with pytest.raises(EngineUnavailable, match=path.name):
            engine.load()
        engine.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_unknown_option_is_refused_before_anything_is_loaded(driver: str) -> None:
    with pytest.raises(ConfigError, match="threads"):
        registry.create("turn", f"{driver}://?threads=2")


# ---- the words


def test_an_open_end_is_far_less_likely_than_a_whole_request(garage: Garage) -> None:
    text = garage.loaded("turn", "text://")
    whole = ("set a timer for ten minutes", "what time is it", "hello", "yes", "what is this for", "no thank you")
    stranded = (
        "what can you do",
        "where are you from",
        "who is it for",
        "yes i do",
        "i think so too",
        "what is seven times a",
    )
    begun = (
        "set a timer for",
        "what is the",
        "remind me to",
        "i want to",
        "can you turn the",
        "wake me up at",
        "what can you",
    )
    assert min(text.end_probability(EMPTY, said) for said in whole + stranded) > 0.8
    assert max(text.end_probability(EMPTY, said) for said in begun) < 0.2


def test_case_punctuation_and_the_value_of_digits_do_not_matter() -> None:
    assert words_of("Set a timer, for 15 minutes!") == words_of("set a timer for 42 minutes")
    assert rows_of("What time is it?", 1024).tolist() == rows_of("what time is it", 1024).tolist()
    assert rows_of("", 1024).size and int(rows_of("a b c", 64).max()) < 64


def test_a_lower_prior_waits_longer(garage: Garage) -> None:
    answers = [
        garage.loaded("turn", f"text://?prior={prior}").end_probability(EMPTY, "set a timer")
        for prior in (0.2, 0.5, 0.8)
    ]
    assert answers == sorted(answers) and answers[0] < answers[2]


def test_weights_survive_the_file_and_wrong_shapes_or_numbers_are_refused(tmp_path: Path) -> None:
    table = np.ones((64, 4), np.float16)
    good = TextWeights(table, np.zeros(4, np.float32), np.ones(4, np.float32), 0.5, 2.0, -1.0)
    good.save(tmp_path / "good.npz")
    read = TextWeights.read(tmp_path / "good.npz")
    assert read.logit("hello there") == good.logit("hello there")
    wide = TextWeights(table, np.zeros(5, np.float32), np.ones(4, np.float32), 0.0, 1.0, 0.0)
    wide.save(tmp_path / "wide.npz")
    with pytest.raises(EngineUnavailable, match="its arrays are"):
        TextWeights.read(tmp_path / "wide.npz")
    broken = TextWeights(table, np.full(4, np.nan, np.float32), np.ones(4, np.float32), 0.0, 1.0, 0.0)
    broken.save(tmp_path / "broken.npz")
    with pytest.raises(EngineUnavailable, match="not finite"):
        TextWeights.read(tmp_path / "broken.npz")


@pytest.mark.realtime
def test_the_words_are_judged_in_less_than_half_a_millisecond(garage: Garage) -> None:
    text = garage.loaded("turn", "text://")
    said = "could you remind me to call my mother tomorrow at nine thirty in the morning please"
    costs_ms = []
    for _ in range(300):
        began = perf_counter()
        text.end_probability(EMPTY, said)
        costs_ms.append((perf_counter() - began) * 1000)
    assert median(costs_ms) < 0.5


# ---- the sound


def test_features_are_those_of_whispers_own_extractor(spoken: dict[str, tuple[str, Pcm]]) -> None:
    reference = pytest.importorskip("faster_whisper.feature_extractor").FeatureExtractor(chunk_length=8)
    for _, pcm in list(spoken.values())[:5]:
        speech = np.zeros(SAMPLES, np.float32)
        speech[SAMPLES - len(pcm) :] = pcm / 32768.0
        speech = (speech - speech.mean()) / np.sqrt(speech.var() + 1e-7)
        expected = reference(speech, padding=0)[:, :FRAMES]
        assert whisper_features(pcm).shape == expected.shape == (MELS, FRAMES)
        np.testing.assert_allclose(whisper_features(pcm), expected, atol=1e-4)


def test_only_the_last_eight_seconds_count_and_shorter_speech_has_silence_in_front(phrase: Pcm) -> None:
    long = np.concatenate((np.full(SAMPLES, 5000, np.int16), np.zeros(SAMPLES - len(phrase), np.int16), phrase))
    np.testing.assert_array_equal(whisper_features(long), whisper_features(phrase))


def test_telephone_speech_that_the_call_resampled_scores_like_the_same_speech_in_full(
    garage: Garage, smart: Path, phrase: Pcm
) -> None:
    """8 kHz mu-law there and back: what lies above 4 kHz is gone, and no image of it appears."""
    down, up = resampler(16_000, 8_000), resampler(8_000, 16_000)
    narrow = np.concatenate((down.push(phrase), down.flush()))
    back = up.push(mulaw_decode(mulaw_encode(narrow)))
    heard = whisper_features(back)
    above = heard[62:, -len(back) // 160 :].mean()
    below = heard[:55, -len(back) // 160 :].mean()
    assert above < below - 0.2
    engine = garage.loaded("turn", f"smart://{smart}")
    assert engine.end_probability(back, "") == pytest.approx(engine.end_probability(phrase, ""), abs=0.25)


def test_a_model_that_answers_something_else_is_refused(tmp_path: Path) -> None:
    engine = registry.create("turn", f"smart://{write_smart(tmp_path / 'two.onnx', outputs=2)}")
    with pytest.raises(EngineUnavailable, match="not one probability") as failure:
        engine.load()
    assert isinstance(failure.value.__cause__, EngineBadOutput)


def test_the_pulled_model_is_found_where_pulling_puts_it(tmp_path: Path, smart: Path) -> None:
    place = tmp_path / "smart" / "smart-turn-v3" / "smart-turn-v3.2-cpu.onnx"
    with pytest.raises(EngineUnavailable, match="voicebot models pull smart-turn-v3"):
        registry.create("turn", "smart://", tmp_path).load()
    place.parent.mkdir(parents=True)
    place.write_bytes(smart.read_bytes())
    for name in ("smart://", "fused://"):
        engine = registry.create("turn", name, tmp_path)
        engine.load()
        engine.close()


def test_both_models_move_the_fused_answer_and_neither_rules_alone(garage: Garage, tmp_path: Path, phrase: Pcm) -> None:
    for gain, name in ((-400.0, "never"), (0.0, "unsure"), (400.0, "always")):
        write_smart(tmp_path / f"{name}.onnx", gain=gain)
    quiet = np.zeros(16_000, np.int16)

    def fused(name: str, text: str) -> float:
        engine = garage.loaded("turn", f"fused://{tmp_path / name}.onnx")
        return engine.end_probability(quiet, text)

    said = "set a timer for ten minutes"
    answers = sorted({fused(name, said) for name in ("never", "unsure", "always")})
    assert len(answers) == 3 and answers[0] > 0.0 and answers[-1] < 1.0
    assert fused("unsure", "set a timer for") < fused("unsure", said)


def test_the_real_smart_turn_knows_a_finished_sentence() -> None:
    named = os.environ.get("VOICEBOT_SMART_TURN")
    if not named:
        pytest.skip("VOICEBOT_SMART_TURN names no smart-turn-v3 ONNX file")
    engine = registry.create("turn", f"smart://{named}")
    engine.load()
    with wave.open(str(Path(__file__).parents[1] / "speech" / "cancel_the_timer.wav")) as recording:
        pcm = np.frombuffer(recording.readframes(recording.getnframes()), np.int16)
    assert engine.end_probability(pcm, "") > 0.8
    engine.close()
