"""Engines of every driver, loaded once a session: real models where they are, tiny ones made here where not."""

from __future__ import annotations

import csv
import importlib.util
import threading
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar, overload

import numpy as np
import pytest

from tests.engines import chat_server, tiny, tiny_moonshine
from voicebot.engines import registry
from voicebot.engines.base import Engine, Kind, LlmEngine, Pcm, SttEngine, TtsEngine, TurnEngine, VadEngine

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
SPEECH = ROOT / "tests" / "speech"
OWN_LM = ROOT / "models" / "speech" / "en-us.lm.bin"
SPHINX = f"pocketsphinx://?lm={OWN_LM}" if OWN_LM.is_file() else "pocketsphinx://"
HAS_MOONSHINE = importlib.util.find_spec("moonshine_voice") is not None
TALKER = ROOT / "models" / "talker" / "talker.gguf"


def read_speech(name: str) -> Pcm:
    """A committed recording, int16[n], 16 kHz mono."""
    with wave.open(str(SPEECH / name)) as recording:
        assert (recording.getframerate(), recording.getnchannels()) == (16_000, 1)
        return np.frombuffer(recording.readframes(recording.getnframes()), dtype=np.int16)


@pytest.fixture(scope="session")
def spoken() -> dict[str, tuple[str, Pcm]]:
    """File name -> (words, speech) of every committed recording."""
    with (SPEECH / "transcripts.tsv").open() as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    return {row["file"]: (row["words"] or "", read_speech(row["file"])) for row in rows}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny GGUF, Whisper, Piper voice and, where its package is installed, Moonshine."""
    folder = tmp_path_factory.mktemp("models")
    tiny.write_gguf(folder / "tiny.gguf")
    tiny.write_gguf(folder / "no_template.gguf", chat_template=None)
    tiny.write_whisper(folder / "whisper-tiny.en")
    tiny.write_piper(folder / "voice.onnx")
    if HAS_MOONSHINE:
        tiny_moonshine.write(folder / "moonshine-tiny")
    return folder


@pytest.fixture(scope="session")
def server() -> Iterator[chat_server.ChatServer]:
    with chat_server.running() as running:
        yield running


class Garage:
    """Engines by URL, each loaded once and closed at the end of the session."""

    def __init__(self, models: Path) -> None:
        self._models = models
        self._engines: dict[tuple[str, str], Engine] = {}

    @overload
    def loaded(self, kind: Literal["vad"], url: str) -> VadEngine: ...
    @overload
    def loaded(self, kind: Literal["stt"], url: str) -> SttEngine: ...
    @overload
    def loaded(self, kind: Literal["turn"], url: str) -> TurnEngine: ...
    @overload
    def loaded(self, kind: Literal["llm"], url: str) -> LlmEngine: ...
    @overload
    def loaded(self, kind: Literal["tts"], url: str) -> TtsEngine: ...
    def loaded(self, kind: Kind, url: str) -> Engine:
        if (kind, url) not in self._engines:
            engine = registry.create(kind, url, self._models)
            engine.load()
            self._engines[kind, url] = engine
        return self._engines[kind, url]

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close()


@pytest.fixture(scope="session")
def garage(models: Path) -> Iterator[Garage]:
    garage = Garage(models)
    yield garage
    garage.close()


class CancelAfter:
    """A token that is set once it has been looked at `looks` times: a cancel in the middle, without a clock."""

    def __init__(self, looks: int) -> None:
        self._left = looks

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


NEVER = threading.Event()
ALREADY = threading.Event()
ALREADY.set()


def in_another_thread(work: Callable[[], T]) -> T:
    """The result of `work`, run on a fresh thread, as a lane does."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(work).result(timeout=30)
