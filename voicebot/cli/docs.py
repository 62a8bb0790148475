"""`voicebot docs list | search`: what the server would read of the documents, and what it would find in them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicebot.cli.books import reported
from voicebot.config import load_config
from voicebot.documents import Documents, documents_of
from voicebot.errors import ConfigError
from voicebot.profiles import models_dir

if TYPE_CHECKING:
    from voicebot.brain.passages import Hit

app = typer.Typer(help="The documents that the bot answers from.", no_args_is_help=True)
Folder = Annotated[Path | None, typer.Option("--dir", help="The folder; documents.dir of the settings by default.")]
Settings = Annotated[Path | None, typer.Option("--config", help="TOML file; without it ./voicebot.toml.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@app.command(name="list")
def list_files(folder: Folder = None, config: Settings = None, as_json: Json = False) -> None:
    """The files that are read, with their passages, and those that cannot be."""
    documents = _read(folder, config)
    if as_json:
        typer.echo(json.dumps({"files": documents.files, "problems": documents.problems}, indent=2))
        return
    for name, passages in documents.files.items():
        typer.echo(f"{passages:5}  {name}  {documents.problems.get(name, '')}".rstrip())
    typer.echo(f"{len(documents.index)} passages of {len(documents.files)} files in {documents.folder}")


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="As a caller would ask.")],
    folder: Folder = None,
    config: Settings = None,
    as_json: Json = False,
) -> None:
    """The passages that answer a question best, and how much of it: by words or, with a sentence model, by meaning."""
    from voicebot.brain.passages import best_sentences

    hits = _found(folder, config, question)
    if as_json:
        found = [
            {
                "source": hit.passage.source,
                "title": hit.passage.title,
                "coverage": round(hit.coverage, 3),
                "meaning": round(hit.meaning, 3),
                "score": round(hit.score, 3),
                "sentences": best_sentences(hit),
                "text": hit.passage.text,
            }
            for hit in hits
        ]
        typer.echo(json.dumps({"question": question, "passages": found}, ensure_ascii=False, indent=2))
        return
    for hit in hits:
        typer.echo(f"{hit.found:4.0%}  {hit.passage.source}  {hit.passage.title}\n      {best_sentences(hit)}")
    if not hits:
        typer.echo("nothing: no word of it is in the documents")


def _found(folder: Path | None, config: Path | None, question: str) -> list[Hit]:
    """As a call would find it. Vectors are made first, where they are not kept from the last time."""

    async def ask(documents: Documents) -> list[Hit]:
        try:
            await documents.load()
            await documents.embed()
            return await documents.search(question)
        finally:
            await documents.aclose()

    with reported():
        return asyncio.run(ask(_named(folder, config)))


def _read(folder: Path | None, config: Path | None) -> Documents:
    with reported():
        documents = _named(folder, config)
        documents.scan()
    return documents


def _named(folder: Path | None, config: Path | None) -> Documents:
    """Raises: ConfigError."""
    settings = load_config(config)
    if folder is not None:
        changed = settings.documents.model_copy(update={"dir": folder})
        settings = settings.model_copy(update={"documents": changed})
    documents = documents_of(settings, models_dir())
    if documents is None:
        raise ConfigError("no documents: set documents.dir, or give --dir")
    return documents
