"""`voicebot bench latency | load | turns`: whole calls, from recorded speech to audible answers."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console

from voicebot.cli.bench_parts import ProfileOption, ShapeOption, numbers, print_json, reported, stdout_to_stderr
from voicebot.errors import ConfigError

if TYPE_CHECKING:
    from voicebot.bench.crowd import Sentence
    from voicebot.bench.load import Crowd
    from voicebot.cli.wav import Speech

SENTENCES = "what_time_is_it seven_times_eight set_a_timer what_is_your_name twelve_plus_thirty".split()
ANSWER_S = 60.0
TRANSPORTS = ("loopback", "twilio", "webrtc")
_PACKAGE = Path(__file__).resolve().parent.parent

WavArgument = Annotated[
    list[Path] | None, typer.Argument(metavar="[WAV]...", help="Recordings; default: those that come with voicebot.")
]
SettingOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting; repeatable.")]
PlotOption = Annotated[Path | None, typer.Option("--plot", help="Write a picture: FILE.png or FILE.svg.")]
FileOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures; - for stdout.")]


def add_to(app: typer.Typer) -> None:
    """Hang the commands of this file on `voicebot bench`."""
    for command in (latency, load, turns):
        app.command()(command)


def latency(
    wavs: WavArgument = None,
    transport: Annotated[str, typer.Option(help="loopback, twilio or webrtc.")] = "loopback",
    turns: Annotated[int, typer.Option(min=1, help="How many turns are measured.")] = 20,
    profile: ProfileOption = None,
    shape: ShapeOption = None,
    settings: SettingOption = None,
    json_file: FileOption = None,
    plot: PlotOption = None,
) -> None:
    """Voice to voice: from the last speech sample of a recording to the first audible sample that comes back."""
    with reported():
        from voicebot.bench.latency import summarize
        from voicebot.bench.tables import show_latency
        from voicebot.cli.bench_talk import talk

        if transport not in TRANSPORTS:
            raise ConfigError(f"--transport {transport!r} is unknown; known: {', '.join(TRANSPORTS)}")
        speeches = _speeches(wavs, SENTENCES)
        with stdout_to_stderr():
            chosen = _engines(profile, shape or [], speeches) + (settings or [])
            spoken = [speeches[turn % len(speeches)] for turn in range(turns)]
            talked, events = talk(chosen, spoken, transport, ANSWER_S)
        result = summarize("+".join(shape or []) or profile or "auto", transport, talked, events)
        _written("latency", result.document(), bool(shape), json_file)
        if plot:
            from voicebot.bench.pictures import draw_latency

            draw_latency([result], _title(bool(shape)), plot)
        show_latency(result, _title(bool(shape)), Console(stderr=True))


def load(
    calls: Annotated[str, typer.Option(help="Numbers of calls at once, with commas between.")] = "1,5,10,20,40",
    server_only: Annotated[
        bool, typer.Option("--server-only", help="Engines that cost nothing: only the server is measured.")
    ] = False,
    transport: Annotated[str, typer.Option(help="twilio or webrtc.")] = "twilio",
    seconds: Annotated[float, typer.Option(min=6.0, help="How long each number of calls talks.")] = 15.0,
    profile: ProfileOption = None,
    shape: ShapeOption = None,
    settings: SettingOption = None,
    json_file: FileOption = None,
    plot: PlotOption = None,
) -> None:
    """Calls per core: the server on one processor, the callers on the others."""
    with reported():
        from voicebot.bench.load import SCRIPTED, measure_load
        from voicebot.bench.tables import show_load

        levels = numbers(calls)
        speech = _speeches(None, SENTENCES[:1])[0]
        with stdout_to_stderr():
            chosen = ["profile=embedded", *SCRIPTED] if server_only else _engines(profile, shape or [], [speech])
            result = measure_load(levels, [*chosen, *(settings or [])], _crowd(transport, speech), seconds, _tell)
        _written("load", result.document(), bool(shape), json_file)
        if plot:
            from voicebot.bench.pictures import draw_load

            draw_load(result, _title(bool(shape)), plot)
        show_load(result, _title(bool(shape)), Console(stderr=True))


def turns(
    wavs: WavArgument = None,
    profile: ProfileOption = None,
    settings: SettingOption = None,
    json_file: FileOption = None,
    plot: PlotOption = None,
) -> None:
    """False cut-offs against waiting, on recordings with pauses: the real ear and turn machine, on the sample clock."""
    with reported():
        from voicebot.bench.tables import show_turns
        from voicebot.cli.bench_talk import rehearse

        speeches = _speeches(wavs, None)
        with stdout_to_stderr():
            result = rehearse([*([f"profile={profile}"] if profile else []), *(settings or [])], speeches, _tell)
        _written("turns", result.document(), False, json_file)
        if plot:
            from voicebot.bench.pictures import draw_turns

            draw_turns(result, _title(False), plot)
        show_turns(result, _title(False), Console(stderr=True))


def _tell(line: str) -> None:
    typer.echo(line, err=True)


def speech_dir() -> Path:
    """The recordings that come with voicebot: in the package, else in the repository beside it. Raises: ConfigError."""
    places = (_PACKAGE / "speech", _PACKAGE.parent / "tests" / "speech")
    found = next((place for place in places if (place / "transcripts.tsv").is_file()), None)
    if found is None:
        raise ConfigError(f"there are no recordings in {' or '.join(map(str, places))}; name some: WAV...")
    return found


def transcripts(folder: Path) -> dict[str, str]:
    """File name -> words, of `transcripts.tsv`."""
    with (folder / "transcripts.tsv").open(newline="", encoding="utf-8") as file:
        return {row["file"]: row["words"] or "" for row in csv.DictReader(file, delimiter="\t")}


def _speeches(wavs: Sequence[Path] | None, names: Sequence[str] | None) -> list[Speech]:
    """Those that were named, else of ours: `names`, or all with more than one word and no pause."""
    from voicebot.cli.wav import read_speech

    if wavs:
        return [read_speech(path) for path in wavs]
    folder = speech_dir()
    if names is None:
        words = transcripts(folder)
        names = [file.removesuffix(".wav") for file in words if len(words[file].split()) > 2 and "pause" not in file]
    return [read_speech(folder / f"{name}.wav") for name in names]


def _engines(profile: str | None, shapes: Sequence[str], speeches: Sequence[Speech]) -> list[str]:
    """The settings that choose the engines: a profile's, or those of shapes over the embedded ones.

    A recogniser's shape has the end-of-turn model that the recogniser itself would have.
    """
    from voicebot.bench.prompts import REPLIES
    from voicebot.bench.shapes import find_shape, make_shape, shapes_dir
    from voicebot.core.settings import TurnSettings
    from voicebot.profiles import turn_engine

    chosen = [f"profile={profile or 'embedded'}"] if profile or shapes else []
    root = shapes_dir()
    words = transcripts(speech_dir()) if shapes else {}
    for shape in map(find_shape, shapes):
        make_shape(shape, root)
        url = shape.url(root)
        if shape.kind == "stt":
            heard = f"&lead_ms={TurnSettings().lead_in_ms}" + "".join(
                f"&text={quote(words.get(speech.name, 'what is it'))}&ms={_heard_ms(speech):.0f}" for speech in speeches
            )
            chosen.append(f"engines.turn={turn_engine(url)}")
            url = f"worded://?engine={quote(url, safe='')}{heard}"
        elif shape.kind == "llm":
            said = "".join(f"&reply={quote(reply)}" for reply in REPLIES)
            url = f"worded://?engine={quote(url, safe='')}{said}"
        chosen.append(f"engines.{shape.kind}={url}")
    return chosen


def _heard_ms(speech: Speech) -> float:
    """Of its speech, to the end of the last window that is voiced: what a turn holds behind its lead-in."""
    from voicebot.cli.wav import speech_start
    from voicebot.core.audio import SPEECH_RATE_HZ, WINDOW_SAMPLES

    samples = speech.speech_stop_sample - speech_start(speech.pcm) + WINDOW_SAMPLES
    return samples * 1000 / SPEECH_RATE_HZ


def _crowd(transport: str, speech: Speech) -> Crowd:
    """Raises: ConfigError."""
    from functools import partial

    from voicebot.bench.crowd import crowd
    from voicebot.cli.bench_talk import webrtc_crowd

    if transport == "webrtc":
        return partial(webrtc_crowd, speech)
    if transport == "twilio":
        return partial(crowd, _sentence(speech))
    raise ConfigError(f"--transport {transport!r} is unknown; known: twilio, webrtc")


def _sentence(speech: Speech) -> Sentence:
    import numpy as np

    from voicebot.bench.crowd import RATE_HZ, sentence
    from voicebot.cli.wav import speech_start
    from voicebot.core.audio import SPEECH_RATE_HZ, resampler

    converter = resampler(SPEECH_RATE_HZ, RATE_HZ)
    pcm = np.concatenate((converter.push(speech.pcm), converter.flush()))
    return sentence(pcm, speech_start(pcm, RATE_HZ), speech.speech_stop_sample * RATE_HZ // SPEECH_RATE_HZ)


def _title(shapes: bool) -> str:
    from voicebot.bench.measure import machine
    from voicebot.bench.shapes import NOTE

    where = machine()
    return f"{where['cpu']}, {where['cores']} cores" + (f" ({NOTE})" if shapes else "")


def _written(bench: str, figures: dict[str, Any], shapes: bool, file: Path | None) -> None:
    """The figures as JSON. Raises: ConfigError when the file cannot be written."""
    import json

    from voicebot.bench.measure import machine
    from voicebot.bench.shapes import NOTE

    if file is None:
        return
    document = {"bench": bench, "machine": machine(), **({"note": NOTE} if shapes else {}), **figures}
    if str(file) == "-":
        print_json(document)
        return
    try:
        file.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from None
