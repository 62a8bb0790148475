"""Models of a real architecture, size and quantisation with random weights: speed can be measured without weights.

A shape is made once into a cache outside the repository, in a folder beside its place and renamed when it is whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from voicebot.bench.shapes_llama import LLAMA_32_1B, QWEN3_06B, QWEN3_17B, write_llama
from voicebot.bench.shapes_piper import PIPER_MEDIUM, write_piper
from voicebot.bench.shapes_whisper import BASE_EN, SMALL_EN, TINY_EN, write_whisper
from voicebot.engines.base import Kind
from voicebot.errors import ConfigError

NOTE = "random weights: speed only"
MADE = 2
"""Part of the folder's name, raised when what is written changes: a shape of before is not measured again."""


@dataclass(frozen=True, slots=True)
class Shape:
    """`file`: what the engine URL names inside the shape's folder; "" for the folder itself."""

    name: str
    kind: Kind
    good_for: str
    write: Callable[[Path], object]
    """Writes the model to the path that it is given: the file, or the folder."""
    scheme: str
    file: str = ""
    options: str = ""

    @property
    def folder(self) -> str:
        return f"{self.name}.{MADE}"

    def path(self, root: Path) -> Path:
        return root / self.folder / self.file

    def url(self, root: Path) -> str:
        return f"{self.scheme}://{self.path(root)}" + (f"?{self.options}" if self.options else "")


_ALL = (
    Shape("whisper-tiny.en", "stt", "39 M parameters, CTranslate2 int8", partial(write_whisper, TINY_EN), "whisper", "",
          "device=cpu"),
    Shape("whisper-base.en", "stt", "74 M parameters, CTranslate2 int8", partial(write_whisper, BASE_EN), "whisper", "",
          "device=cpu"),
    Shape("whisper-small.en", "stt", "244 M parameters, CTranslate2 int8", partial(write_whisper, SMALL_EN), "whisper",
          "", "device=cpu"),
    Shape("qwen3-0.6b", "llm", "Q4_0, 152 k tokens", partial(write_llama, QWEN3_06B), "llama", "model.gguf"),
    Shape("qwen3-1.7b", "llm", "Q4_0, 152 k tokens", partial(write_llama, QWEN3_17B), "llama", "model.gguf"),
    Shape("llama-3.2-1b", "llm", "Q4_0, 128 k tokens", partial(write_llama, LLAMA_32_1B), "llama", "model.gguf"),
    Shape("piper-medium", "tts", "VITS, 22.05 kHz, float32", partial(write_piper, PIPER_MEDIUM), "piper", "voice.onnx"),
)  # fmt: skip
SHAPES: dict[str, Shape] = {shape.name: shape for shape in _ALL}


def shapes_dir(env: Mapping[str, str] | None = None) -> Path:
    """VOICEBOT_HOME/shapes, else voicebot/shapes in the XDG cache."""
    env = os.environ if env is None else env
    if home := env.get("VOICEBOT_HOME"):
        return Path(home).expanduser() / "shapes"
    return Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "voicebot" / "shapes"


def find_shape(name: str, kind: Kind | None = None) -> Shape:
    """Raises: ConfigError for a name that is not known, or not of this kind."""
    known = [shape.name for shape in SHAPES.values() if kind in (None, shape.kind)]
    if name not in known:
        raise ConfigError(f"unknown {kind or 'model'} shape {name!r}; known: {', '.join(known)}")
    return SHAPES[name]


def is_made(shape: Shape, root: Path) -> bool:
    return shape.path(root).exists()


def make_shape(shape: Shape, root: Path) -> Path:
    """The shape's file or folder, made unless it is there already.

    Raises: ConfigError where a library that writes the format is missing, or the disk has no room.
    """
    if is_made(shape, root):
        return shape.path(root)
    staging = root / f".{shape.name}.{os.getpid()}"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        shape.write(staging / shape.file)
        staging.rename(root / shape.folder)
    except ImportError as error:
        raise ConfigError(f"making {shape.name} needs the extra 'bench' (gguf, onnx): {error}") from error
    except OSError as error:
        raise ConfigError(f"cannot write {shape.name} to {root}: {error.strerror or error}; free some disk") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return shape.path(root)


def size_mb(path: Path) -> float:
    """Of a file and what lies beside it under its name, or of a folder."""
    files = [file for file in (path if path.is_dir() else path.parent).rglob("*") if file.is_file()]
    return round(sum(file.stat().st_size for file in files) / 1e6, 1)
