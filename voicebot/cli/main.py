"""The command line: `voicebot serve | call | replay | doctor | models`.

Exit codes: 0 done, 1 it failed (a call, a replay, an engine), 2 what was given is wrong (a file, a setting, an option).
With --json, standard output is one JSON document and nothing else; everything for people goes to standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from voicebot.cli.models import app as models_app
from voicebot.config import Config, load_config
from voicebot.errors import ConfigError, ProtocolError, VoicebotError

app = typer.Typer(
    help="A self-hosted real-time voice assistant.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(models_app, name="models")
FAILED, BAD_INPUT = 1, 2

ProfileOption = Annotated[str | None, typer.Option("--profile", help="auto, embedded, local or gpu.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file; ./voicebot.toml if there is one.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, e.g. turn.max_wait_ms=900; repeatable.")]
HostOption = Annotated[str | None, typer.Option("--host", help="Address to listen on.")]
PortOption = Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 for any free one.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@app.callback()
def _main(
    context: typer.Context, debug: Annotated[bool, typer.Option("--debug", help="Log more, show tracebacks.")] = False
) -> None:
    context.obj = debug
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO if context.invoked_subcommand == "serve" else logging.ERROR,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    if not debug:
        for chatty in ("aioice", "aiortc", "uvicorn"):
            logging.getLogger(chatty).setLevel(logging.WARNING)


@app.command()
def serve(
    context: typer.Context,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    host: HostOption = None,
    port: PortOption = None,
) -> None:
    """Take calls until Ctrl-C."""
    with _reported(context):
        from voicebot.server import Banner, run_server

        console = Console(stderr=True)

        def announce(banner: Banner) -> None:
            console.print(f"[bold]voicebot[/] is ready after {banner.load_s:.1f} s: [bold]{banner.url}[/]")
            console.print(f"  profile {banner.profile}", *banner.reasons, sep="\n    ", markup=False, soft_wrap=True)
            for kind, name in banner.engines.items():
                console.print(f"  {kind:<4}  {name}", markup=False, soft_wrap=True)

        chosen = _config(config, settings, profile, host, port)
        console.print("loading the models ...")
        run_server(chosen, announce)


@app.command()
def call(
    context: typer.Context,
    wavs: Annotated[list[Path], typer.Argument(metavar="WAV...", help="Mono 16-bit PCM at 8 or 16 kHz; one a turn.")],
    url: Annotated[
        str, typer.Option(help="http://HOST:PORT for WebRTC, ws://HOST:PORT/telephony/twilio for Twilio.")
    ] = "http://127.0.0.1:8080",
    as_json: JsonOption = False,
    save: Annotated[Path | None, typer.Option(help="Write what was heard to this WAV.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for each answer, and for its end.")] = 30.0,
) -> None:
    """Call a server, speak WAVs, and report what was heard, answered, and how fast."""
    with _reported(context):
        from voicebot.cli.call import converse, show
        from voicebot.cli.wav import read_speech, write_wav

        speeches = [read_speech(path) for path in wavs]
        report = asyncio.run(converse(url, speeches, timeout))
        if save:
            write_wav(save, report.pcm, report.rate_hz)
        _print_json(report.document()) if as_json else show(report, Console())


@app.command()
def replay(
    context: typer.Context,
    trace: Annotated[Path, typer.Argument(help="A call's trace, one JSON object a line.")],
    as_json: JsonOption = False,
) -> None:
    """Step a fresh turn machine through a trace; exit 1 with the first difference if it decides otherwise."""
    with _reported(context):
        from voicebot.core.trace import replay as replay_lines

        try:
            with trace.open(encoding="utf-8") as lines:
                difference = replay_lines(lines)
        except OSError as error:
            raise ConfigError(f"cannot read {trace}: {error.strerror}") from None
        except (ProtocolError, UnicodeDecodeError) as error:
            raise ConfigError(f"{trace} cannot be replayed: {error}") from None
        if as_json:
            _print_json({"identical": difference is None, "difference": difference and asdict(difference)})
        elif difference is None:
            typer.echo(f"{trace}: identical")
        else:
            typer.echo(f"{trace}, line {difference.line}: {difference.event} was answered otherwise")
            for title, commands in (("recorded", difference.recorded), ("replayed", difference.replayed)):
                typer.echo("\n  ".join([f"{title}:", *(commands or ["(nothing)"])]))
        if difference is not None:
            raise typer.Exit(FAILED)


@app.command()
def doctor(
    context: typer.Context,
    as_json: JsonOption = False,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    host: HostOption = None,
    port: PortOption = None,
) -> None:
    """Check the installation and the chosen engines, with a self-test turn; exit 1 if something needed is broken."""
    with _reported(context):
        from voicebot.cli.doctor import examine, show

        with _stdout_to_stderr():
            report = examine(_config(config, settings, profile, host, port))
        _print_json(report.document()) if as_json else show(report, Console())
        if not report.ok:
            raise typer.Exit(FAILED)


def _config(
    file: Path | None, settings: list[str] | None, profile: str | None, host: str | None, port: int | None
) -> Config:
    """The flags are the strongest settings. Raises: ConfigError."""
    flags = {"profile": profile, "server.host": host, "server.port": port}
    given = [f"{key}={value}" for key, value in flags.items() if value is not None]
    return load_config(file, overrides=[*(settings or []), *given])


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
