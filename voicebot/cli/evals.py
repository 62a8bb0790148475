"""`voicebot eval router | calibrate | shadow`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from voicebot.cli.calibrate import calibrate
from voicebot.cli.shadow import shadow
from voicebot.errors import ConfigError, VoicebotError
from voicebot.profiles import models_dir

app = typer.Typer(help="Measure a model on labelled data.", no_args_is_help=True)
FAILED, BAD_INPUT = 1, 2


app.command()(calibrate)
app.command()(shadow)


@app.command()
def router(
    files: Annotated[list[Path], typer.Option("--data", help='Lines of {"text", "task", "hard"}; repeatable.')],
    model: Annotated[
        Path | None, typer.Option("--model", help="A router's folder; the shipped one by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
    noisy: Annotated[bool, typer.Option("--noise", help="With a recogniser's errors put in.")] = False,
    learned: Annotated[
        list[Path] | None, typer.Option("--train", help="Its training lines: adds the nearest-neighbour baseline.")
    ] = None,
    embed: Annotated[str, typer.Option(help="The sentence model that it was trained on.")] = "",
    curve: Annotated[Path | None, typer.Option(help="Write the risk-coverage curve to this SVG.")] = None,
) -> None:
    """How often a router is right, overall and per task, and how well it knows."""
    from voicebot.brain.router import Router
    from voicebot.cli.train import shipped_router
    from voicebot.engines.sentences import open_sentences
    from voicebot.evals.router import disturbed, evaluate, write_curve
    from voicebot.training.router import read_examples

    try:
        examples = read_examples(files)
        shown = disturbed(examples) if noisy else examples
        sentences = open_sentences(embed, models_dir()) if embed else None
        report = evaluate(Router.load(model or shipped_router(), sentences), shown, read_examples(learned or []))
        if curve:
            write_curve(report["risk_coverage"], curve)
    except OSError as error:
        typer.echo(f"error: cannot write {curve}: {error.strerror}", err=True)
        raise typer.Exit(FAILED) from None
    except VoicebotError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(BAD_INPUT if isinstance(error, ConfigError) else FAILED) from None
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    inside, outside = report["in_scope"], report["oos_recall"]
    typer.echo(f"accuracy {report['accuracy']:.1%} of {report['n']}; calibration error {report['ece']:.3f}")
    typer.echo(
        f"in scope {inside['share']:.1%} of {inside['n']}; out of scope {outside['share']:.1%} of {outside['n']}"
    )
