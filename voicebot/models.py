"""Models by name: the manifest of what can be pulled, and what lies in the models directory.

A pulled model is one folder, `<kind>/<name>` (`whisper/base.en`, `llm/qwen3-0.6b`, `piper/en_US-amy-medium`), with
`voicebot.lock.json` beside its files: repository, commit, and the size and sha256 of every file. One on its way waits
in `.staging`, see `models_pull`.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from voicebot.errors import ConfigError, VoicebotError

LOCK = "voicebot.lock.json"
_PACKAGE = Path(__file__).resolve().parent
_BLOCK_BYTES = 1 << 20
_FAMILIES = {"llama": "llm"}
"""Folders that are not named after their engine."""


class ModelError(VoicebotError):
    """A model could not be pulled, or is not what its lock says."""


class Model(BaseModel):
    """One entry of the manifest. `size_mb` (download) and `memory_mb` (loaded) are approximate.

    `cores`: with fewer CPU cores it answers too late, a rule of thumb; None: for a GPU. `rank`: among those of its kind
    that fit a machine the highest is chosen; 0 is never recommended, because it is for another language or need.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    kind: Literal["stt", "llm", "tts", "turn", "router"]
    engine: str
    repo: str
    revision: str
    files: tuple[str, ...]
    size_mb: int
    memory_mb: int
    licence: str
    languages: tuple[str, ...]
    good_for: str
    cores: int | None = None
    rank: int = 0
    sha256: dict[str, str] = {}
    """By file name in the repository, where known."""
    verified: bool = True
    """Whether the names of repository and files were confirmed when the entry was written."""

    def folder(self, root: Path) -> Path:
        """Where it lies below the models directory."""
        return root / _FAMILIES.get(self.scheme, self.scheme) / self.name

    @property
    def scheme(self) -> str:
        """The driver that runs it: "whisper"."""
        return self.engine.partition(":")[0]

    def url(self, root: Path) -> str:
        """The engine URL that loads it."""
        path = self.folder(root)
        return self.engine.format(path=path, file=path / Path(self.files[0]).name)


class PinnedFile(BaseModel):
    """One file of a pulled model. `size`: bytes."""

    size: int
    sha256: str


class Lock(BaseModel):
    """What the first pull saw; `files` by name in the repository."""

    repo: str
    commit: str
    files: dict[str, PinnedFile]


def load_manifest(path: Path | None = None) -> dict[str, Model]:
    """Every model by name. Raises: ConfigError."""
    places = [path] if path else [root / "models" / "manifest.toml" for root in (_PACKAGE, _PACKAGE.parent)]
    for place in places:
        if place.is_file():
            try:
                entries = tomllib.loads(place.read_text(encoding="utf-8"))["models"]
                return {name: Model(name=name, **entry) for name, entry in entries.items()}
            except (tomllib.TOMLDecodeError, ValidationError, KeyError, TypeError) as error:
                raise ConfigError(f"{place} is not a manifest of models: {error}") from None
    raise ConfigError(f"no manifest of models at {' or '.join(map(str, places))}; install voicebot again")


def find_model(name: str, manifest: dict[str, Model]) -> Model:
    """Raises: ConfigError with the names that are near."""
    if name in manifest:
        return manifest[name]
    near = difflib.get_close_matches(name, manifest, n=3, cutoff=0.5)
    advice = f"did you mean {' or '.join(near)}?" if near else "`voicebot models list` shows all"
    raise ConfigError(f"no model is called {name!r}; {advice}")


def read_lock(folder: Path) -> Lock | None:
    """The lock of a pulled model, None where there is none. Raises: ModelError when it cannot be read."""
    try:
        return Lock.model_validate_json((folder / LOCK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise ModelError(f"{folder / LOCK} cannot be read ({error}); remove the model and pull it again") from None


def write_lock(folder: Path, lock: Lock) -> None:
    """Pin what was pulled. Raises: OSError."""
    half = folder / f"{LOCK}.part"
    half.write_text(json.dumps(lock.model_dump(), indent=2) + "\n", encoding="utf-8")
    os.replace(half, folder / LOCK)


def is_whole(folder: Path, lock: Lock) -> bool:
    """Whether every file of the lock is there in its size; `verify_model` also compares what is in them."""
    paths = [(folder / Path(name).name, pinned.size) for name, pinned in lock.files.items()]
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def is_pulled(model: Model, root: Path) -> bool:
    """Whether it lies whole in the models directory."""
    lock = read_lock(model.folder(root))
    return lock is not None and is_whole(model.folder(root), lock)


def staging_folder(model: Model, root: Path) -> Path:
    """Where its files wait until they are whole."""
    return root / ".staging" / model.name


@contextlib.contextmanager
def exclusively(model: Model, root: Path) -> Iterator[None]:
    """Keep every other process from pulling or removing the model. Raises: ModelError when one is at it, OSError."""
    place = staging_folder(model, root)
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place.with_name(f"{model.name}.lock"), blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise ModelError(f"{model.name} is being pulled or removed by another process; wait until it is done") from None
    try:
        yield
    finally:
        lock.release()


def verify_model(model: Model, root: Path) -> int:
    """Compare every file with the lock; returns how many were compared. Raises: ModelError, ConfigError if absent."""
    folder = model.folder(root)
    lock = read_lock(folder)
    if lock is None:
        raise ConfigError(f"{model.name} is not in {root}; `voicebot models pull {model.name}`")
    for name, pinned in lock.files.items():
        path = folder / Path(name).name
        if not path.is_file() or file_sha256(path) != pinned.sha256:
            again = f"`voicebot models rm {model.name}` and pull it again"
            raise ModelError(
                f"{path} is not the file that was pulled (sha256 {pinned.sha256[:12]}... expected); {again}"
            )
    return len(lock.files)


def remove_model(model: Model, root: Path) -> None:
    """Delete a pulled model, its lock, and what a cut pull has left. Raises: ConfigError if there is nothing."""
    folders = [folder for folder in (model.folder(root), staging_folder(model, root)) if folder.is_dir()]
    if not folders:
        raise ConfigError(f"{model.name} is not in {root}, so there is nothing to remove")
    with exclusively(model, root):
        for folder in folders:
            shutil.rmtree(folder)


def file_sha256(path: Path) -> str:
    """Hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
