"""The embedded recogniser on telephone speech, and the acoustic model that it makes for it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.engines.conftest import NEVER, OWN_LM, SPHINX, Garage
from voicebot.engines import registry
from voicebot.engines.base import Pcm
from voicebot.engines.pocketsphinx import PocketSphinxStt
from voicebot.engines.sphinx_c import package_dir
from voicebot.engines.sphinx_narrow import FrontEnd, NarrowModel, change_of_cepstra, read_gaussians, write_gaussians
from voicebot.errors import EngineOverloaded, EngineUnavailable
from voicebot.evals.speech import Said, over_telephone, recognised, word_errors

Spoken = dict[str, tuple[str, Pcm]]
WHEEL = FrontEnd(130.0, 6800.0, 25, 13, 22)
MODEL = package_dir() / "model" / "en-us" / "en-us"
NAMED = ("what_time_is_it.wav", "set_a_timer.wav", "seven_times_eight.wav")
WORDLESS = ("mm_hm.wav", "cough.wav")
MAX_WORD_ERRORS = 7
"""Of 78 words. Measured: 4."""
needs_lm = pytest.mark.skipif(not OWN_LM.is_file(), reason="models/speech/en-us.lm.bin has not been built")


def heard_by_telephone(engine: PocketSphinxStt, pcm: Pcm) -> str:
    return recognised(engine, over_telephone(Said("", pcm, 16_000)), narrowband=True)


def sphinx(garage: Garage) -> PocketSphinxStt:
    engine = garage.loaded("stt", SPHINX)
    assert isinstance(engine, PocketSphinxStt)
    return engine


@needs_lm
def test_the_shipped_language_model_is_used_whatever_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOICEBOT_HOME", str(tmp_path))
    monkeypatch.delenv("VOICEBOT_MODELS", raising=False)
    engine = registry.create("stt", "pocketsphinx://")
    assert isinstance(engine, PocketSphinxStt)
    assert engine._settings()["lm"] == str(OWN_LM)


@needs_lm
def test_telephone_speech_is_heard_almost_as_well_as_wideband_speech(garage: Garage, spoken: Spoken) -> None:
    heard = {
        name: (words, heard_by_telephone(sphinx(garage), pcm))
        for name, (words, pcm) in spoken.items()
        if name not in WORDLESS
    }
    assert sum(word_errors(*pair) for pair in heard.values()) <= MAX_WORD_ERRORS, heard
    assert [heard[name][1] for name in NAMED] == [heard[name][0] for name in NAMED]


@needs_lm
def test_telephone_speech_given_whole_is_heard_too(garage: Garage, spoken: Spoken) -> None:
    words, pcm = spoken["set_a_timer.wav"]
    line = over_telephone(Said(words, pcm, 16_000))
    assert sphinx(garage).transcribe(line, NEVER, narrowband=True).text == words


def test_a_cough_over_the_telephone_is_not_heard_as_words(garage: Garage, spoken: Spoken) -> None:
    assert heard_by_telephone(sphinx(garage), spoken["cough.wav"][1]) == ""


def test_telephone_calls_and_others_do_not_take_each_others_decoders(models: Path, spoken: Spoken) -> None:
    engine = registry.create("stt", f"{SPHINX}{'&' if '?' in SPHINX else '?'}decoders=1&telephone=1", models)
    engine.load()
    wide, narrow = engine.open_stream(), engine.open_stream(narrowband=True)
    assert wide is not None
    assert narrow is not None
    with pytest.raises(EngineOverloaded, match="raise telephone="):
        engine.transcribe(spoken["hello.wav"][1], NEVER, narrowband=True)
    wide.abandon()
    assert engine.open_stream(narrowband=True) is None
    narrow.abandon()
    again = engine.open_stream(narrowband=True)
    assert again is not None
    engine.close()
    again.abandon()
    assert engine.open_stream(narrowband=True) is None


def test_without_telephone_decoders_the_others_hear_telephone_speech(models: Path) -> None:
    engine = registry.create("stt", f"{SPHINX}{'&' if '?' in SPHINX else '?'}decoders=1&telephone=0", models)
    engine.load()
    held = engine.open_stream(narrowband=True)
    assert held is not None
    assert engine.open_stream() is None
    with pytest.raises(EngineOverloaded, match="raise decoders="):
        engine.transcribe(np.zeros(1600, dtype=np.int16), NEVER, narrowband=True)
    held.abandon()
    engine.close()


def test_the_narrow_bands_are_the_first_of_the_wide_ones_edge_for_edge() -> None:
    narrow = WHEEL.narrowed()
    assert (narrow.bands, narrow.cepstra) == (19, 10)
    assert narrow.mel_step == pytest.approx(WHEEL.mel_step)
    assert narrow.lower_hz == WHEEL.lower_hz
    assert 3400 < narrow.upper_hz < 4000


def test_the_change_of_cepstra_equals_the_narrow_front_ends_cepstra_of_the_same_spectrum() -> None:
    narrow = WHEEL.narrowed()
    wide_cepstra = np.random.default_rng(1).normal(0, 1, WHEEL.cepstra)
    log_bands = WHEEL.cepstra_of_bands().T @ (wide_cepstra / WHEEL.lifting())
    direct = narrow.lifting() * (narrow.cepstra_of_bands() @ log_bands[: narrow.bands])
    assert change_of_cepstra(WHEEL, narrow) @ wide_cepstra == pytest.approx(direct)
    assert change_of_cepstra(WHEEL, WHEEL) == pytest.approx(np.eye(WHEEL.cepstra))


def test_gaussians_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    gaussians = np.random.default_rng(1).normal(0, 1, (2, 3, 4, 5)).astype(np.float32)
    write_gaussians(tmp_path / "means", gaussians)
    assert (read_gaussians(tmp_path / "means") == gaussians).all()


def test_a_model_that_hears_no_more_than_a_telephone_carries_is_left_as_it_is(tmp_path: Path) -> None:
    folder = _model(tmp_path, "-upperf 6800", "-upperf 3500")
    assert not NarrowModel(folder).needed
    assert NarrowModel(MODEL).needed


@pytest.mark.parametrize(
    ("line", "instead", "named"),
    [
        ("-transform dct", "-transform legacy", "legacy"),
        ("-feat 1s_c_d_dd", "-feat s2_4x", "s2_4x"),
        ("-nfilt 25", "", "nfilt"),
        ("-lowerf 130", "-lowerf low", "low"),
    ],
)
def test_a_model_of_another_kind_is_unavailable_and_told_how_to_go_without(
    tmp_path: Path, line: str, instead: str, named: str
) -> None:
    with pytest.raises(EngineUnavailable, match=f"{named}.*telephone=0"):
        NarrowModel(_model(tmp_path, line, instead))


def test_gaussians_that_are_no_gaussians_are_unavailable_and_named(tmp_path: Path) -> None:
    folder = _model(tmp_path, "", "")
    for content in (b"nonsense", b"s3\nendhdr\n" + b"\0" * 16, b"s3\nendhdr\n"):
        (folder / "means").write_bytes(content)
        with pytest.raises(EngineUnavailable, match="means cannot be read"):
            NarrowModel(folder).write(tmp_path)
    write_gaussians(folder / "means", np.zeros((1, 1, 2, 39), dtype=np.float32))
    with pytest.raises(EngineUnavailable, match="means holds"):
        NarrowModel(folder).write(tmp_path)


def test_a_folder_without_feature_parameters_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"feat\.params"):
        NarrowModel(tmp_path)


def _model(folder: Path, line: str, instead: str) -> Path:
    """The wheel's model with another line in its feature parameters."""
    model = folder / "model"
    shutil.copytree(MODEL, model)
    parameters = (model / "feat.params").read_text()
    assert line in parameters
    (model / "feat.params").write_text(parameters.replace(line, instead))
    return model
