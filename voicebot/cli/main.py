"""The command line: `voicebot serve | call | replay | doctor | models`.

Exit codes: 0 done, 1 it failed (a call, a replay, an engine), 2 what was given is wrong (a file, a setting, an option).
With --json, standard output is one JSON document and nothing else; everything for people goes to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import voicebot.cli.one_blas_thread  # noqa: F401 - it must come before numpy does
from voicebot.cli.audit import audit
from voicebot.cli.bench import app as bench_app
from voicebot.cli.bill import bill
from voicebot.cli.calls import app as calls_app
from voicebot.cli.docs import app as docs_app
from voicebot.cli.evals import app as eval_app
from voicebot.cli.models import app as models_app
from voicebot.cli.train import app as train_app
from voicebot.config import Config, load_config
from voicebot.errors import ConfigError, ProtocolError, VoicebotError

app = typer.Typer(
    help="A self-hosted real-time voice assistant.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(models_app, name="models")
app.add_typer(train_app, name="train")
app.add_typer(eval_app, name="eval")
app.add_typer(bench_app, name="bench")
app.add_typer(calls_app, name="calls")
app.add_typer(docs_app, name="docs")
app.command()(bill)
app.command()(audit)
FAILED, BAD_INPUT = 1, 2
TELL_WORDS = (
    "openai",
    "anthropic",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "websockets",
    "uvicorn.error",
    "mcp",
    "asyncio",
    "aiortc",
)
"""Libraries whose debug messages hold what is sent or received; not even --debug has them tell it."""

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


def _settings(
    profile: Annotated[str | None, typer.Option(help="Which engines: auto, embedded, local or gpu.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file; without it ./voicebot.toml, where there is one.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="E.g. turn.max_wait_ms=900; repeatable.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 for any free one.")] = None,
) -> Config:
    """The flags are the strongest settings. Raises: ConfigError."""
    flags = {"profile": profile, "server.host": host, "server.port": port}
    given = [f"{key}={value}" for key, value in flags.items() if value is not None]
    return load_config(config, overrides=[*(settings or []), *given])


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_settings`; it gets their `Config`, and its errors are reported.

    One that has a parameter `again` also gets a function that reads them anew.
    """
    shared = inspect.signature(_settings, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [context, *(own[name] for name in own if name not in ("config", "again")), *shared.values()]

    def run(context: typer.Context, **options: Any) -> None:
        with _reported(context):
            read = partial(_settings, **{name: options.pop(name) for name in shared})
            more = {"again": read} if "again" in own else {}
            command(config=read(), **more, **options)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


@app.callback()
def _main(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Log more, and show tracebacks.")] = False,
) -> None:
    context.obj = debug
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO if context.invoked_subcommand == "serve" else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for telltale in TELL_WORDS:
        logging.getLogger(telltale).setLevel(logging.INFO if debug else logging.WARNING)
    if not debug:
        for chatty in ("aioice", "aiortc", "alembic", "uvicorn"):
            logging.getLogger(chatty).setLevel(logging.WARNING)


@app.command()
@_with_settings
def serve(config: Config, again: Callable[[], Config]) -> None:
    """Load the models and take calls until Ctrl-C. SIGHUP takes the fleet of the changed settings."""
    from voicebot.server import Banner, run_server

    console = Console(stderr=True)

    def announce(banner: Banner) -> None:
        console.print(f"[bold]voicebot[/] is ready after {banner.load_s:.1f} s: [bold]{banner.url}[/]")
        console.print(f"  profile {banner.profile}", *banner.reasons, sep="\n    ", markup=False, soft_wrap=True)
        for kind, name in banner.engines.items():
            console.print(f"  {kind:<4}  {name}", markup=False, soft_wrap=True)
        console.print("  privacy", *banner.outward, sep="\n    ", markup=False, soft_wrap=True)

    console.print("loading the models ...")
    run_server(config, announce, again)


@app.command()
def call(
    context: typer.Context,
    wavs: Annotated[list[Path], typer.Argument(metavar="WAV...", help="Mono 16-bit PCM at 8 or 16 kHz; one a turn.")],
    url: Annotated[
        str, typer.Option(help="http://HOST:PORT for WebRTC, VENDOR+ws://HOST:PORT, audiosocket://HOST:PORT.")
    ] = "http://127.0.0.1:8080",
    as_json: JsonOption = False,
    save: Annotated[Path | None, typer.Option(help="Write what was heard to this WAV.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for each answer, and for its end.")] = 30.0,
) -> None:
    """Call a server and speak WAVs; report what was heard, what was answered, and how fast."""
    with _reported(context):
        from voicebot.cli.call import converse, show
        from voicebot.cli.wav import read_speech, write_wav

        speeches = [read_speech(path) for path in wavs]
        report = asyncio.run(converse(url, speeches, timeout))
        if save:
            write_wav(save, report.pcm, report.rate_hz)
        _print_json(report.document()) if as_json else show(report, Console())


@app.command()
@_with_settings
def token(
    config: Config,
    vendor: Annotated[str, typer.Argument(help="twilio, asterisk, audio_stream, audiosocket, ...")],
    password: Annotated[bool, typer.Option("--password", help="The vendor's standing password instead.")] = False,
) -> None:
    """A media URL for one telephone call, or a vendor's password, for exchanges that ask for no answer document."""
    from voicebot.cli.token import credential

    typer.echo(credential(config, vendor, password))


@app.command()
def replay(
    context: typer.Context,
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="A call's trace, one JSON object a line.")],
    as_json: JsonOption = False,
) -> None:
    """Decide a recorded call again from its trace; exit 1 with the first difference if there is one."""
    with _reported(context):
        from voicebot.core.trace import replay as replay_lines
        from voicebot.core.trace import words_left_out

        try:
            with trace.open(encoding="utf-8") as lines:
                recorded = lines.readlines()
            difference, left_out = replay_lines(recorded), words_left_out(recorded)
        except OSError as error:
            raise ConfigError(f"cannot read {trace}: {error.strerror}") from None
        except (ProtocolError, UnicodeDecodeError) as error:
            raise ConfigError(f"{trace} cannot be replayed: {error}") from None
        without = "; the words of private turns are left out of it, so what hung on them cannot be decided again"
        without = without if left_out else ""
        if as_json:
            found = difference and asdict(difference)
            _print_json({"identical": difference is None, "words_left_out": left_out, "difference": found})
        elif difference is None:
            typer.echo(f"{trace}: identical{without}")
        else:
            typer.echo(f"{trace}, line {difference.line}: {difference.event} was answered otherwise{without}")
            for title, commands in (("recorded", difference.recorded), ("replayed", difference.replayed)):
                typer.echo("\n  ".join([f"{title}:", *(commands or ["(nothing)"])]))
        if difference is not None:
            raise typer.Exit(FAILED)


@app.command()
@_with_settings
def doctor(config: Config, as_json: JsonOption = False) -> None:
    """Check the installation and the chosen models, and try one turn; exit 1 if something needed is broken."""
    from voicebot.cli.doctor import examine, show

    with _stdout_to_stderr():
        report = examine(config)
    _print_json(report.document()) if as_json else show(report, Console())
    if not report.ok:
        raise typer.Exit(FAILED)


@contextlib.contextmanager
def _reported(context: typer.Context) -> Iterator[None]:
    """One clear line and an exit code for our errors; a traceback only with --debug."""
    try:
        yield
    except VoicebotError as error:
        if context.obj:
            raise
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(BAD_INPUT if isinstance(error, ConfigError) else FAILED) from None


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
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


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def run() -> None:
    """The `voicebot` program."""
    app()


if __name__ == "__main__":
    run()
