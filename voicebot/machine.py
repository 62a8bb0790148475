"""What this machine has for models: cores, memory, a GPU; inside a container, what the container may use of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Machine:
    """`memory_mb`: free for models, not in all. `gpu_mb`: memory of the largest NVIDIA GPU, 0 for none."""

    cores: int
    memory_mb: int
    gpu_mb: int = 0

    def __str__(self) -> str:
        gpu = f" and a GPU of {self.gpu_mb / 1024:.1f} GiB" if self.gpu_mb else ""
        cores = f"{self.cores} core{'s' * (self.cores != 1)}"
        return f"{cores}, {self.memory_mb / 1024:.1f} GiB of free memory{gpu}"


def this_machine() -> Machine:
    """As it is now. Blocks for as long as nvidia-smi takes, where it is installed."""
    return Machine(usable_cores(), free_memory_mb(), max((size for _, size in nvidia_gpus()), default=0))


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """Those that this process may run on, at most what a container's CPU limit leaves (at least 1)."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    return max(1, min(cores, int(quota) // int(period))) if quota.isdigit() and period.isdigit() else cores


def total_memory_mb(cgroup: Path = _CGROUP) -> int:
    """The machine's, at most what the container may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    limit = _read(cgroup / "memory.max")
    return min(total, int(limit) >> 20) if limit.isdigit() else total


def free_memory_mb(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> int:
    """What can be taken without swapping; all of it where the system does not say (macOS)."""
    total = total_memory_mb(cgroup)
    lines = (line.split() for line in _read(meminfo).splitlines())
    available = next((int(words[1]) >> 10 for words in lines if words[:1] == ["MemAvailable:"]), total)
    used = _read(cgroup / "memory.current")
    limit = _read(cgroup / "memory.max")
    if limit.isdigit() and used.isdigit():
        available = min(available, (int(limit) - int(used)) >> 20)
    return min(total, available)


def nvidia_gpus() -> list[tuple[str, int]]:
    """(name, MB) of each; [] where nvidia-smi is not there or fails."""
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = (line.rpartition(",") for line in answer.stdout.splitlines())
    return [(name.strip(), int(size)) for name, _, size in rows if size.strip().isdigit()]


def _read(path: Path) -> str:
    """ "" where the system has no such file."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
