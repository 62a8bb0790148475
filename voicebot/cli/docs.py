"""`voicebot docs list | search`: what the server would read of the documents, and what it would find in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from voicebot.config import load_config
from voicebot.documents import Documents
from voicebot.errors import ConfigError

app = typer.Typer(help="The documents that the bot answers from.", no_args_is_help=True)
BAD_INPUT = 2
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
    """The passages that answer a question best; coverage is how much of the question's words they have."""
    from voicebot.brain.passages import best_sentences

    hits = _read(folder, config).search(question)
    if as_json:
        found = [
            {
                "source": hit.passage.source,
                "title": hit.passage.title,
                "coverage": round(hit.coverage, 3),
                "score": round(hit.score, 3),
                "sentences": best_sentences(hit),
                "text": hit.passage.text,
            }
            for hit in hits
        ]
        typer.echo(json.dumps({"question": question, "passages": found}, ensure_ascii=False, indent=2))
        return
    for hit in hits:
        typer.echo(f"{hit.coverage:4.0%}  {hit.passage.source}  {hit.passage.title}\n      {best_sentences(hit)}")
    if not hits:
        typer.echo("nothing: no word of it is in the documents")


def _read(folder: Path | None, config: Path | None) -> Documents:
    try:
        named = folder or load_config(config).documents.dir
        if named is None:
            raise ConfigError("no documents: set documents.dir, or give --dir")
        documents = Documents(named)
        documents.scan()
    except ConfigError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(BAD_INPUT) from None
    return documents
