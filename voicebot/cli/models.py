"""`voicebot models list | pull | verify | rm | path`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from voicebot.errors import ConfigError, VoicebotError
from voicebot.models import Model, find_model, load_manifest, read_lock, remove_model, verify_model
from voicebot.profiles import models_dir

app = typer.Typer(help="Models: list, pull, verify, rm, path.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name from `voicebot models list`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
FAILED, BAD_INPUT = 1, 2


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """Every model that can be pulled, and whether it has been."""
    with _reported():
        root = models_dir()
        rows = [_row(model, root) for model in load_manifest().values()]
        if as_json:
            _print({"models_dir": str(root), "models": rows})
            return
        for row in rows:
            mark = "pulled" if row["pulled"] else ""
            line = f"{row['name']:<26} {row['kind']:<4} ~{row['size_mb']:>5} MB  {mark:<6}  {row['good_for']}"
            typer.echo(line + ("" if row["verified"] else " (names not confirmed)"))


@app.command()
def pull(
    name: NameArgument,
    as_json: JsonOption = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never open a connection.")] = False,
) -> None:
    """Fetch a model from the hub; go on where an earlier pull was cut."""
    with _reported():
        from voicebot.models_pull import pull_model

        root, model = models_dir(), find_model(name, load_manifest())
        console = Console(stderr=True)
        with Progress(
            *Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn(), console=console
        ) as bars:
            tasks: dict[str, Any] = {}

            def show(file: str, done: int, total: int) -> None:
                if file not in tasks:
                    tasks[file] = bars.add_task(Path(file).name, total=total)
                bars.update(tasks[file], completed=done)

            lock = pull_model(model, root, offline, show)
        console.print("pinned by the hub's own hashes at this first pull (trust on first use)", markup=False)
        _answer(as_json, model, root, commit=lock.commit, files=len(lock.files))


@app.command()
def verify(name: NameArgument, as_json: JsonOption = False) -> None:
    """Compare a pulled model with its lock; exit 1 if a file is another."""
    with _reported():
        root, model = models_dir(), find_model(name, load_manifest())
        _answer(as_json, model, root, files=verify_model(model, root))


@app.command()
def rm(name: NameArgument, as_json: JsonOption = False) -> None:
    """Delete a pulled model."""
    with _reported():
        root, model = models_dir(), find_model(name, load_manifest())
        remove_model(model, root)
        _answer(as_json, model, root)


@app.command()
def path(name: NameArgument, as_json: JsonOption = False) -> None:
    """Where a pulled model lies."""
    with _reported():
        root, model = models_dir(), find_model(name, load_manifest())
        if read_lock(model.folder(root)) is None:
            raise ConfigError(f"{name} is not in {root}; `voicebot models pull {name}`")
        _answer(as_json, model, root)


def _row(model: Model, root: Path) -> dict[str, Any]:
    return model.model_dump() | {"pulled": read_lock(model.folder(root)) is not None}


def _answer(as_json: bool, model: Model, root: Path, **more: Any) -> None:
    folder = model.folder(root)
    _print({"name": model.name, "path": str(folder), "url": model.url(root), **more}) if as_json else typer.echo(folder)


def _print(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    """One clear line and an exit code for our errors."""
    try:
        yield
    except VoicebotError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(BAD_INPUT if isinstance(error, ConfigError) else FAILED) from None
