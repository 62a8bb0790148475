"""`voicebot train router`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from voicebot.errors import ConfigError, VoicebotError
from voicebot.profiles import models_dir, shipped_model

app = typer.Typer(help="Train a model on your own data.", no_args_is_help=True)
FAILED, BAD_INPUT = 1, 2
ROUTER = Path("router")
EMBED = "A sentence model instead of the router's own encoder: a pulled model's name, or its folder."


@app.callback()
def _group() -> None:
    """Keeps `router` a subcommand while it is the only one."""


def shipped_router() -> Path:
    """The folder of the router that came with the product."""
    return shipped_model(ROUTER)


@app.command()
def router(
    files: Annotated[list[Path], typer.Option("--data", help='Lines of {"text", "task", "hard"}; repeatable.')],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    embed: Annotated[str, typer.Option(help=EMBED)] = "",
) -> None:
    """Train a router from labelled utterances: seconds, on the CPU, without a network."""
    from voicebot.brain.router import ENCODER
    from voicebot.brain.router_encoder import Encoder
    from voicebot.engines.sentences import open_sentences
    from voicebot.training.router import fit, read_examples, save

    began = time.monotonic()
    try:
        file = None if embed else shipped_router() / ENCODER
        encoder = Encoder.load(file) if file else open_sentences(embed, models_dir())
        trained = fit(read_examples(files), encoder, lambda line: typer.echo(line, err=True))
        save(trained, out, file, Path(embed).name)
    except OSError as error:
        typer.echo(f"error: cannot write {out}: {error.strerror}", err=True)
        raise typer.Exit(FAILED) from None
    except VoicebotError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(BAD_INPUT if isinstance(error, ConfigError) else FAILED) from None
    url = f"router://{out.resolve()}" + (f"?embed={embed}" if embed else "")
    typer.echo(f"{len(trained.tasks)} tasks in {time.monotonic() - began:.1f} s; use it: {url}")
