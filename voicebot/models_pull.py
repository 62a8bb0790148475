"""Pull a model from the Hugging Face hub: checked before it starts, resumed, verified, and only then put in its place.

The library gives the metadata, addresses, token and headers. The bytes are fetched here, because it deletes a partial
file when its process ends, so that nothing is left to resume.

    .staging/<name>.lock        held by the one pull or removal of that model
    .staging/<name>/<commit>/   files on their way; the lock file is written last, so a folder that has one is whole
    .staging/<name>/replaced/   the broken model that a repair has moved aside

One rename makes the model appear whole. A pull that dies between the two renames of a repair is finished by the next.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

import httpx
from huggingface_hub import HfApi, get_token, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils._headers import build_hf_headers

from voicebot.errors import ConfigError
from voicebot.machine import total_memory_mb
from voicebot.models import (
    Lock,
    Model,
    ModelError,
    PinnedFile,
    exclusively,
    file_sha256,
    is_whole,
    read_lock,
    staging_folder,
    write_lock,
)

ATTEMPTS = 5
"""How often one file is asked for in one pull; each attempt goes on where the last was cut."""
PARALLEL = 4
TIMEOUT_S = 30.0
MARGIN_BYTES = 100 * 2**20
"""Disk space left free."""
REPLACED = "replaced"

Progress = Callable[[str, int, int], None]
"""(file name, bytes so far, bytes in all). Thread: any of the pull's."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file on the hub. `sha256` is None where neither hub, manifest nor lock knows it. `size`: bytes."""

    name: str
    size: int
    sha256: str | None


def free_disk(path: Path) -> int:
    """Bytes free where `path` is, or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


@dataclass(frozen=True, slots=True)
class Pulled:
    """A whole model. `how`: fetched for the first time; fetched again to the pinned hashes; or it was there already."""

    lock: Lock
    how: Literal["first", "repaired", "present"]


def pull_model(
    model: Model,
    root: Path,
    offline: bool = False,
    progress: Progress = lambda _name, _done, _total: None,
    disk: Callable[[Path], int] = free_disk,
    memory_mb: Callable[[], int] = total_memory_mb,
) -> Pulled:
    """Fetch what is not there yet. Raises: ModelError, ConfigError."""
    folder = model.folder(root)
    lock = read_lock(folder)
    if lock and is_whole(folder, lock):
        return Pulled(lock, "present")
    try:
        with exclusively(model, root):
            if finished := _finish(model, root):
                return Pulled(finished, "repaired" if lock else "present")
            if offline:
                raise ConfigError(
                    f"{model.name} is not whole in {root} and --offline forbids to fetch it; "
                    f"copy {folder} from elsewhere"
                )
            new = _pull(model, root, lock, progress, disk, memory_mb)
    except OSError as error:
        where = error.filename or root
        raise ModelError(
            f"cannot write {where}: {error.strerror or error}; make room or choose another VOICEBOT_MODELS"
        ) from None
    return Pulled(new, "repaired" if lock else "first")


def _pull(
    model: Model,
    root: Path,
    lock: Lock | None,
    progress: Progress,
    disk: Callable[[Path], int],
    memory_mb: Callable[[], int],
) -> Lock:
    """Raises: ModelError, OSError."""
    commit, files = _remote_files(model, lock)
    places, staging = staging_folder(model, root), staging_folder(model, root) / commit
    for stale in places.glob("*"):
        if stale != staging:
            shutil.rmtree(stale)
    _require_room(model, files, staging, disk, memory_mb)
    staging.mkdir(parents=True, exist_ok=True)
    download = _Download(model, commit, staging, model.folder(root), progress)
    pool = ThreadPoolExecutor(PARALLEL)
    try:
        pinned = list(pool.map(download.fetch, files))
    finally:
        download.stopped = True
        pool.shutdown(cancel_futures=True)
    new = Lock(repo=model.repo, commit=commit, files=dict(zip((file.name for file in files), pinned, strict=True)))
    write_lock(staging, new)
    finished = _finish(model, root)
    assert finished == new, "what has just been staged is whole"
    return new


def _finish(model: Model, root: Path) -> Lock | None:
    """Put a staged model that is whole in its place; None where there is none. Raises: OSError."""
    folder, places = model.folder(root), staging_folder(model, root)
    for staging in places.glob("*"):
        lock = read_lock(staging) if staging.name != REPLACED else None
        if lock and is_whole(staging, lock):
            folder.parent.mkdir(parents=True, exist_ok=True)
            if folder.exists():
                folder.rename(places / REPLACED)
            staging.rename(folder)
            shutil.rmtree(places)
            return lock
    return None


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _remote_files(model: Model, lock: Lock | None) -> tuple[str, list[Remote]]:
    """The commit, which is the pinned one where there is one, and the files that the manifest asks for.

    Raises: ModelError.
    """
    revision = lock.commit if lock else model.revision
    try:
        api = HfApi(endpoint=_endpoint(), token=get_token())
        info = api.model_info(model.repo, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
    except HfHubHTTPError as error:
        status = error.response.status_code
        advice = "set HF_TOKEN and accept the licence there" if status in (401, 403) else "check its name, or try later"
        raise ModelError(f"the hub answered {status} for {model.repo}@{revision}; {advice}") from None
    except Exception as error:  # its HTTP client changes between versions, and has no base class in common with ours
        raise ModelError(
            f"the hub cannot be reached for {model.repo}: {error}; check the network, or HF_ENDPOINT"
        ) from error
    files = [
        Remote(entry.rfilename, entry.size or 0, entry.lfs.sha256 if entry.lfs else None)
        for entry in info.siblings or []
        if any(fnmatch(entry.rfilename, glob) for glob in model.files)
    ]
    if not files or not info.sha:
        raise ModelError(f"{model.repo}@{revision} has no file like {', '.join(model.files)}")
    return info.sha, [_pinned(model, remote, lock) for remote in files]


def _pinned(model: Model, remote: Remote, lock: Lock | None) -> Remote:
    """The file with the sha256 that manifest or lock demand. Raises: ModelError when the hub's is another."""
    known = model.sha256.get(remote.name) or (
        lock.files[remote.name].sha256 if lock and remote.name in lock.files else None
    )
    if known and remote.sha256 and known != remote.sha256:
        raise ModelError(
            f"{model.repo}: {remote.name} has changed on the hub ({remote.sha256[:12]}..., pinned {known[:12]}...); "
            f"if that is expected, `voicebot models rm {model.name}` and pull again"
        )
    return Remote(remote.name, remote.size, known or remote.sha256)


def _require_room(
    model: Model, files: list[Remote], staging: Path, disk: Callable[[Path], int], memory_mb: Callable[[], int]
) -> None:
    """Raises: ModelError, before anything is fetched."""
    there = sum(path.stat().st_size for path in staging.glob("*")) if staging.is_dir() else 0
    needed, free = sum(file.size for file in files) - there + MARGIN_BYTES, disk(staging)
    if free < needed:
        raise ModelError(f"{model.name} needs {needed >> 20} MB of disk and {free >> 20} MB are free; make room first")
    if (have := memory_mb()) < model.memory_mb:
        raise ModelError(
            f"{model.name} needs about {model.memory_mb} MB of memory, this machine has {have}; take a smaller one"
        )


@dataclass(slots=True)
class _Download:
    """The fetching of one model's files, several at once. `folder`: where a broken model lies that is repaired."""

    model: Model
    commit: str
    staging: Path
    folder: Path
    progress: Progress
    stopped: bool = False
    """Set when one file has failed or the operator gave up: the others end at their next chunk."""

    def fetch(self, remote: Remote) -> PinnedFile:
        """One whole, verified file in `staging`. Raises: ModelError, OSError; what came stays, to be resumed.

        Thread: the pool's.
        """
        path = self.staging / Path(remote.name).name
        if not path.exists():
            self._copy(remote, path)
        url = hf_hub_url(self.model.repo, remote.name, revision=self.commit, endpoint=_endpoint())
        failure = ""
        for _ in range(ATTEMPTS):
            if self.stopped or (path.exists() and path.stat().st_size >= remote.size):
                break
            try:
                self._append(url, path, remote)
                failure = f"it ended after {path.stat().st_size} of {remote.size} bytes"
            except httpx.HTTPStatusError as error:
                raise ModelError(f"the hub answered {error.response.status_code} for {url}; try later") from None
            except httpx.TransportError as error:
                failure = f"{type(error).__name__}: {error}"
        if not path.exists() or path.stat().st_size < remote.size:
            raise ModelError(
                f"{remote.name} was cut {ATTEMPTS} times ({failure}); pull again and it goes on from there"
            )
        return self._verified(remote, path)

    def _copy(self, remote: Remote, path: Path) -> None:
        """What a broken model or the hub's own cache (HF_HOME) already has of this very file."""
        cached = try_to_load_from_cache(self.model.repo, remote.name, revision=self.commit)
        for source in (self.folder / path.name, Path(cached) if isinstance(cached, str) else None):
            if source and source.is_file() and source.stat().st_size == remote.size:
                if remote.sha256 and file_sha256(source) != remote.sha256:
                    continue
                shutil.copyfile(source, path)
                return

    def _verified(self, remote: Remote, path: Path) -> PinnedFile:
        found = file_sha256(path)
        if path.stat().st_size != remote.size or (remote.sha256 and found != remote.sha256):
            path.unlink()
            wanted = f"{remote.sha256[:12]}..." if remote.sha256 else f"{remote.size} bytes"
            raise ModelError(f"{remote.name} came with sha256 {found[:12]}..., not {wanted}; pull it again")
        return PinnedFile(size=remote.size, sha256=found)

    def _append(self, url: str, path: Path, remote: Remote) -> None:
        """Go on with `path` where it ends; from the start if the server knows no ranges."""
        done = path.stat().st_size if path.exists() else 0
        headers = build_hf_headers(token=get_token()) | {"accept-encoding": "identity"}
        if done:
            headers["range"] = f"bytes={done}-"
        with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=TIMEOUT_S) as response:
            response.raise_for_status()
            done = done if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
            with path.open("ab" if done else "wb") as file:
                for chunk in response.iter_raw():
                    if self.stopped:
                        return
                    file.write(chunk)
                    done += len(chunk)
                    self.progress(remote.name, done, remote.size)
                file.flush()
                os.fsync(file.fileno())
