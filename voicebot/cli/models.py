"""`voicebot models list | pull | verify | rm | path`: names come from the manifest, files from the hub."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from voicebot.errors import ConfigError, VoicebotError
from voicebot.machine import this_machine
from voicebot.models import Model, find_model, is_pulled, load_manifest, remove_model, verify_model
from voicebot.profiles import models_dir
from voicebot.sizes import recommended

app = typer.Typer(help="Fetch, check and remove speech and language models.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name from `voicebot models list`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
FAILED, BAD_INPUT = 1, 2
SAID = {
    "first": "first pull; the hub's own hashes are pinned in voicebot.lock.json from now on (trust on first use)",
    "repaired": "made whole again, with the hashes that were pinned at its first pull",
    "present": "already here, nothing was fetched; `voicebot models verify` compares its files with the pinned hashes",
}
"""By `Pulled.how`."""


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List every model that can be pulled, which have been, and which suit this machine."""
    with _reported():
        root, manifest, machine = models_dir(), load_manifest(), this_machine()
        fitting = {choice.name for choice in recommended(manifest, machine).values()}
        rows = [
            model.model_dump() | {"pulled": is_pulled(model, root), "recommended": model.name in fitting}
            for model in manifest.values()
        ]
        if as_json:
            _print({"models_dir": str(root), "machine": asdict(machine), "models": rows})
            return
        typer.echo(f"* suits {machine}{' (--profile gpu)' if machine.gpu_mb else ''}; models live in {root}")
        for row in rows:
            typer.echo(_line(row))


def _line(row: dict[str, Any]) -> str:
    star, pulled = "*" if row["recommended"] else " ", "pulled" if row["pulled"] else ""
    unsure = "" if row["verified"] else " (checked at first pull)"
    size = f"~{row['size_mb']:>5} MB"
    return f"{star} {row['name']:<26} {row['kind']:<4} {size}  {pulled:<6}  {row['good_for']}{unsure}"


@app.command()
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names from `voicebot models list`.")],
    as_json: JsonOption = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never open a connection.")] = False,
) -> None:
    """Fetch models from the hub; go on where an earlier pull was cut."""
    with _reported():
        root, manifest = models_dir(), load_manifest()
        models = [find_model(name, manifest) for name in names]
        console = Console(stderr=True)
        documents = [_pull(model, root, offline, console) for model in models]
        if as_json:
            _print(documents[0] if len(documents) == 1 else {"models": documents})
        else:
            for document in documents:
                typer.echo(document["path"])


def _pull(model: Model, root: Path, offline: bool, console: Console) -> dict[str, Any]:
    """Raises: ModelError, ConfigError."""
    from voicebot.models_pull import pull_model

    with Progress(*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn(), console=console) as bars:
        tasks: dict[str, Any] = {}

        def show(file: str, done: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(Path(file).name, total=total)
            bars.update(tasks[file], completed=done)

        pulled = pull_model(model, root, offline, show)
    console.print(f"{model.name}: {SAID[pulled.how]}", markup=False, soft_wrap=True)
    files = len(pulled.lock.files)
    return _document(model, root) | {"commit": pulled.lock.commit, "files": files, "how": pulled.how}


@app.command()
def verify(name: NameArgument, as_json: JsonOption = False) -> None:
    """Compare a pulled model's files with their pinned hashes; exit 1 if one differs."""
    with _reported():
        root, model = models_dir(), find_model(name, load_manifest())
        _answer(as_json, model, root, files=verify_model(model, root))


@app.command()
def rm(name: NameArgument, as_json: JsonOption = False) -> None:
    """Delete a pulled model, or what a cut pull has left of it."""
    with _reported():
        root, model = models_dir(), find_model(name, load_manifest())
        remove_model(model, root)
        _answer(as_json, model, root)


@app.command()
def path(name: NameArgument, as_json: JsonOption = False) -> None:
    """Print where a pulled model lies; with --json also the engine URL that loads it."""
    with _reported():
        root, model = models_dir(), find_model(name, load_manifest())
        if not is_pulled(model, root):
            raise ConfigError(f"{name} is not whole in {root}; `voicebot models pull {name}`")
        _answer(as_json, model, root)


def _answer(as_json: bool, model: Model, root: Path, **more: Any) -> None:
    _print(_document(model, root) | more) if as_json else typer.echo(model.folder(root))


def _document(model: Model, root: Path) -> dict[str, Any]:
    return {"name": model.name, "path": str(model.folder(root)), "url": model.url(root)}


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
