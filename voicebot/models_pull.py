"""Pull a model from the Hugging Face hub: checked before it starts, resumed, verified, and only then put in its place.

The library gives the metadata, addresses, token and headers. The bytes are fetched here, because it deletes a partial
file when its process ends, so that nothing is left to resume. Files wait in `.staging/<name>`; one rename makes the
model appear whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import httpx
from huggingface_hub import HfApi, get_token, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils._headers import build_hf_headers

from voicebot.errors import ConfigError
from voicebot.models import Lock, Model, ModelError, PinnedFile, file_sha256, read_lock, write_lock

ATTEMPTS = 5
"""How often one file is asked for in one pull; each attempt goes on where the last was cut."""
PARALLEL = 4
TIMEOUT_S = 30.0
MARGIN_BYTES = 100 * 2**20
"""Disk space left free."""

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


def total_memory() -> int:
    """Bytes of memory in this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def pull_model(
    model: Model,
    root: Path,
    offline: bool = False,
    progress: Progress = lambda _name, _done, _total: None,
    disk: Callable[[Path], int] = free_disk,
    memory: Callable[[], int] = total_memory,
) -> Lock:
    """Fetch what is not there yet. Raises: ModelError, ConfigError."""
    folder = model.folder(root)
    lock = read_lock(folder)
    if lock and all((folder / Path(name).name).is_file() for name in lock.files):
        return lock
    if offline:
        raise ConfigError(
            f"{model.name} is not in {root} and --offline forbids to fetch it; copy {folder} from elsewhere"
        )
    staging = root / ".staging" / model.name
    commit, files = _remote_files(model, lock or read_lock(staging))
    _require_room(model, files, staging, disk, memory)
    staging.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(PARALLEL) as pool:
        pinned = list(pool.map(lambda remote: _fetch(model, commit, remote, staging, progress), files))
    new = Lock(repo=model.repo, commit=commit, files=dict(zip((file.name for file in files), pinned, strict=True)))
    write_lock(staging, new)
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging.rename(folder)
    return new


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _remote_files(model: Model, lock: Lock | None) -> tuple[str, list[Remote]]:
    """The commit, and the files that the manifest asks for. Raises: ModelError."""
    try:
        api = HfApi(endpoint=_endpoint(), token=get_token())
        info = api.model_info(model.repo, revision=model.revision, files_metadata=True, timeout=TIMEOUT_S)
    except HfHubHTTPError as error:
        status = error.response.status_code
        advice = "set HF_TOKEN and accept the licence there" if status in (401, 403) else "check its name, or try later"
        raise ModelError(f"the hub answered {status} for {model.repo}@{model.revision}; {advice}") from None
    except (OSError, OfflineModeIsEnabled) as error:
        raise ModelError(
            f"the hub cannot be reached for {model.repo}: {error}; check the network, or HF_ENDPOINT"
        ) from None
    files = [
        Remote(entry.rfilename, entry.size or 0, entry.lfs.sha256 if entry.lfs else None)
        for entry in info.siblings or []
        if any(fnmatch(entry.rfilename, glob) for glob in model.files)
    ]
    if not files or not info.sha:
        raise ModelError(f"{model.repo}@{model.revision} has no file like {', '.join(model.files)}")
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
    model: Model, files: list[Remote], staging: Path, disk: Callable[[Path], int], memory: Callable[[], int]
) -> None:
    """Raises: ModelError, before anything is fetched."""
    there = sum(path.stat().st_size for path in staging.glob("*")) if staging.is_dir() else 0
    needed, free = sum(file.size for file in files) - there + MARGIN_BYTES, disk(staging)
    if free < needed:
        raise ModelError(f"{model.name} needs {needed >> 20} MB of disk and {free >> 20} MB are free; make room first")
    if memory() >> 20 < model.memory_mb:
        have = memory() >> 20
        raise ModelError(
            f"{model.name} needs about {model.memory_mb} MB of memory, this machine has {have}; take a smaller one"
        )


def _fetch(model: Model, commit: str, remote: Remote, staging: Path, progress: Progress) -> PinnedFile:
    """One whole, verified file in `staging`. Raises: ModelError; what came stays, to be resumed."""
    path = staging / Path(remote.name).name
    url = hf_hub_url(model.repo, remote.name, revision=commit, endpoint=_endpoint())
    for _ in range(ATTEMPTS):
        if path.exists() and path.stat().st_size >= remote.size:
            break
        try:
            _append(url, path, remote, progress)
            failure = f"it ended after {path.stat().st_size} of {remote.size} bytes"
        except httpx.HTTPStatusError as error:
            raise ModelError(f"the hub answered {error.response.status_code} for {url}; try later") from None
        except httpx.TransportError as error:
            failure = f"{type(error).__name__}: {error}"
        except OSError as error:
            raise ModelError(
                f"cannot write {path}: {error.strerror}; make room or choose another VOICEBOT_MODELS"
            ) from None
    if not path.exists() or path.stat().st_size < remote.size:
        raise ModelError(f"{remote.name} was cut {ATTEMPTS} times ({failure}); pull again and it goes on from there")
    found = file_sha256(path)
    if path.stat().st_size != remote.size or (remote.sha256 and found != remote.sha256):
        path.unlink()
        raise ModelError(
            f"{remote.name} came with sha256 {found[:12]}..., not {str(remote.sha256)[:12]}...; pull it again"
        )
    return PinnedFile(size=remote.size, sha256=found)


def _append(url: str, path: Path, remote: Remote, progress: Progress) -> None:
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
                file.write(chunk)
                done += len(chunk)
                progress(remote.name, done, remote.size)
