"""An engine URL's parts, and the options that a driver declares; errors name the value and what is known.

Rules: an option is a field of the driver's `Options` model, so an unknown or malformed one is a ConfigError before
anything is loaded. A field typed as a tuple may be repeated in the URL; any other may not. Secrets are never options.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from voicebot.engines.base import Kind
from voicebot.errors import ConfigError

MODELS_DIR = Path("models")
"""Where a model named without its folder is looked for, relative to the working directory."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """A parsed engine URL `scheme://target?options`, e.g. `llama://models/talker.gguf?ctx=4096`."""

    kind: Kind
    scheme: str
    target: str
    """Host plus path, percent-decoded: a file, a model's name or a server; "" where a driver needs none."""
    options: Mapping[str, tuple[str, ...]]
    """Each option's values in the order given."""
    url: str
    models_dir: Path = MODELS_DIR

    @property
    def short_name(self) -> str:
        """What people are shown: the scheme and the last part of the target."""
        return f"{self.scheme} {Path(self.target).name}".strip()

    def find(self, suffix: str = "") -> Path:
        """The target as an existing path: itself, or below `models_dir`; with `suffix` where it has none.

        Returns the target unchanged when nothing exists, so that the driver's error names what was asked for.
        """
        named = Path(os.path.expanduser(self.target))
        candidates = [named, self.models_dir / named]
        candidates += [path.with_name(path.name + suffix) for path in candidates if suffix and path.suffix != suffix]
        return next((path for path in candidates if path.exists()), named)


class DriverOptions(BaseModel):
    """Base of every driver's options: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


OptionsT = TypeVar("OptionsT", bound=DriverOptions)


def parse_options(model: type[OptionsT], spec: EngineSpec) -> OptionsT:
    """The options of `spec` checked against the driver's `model`.

    Raises: ConfigError, naming every wrong option and listing those known.
    """
    values: dict[str, object] = {}
    for name, given in spec.options.items():
        field = model.model_fields.get(name)
        repeatable = field is not None and get_origin(field.annotation) is tuple
        if len(given) > 1 and not repeatable:
            raise ConfigError(f"{spec.url}: option {name!r} is given {len(given)} times; give it once")
        values[name] = given if repeatable else given[0]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, model, spec)) from error


def _explain(error: ValidationError, model: type[DriverOptions], spec: EngineSpec) -> str:
    """One line: each fault with its value, then what the driver knows."""
    faults = []
    for fault in error.errors():
        name = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            faults.append(f"unknown option {name!r}")
        elif fault["type"] == "missing":
            faults.append(f"option {name!r} is needed")
        else:
            faults.append(f"option {name!r} has a bad value {fault['input']!r} ({fault['msg']})")
    known = ", ".join(sorted(model.model_fields)) or "none"
    return f"{spec.url}: {'; '.join(faults)}. Options of {spec.scheme} ({spec.kind}): {known}"
