"""What the commands of `voicebot bench` have in common: options, errors, output."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from voicebot.errors import ConfigError, VoicebotError

FAILED, BAD_INPUT = 1, 2

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
ShapeOption = Annotated[
    list[str] | None, typer.Option("--shape", help="From `voicebot bench shapes list`; repeatable; made if need be.")
]
UrlOption = Annotated[list[str] | None, typer.Option("--url", help="An engine URL; repeatable.")]
RepeatOption = Annotated[int, typer.Option("--repeat", min=1, help="Runs of each measurement.")]
PlotOption = Annotated[Path | None, typer.Option("--plot", help="Write a picture to this SVG file.")]
ProfileOption = Annotated[str | None, typer.Option("--profile", help="Without --shape and --url: its own engine.")]


def numbers(listed: str) -> list[int]:
    """The levels of `--calls`. Raises: ConfigError."""
    try:
        found = [int(number) for number in listed.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise ConfigError(f"--calls {listed!r} is no list of numbers like 1,5,10")
    return found


def print_json(document: dict[str, Any]) -> None:
    """One document on standard output."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """One clear line and an exit code for our errors."""
    try:
        yield
    except VoicebotError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(BAD_INPUT if isinstance(error, ConfigError) else FAILED) from None


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Libraries written in C print to file descriptor 1 as they please; meanwhile it is standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
