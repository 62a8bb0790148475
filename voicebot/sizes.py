"""Which models fit a machine: pure functions of its cores, memory and GPU.

A set of one recogniser, one talker and one voice is chosen together, because they share the memory. Of all sets that
fit, the one with the most rank is taken. On a CPU a model also needs its number of cores.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from voicebot.machine import Machine
from voicebot.models import Model

SIZED = ("stt", "llm", "tts")
"""The kinds whose models come in sizes."""
SERVER_MB = 600
"""An allowance for the server with its calls, and on a GPU for its driver, on top of the models."""
DRIVERS = ("whisper", "llama", "piper")
"""What the `local` and `gpu` profiles run. A model of another driver is chosen by its engine URL."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A model that could run. Meaning of the fields: `models.Model`. `url`: what loads it, "" for one not pulled."""

    name: str
    kind: str
    memory_mb: int
    cores: int | None
    rank: int
    url: str = ""

    def fits(self, machine: Machine) -> bool:
        """Whether it fits beside nothing but the server."""
        return fits([self], machine)


def fits(choices: Sequence[Choice], machine: Machine) -> bool:
    """Whether these fit together."""
    needed = SERVER_MB + sum(choice.memory_mb for choice in choices)
    if machine.gpu_mb:
        return needed <= machine.gpu_mb
    fast = all(choice.cores is not None and choice.cores <= machine.cores for choice in choices)
    return fast and needed <= machine.memory_mb


def best(choices: Iterable[Choice], machine: Machine) -> dict[str, Choice]:
    """Kind -> choice, one of each kind that occurs; {} where no set of them fits.

    Among sets of equal rank the larger models win: they are the better ones.
    """
    kinds: dict[str, list[Choice]] = {}
    for choice in choices:
        kinds.setdefault(choice.kind, []).append(choice)
    sets = [each for each in product(*kinds.values()) if fits(each, machine)]
    if not kinds or not sets:
        return {}
    chosen = max(sets, key=lambda each: (sum(one.rank for one in each), sum(one.memory_mb for one in each)))
    return {choice.kind: choice for choice in chosen}


def best_or_smallest(choices: Sequence[Choice], machine: Machine) -> dict[str, Choice]:
    """As `best`; where nothing fits, the smallest of each kind."""
    smallest: dict[str, Choice] = {}
    for choice in sorted(choices, key=lambda one: one.memory_mb):
        smallest.setdefault(choice.kind, choice)
    return best(choices, machine) or smallest


def recommended(manifest: Mapping[str, Model], machine: Machine, kinds: Sequence[str] = SIZED) -> dict[str, Choice]:
    """Kind -> the manifest's model for this machine; {} where it is too small for one of each of `kinds`."""
    models = [model for model in manifest.values() if model.kind in kinds and model.rank and model.scheme in DRIVERS]
    return best([of_model(model) for model in models], machine)


def of_model(model: Model, url: str = "") -> Choice:
    """The manifest's entry as a choice."""
    return Choice(model.name, model.kind, model.memory_mb, model.cores, model.rank, url)
