"""Vectors of texts by a sentence model, each made once: kept in a file by the text's hash and the model's.

The file holds hashes and vectors, and no words; only this user may read it, because vectors tell much of their text.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voicebot.engines.base import Cancel
from voicebot.engines.sentences import SentenceEngine
from voicebot.lane import Lane

log = logging.getLogger(__name__)
Floats = npt.NDArray[np.float32]
PART = 8
"""Texts encoded in one job: a question waits behind no more of them."""


class Vectors:
    """Thread: the loop; the model works on its lane, files in threads."""

    def __init__(self, lane: Lane[SentenceEngine], folder: Path, name: str) -> None:
        """`folder`: where files are kept; `name`: of this one, beside the model's hash."""
        self.lane = lane
        self.made = 0
        """Texts that the model has read since the start."""
        self._folder = folder
        self._name = name
        self._file: Path | None = None
        self._known: dict[bytes, Floats] = {}

    async def of(self, texts: Sequence[str]) -> Floats:
        """float32[texts, size], of length 1; the file then holds these and no others.

        Raises: EngineError. Cancellation: what was not finished is made again.
        """
        if self._file is None:
            digest = await self.lane.run(lambda _cancel: self.lane.engine.digest())
            self._file = self._folder / f"{self._name}-{digest[:16]}.npz"
            self._known = await asyncio.to_thread(_read, self._file)
        keys = await asyncio.to_thread(lambda: [hashlib.sha256(text.encode()).digest() for text in texts])
        known = dict(self._known)
        missing = list({key: text for key, text in zip(keys, texts, strict=True) if key not in known}.items())
        for start in range(0, len(missing), PART):
            part = missing[start : start + PART]
            vectors = await self.lane.run(partial(self._encode, [text for _, text in part]))
            known |= zip((key for key, _ in part), vectors, strict=True)
        self.made += len(missing)
        wanted = {key: known[key] for key in keys}
        if wanted.keys() != self._known.keys():
            self._known = wanted
            await asyncio.to_thread(_write, self._file, wanted)
        return np.stack([wanted[key] for key in keys])

    def _encode(self, texts: list[str], _cancel: Cancel) -> Floats:
        """Thread: the lane's."""
        return self.lane.engine.model.encode_all(texts)


def _read(file: Path) -> dict[bytes, Floats]:
    """Hash -> vector; a file that cannot be read is made anew."""
    try:
        with np.load(file, allow_pickle=False) as found:
            keys, vectors = found["keys"], found["vectors"]
            return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("the vectors in %s cannot be read (%s) and are made again", file, type(error).__name__)
        return {}


def _write(file: Path, known: dict[bytes, Floats]) -> None:
    """Whole or not at all."""
    keys = np.array([np.frombuffer(key, np.uint8) for key in known])
    unseen = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(unseen, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as opened:
            np.savez(opened, keys=keys, vectors=np.stack(list(known.values())))
        unseen.replace(file)
    except OSError as error:
        unseen.unlink(missing_ok=True)
        log.warning("the vectors of the documents cannot be kept in %s: %s", file.parent, error.strerror)
