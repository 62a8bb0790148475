"""`voicebot bench stt | llm | tts | shapes`: how fast the engines are on this machine."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from voicebot.cli import bench_calls
from voicebot.cli.bench_parts import (
    JsonOption,
    PlotOption,
    ProfileOption,
    RepeatOption,
    ShapeOption,
    UrlOption,
    numbers,
    print_json,
    reported,
    stdout_to_stderr,
)

if TYPE_CHECKING:
    from voicebot.bench.measure import Measure, Result, Subject
    from voicebot.engines.base import Kind

app = typer.Typer(
    help="Measure engines (stt, llm, tts) and whole calls (latency, load, turns); make models of true size (shapes).",
    no_args_is_help=True,
)
shapes_app = typer.Typer(
    help="Models of a true architecture and size: random weights, speed only.", no_args_is_help=True
)
app.add_typer(shapes_app, name="shapes")
bench_calls.add_to(app)
CallsOption = Annotated[str, typer.Option("--calls", help="How many callers at once, e.g. 1,4.")]


@app.command()
def stt(
    shape: ShapeOption = None,
    url: UrlOption = None,
    repeat: RepeatOption = 5,
    as_json: JsonOption = False,
    plot: PlotOption = None,
    profile: ProfileOption = None,
) -> None:
    """From the last sample to the words, for 1, 3, 5 and 10 s of speech."""
    _bench("stt", shape, url, repeat, as_json, plot, profile)


@app.command()
def llm(
    shape: ShapeOption = None,
    url: UrlOption = None,
    repeat: RepeatOption = 5,
    as_json: JsonOption = False,
    plot: PlotOption = None,
    profile: ProfileOption = None,
    calls: CallsOption = "1,2,4,8",
) -> None:
    """First token with a cold and a cached prefix, and tokens a second, of one caller and of several."""
    _bench("llm", shape, url, repeat, as_json, plot, profile, calls)


@app.command()
def tts(
    shape: ShapeOption = None,
    url: UrlOption = None,
    repeat: RepeatOption = 5,
    as_json: JsonOption = False,
    plot: PlotOption = None,
    profile: ProfileOption = None,
) -> None:
    """First sound and real-time factor of a clause and of a long sentence."""
    _bench("tts", shape, url, repeat, as_json, plot, profile)


@shapes_app.command("list")
def list_shapes(as_json: JsonOption = False) -> None:
    """Every shape, and whether it has been made."""
    from voicebot.bench.shapes import NOTE, SHAPES, is_made, shapes_dir

    root = shapes_dir()
    rows = [
        {"name": s.name, "kind": s.kind, "what": s.good_for, "made": is_made(s, root), "url": s.url(root)}
        for s in SHAPES.values()
    ]
    if as_json:
        print_json({"note": NOTE, "shapes_dir": str(root), "shapes": rows})
        return
    for row in rows:
        typer.echo(f"{row['name']:<18} {row['kind']:<4} {'made' if row['made'] else '':<5} {row['what']}")
    typer.echo(NOTE)


@shapes_app.command()
def make(
    name: Annotated[str, typer.Argument(metavar="NAME", help="From `voicebot bench shapes list`.")],
    as_json: JsonOption = False,
) -> None:
    """Build a shape into the cache, unless it is there."""
    with reported():
        from voicebot.bench.shapes import NOTE, find_shape, make_shape, shapes_dir, size_mb

        root, shape = shapes_dir(), find_shape(name)
        with stdout_to_stderr():
            path = make_shape(shape, root)
        size = size_mb(path)
        if as_json:
            print_json({"name": name, "path": str(path), "url": shape.url(root), "size_mb": size, "note": NOTE})
        else:
            typer.echo(f"{path}\n{size} MB; {shape.url(root)}\n{NOTE}")


def _bench(
    kind: Kind,
    shapes: list[str] | None,
    urls: list[str] | None,
    repeat: int,
    as_json: bool,
    plot: Path | None,
    profile: str | None,
    calls: str = "",
) -> None:
    with reported():
        from voicebot.bench.measure import machine, measure
        from voicebot.bench.report import notes, show, write_svg
        from voicebot.bench.shapes import NOTE

        work = _work(kind, calls)
        results: list[Result] = []
        with stdout_to_stderr():
            for subject in _subjects(kind, shapes or [], urls or [], profile):
                typer.echo(f"measuring {subject.name} ...", err=True)
                results.append(measure(subject, repeat, work))
        where = machine()
        title = f"{where['cpu']}, {where['cores']} cores"
        if plot:
            write_svg(results, title, plot)
        if as_json:
            rows = [result.document() | {"notes": notes(result)} for result in results]
            note = {"note": NOTE} if any(result.random_weights for result in results) else {}
            print_json({"bench": kind, "machine": where, "repeat": repeat, **note, "results": rows})
        else:
            show(results, title, Console())


def _work(kind: Kind, calls: str) -> Measure:
    """Raises: ConfigError."""
    from voicebot.bench.measure_llm import measure_llm
    from voicebot.bench.measure_stt import measure_stt
    from voicebot.bench.measure_tts import measure_tts

    llm = functools.partial(measure_llm, calls=numbers(calls) if calls else ())
    works: dict[Kind, Measure] = {"stt": measure_stt, "llm": llm, "tts": measure_tts}
    return works[kind]


def _subjects(kind: Kind, shapes: list[str], urls: list[str], profile: str | None) -> Iterator[Subject]:
    """The shapes and URLs that were named, else the profile's own engine. Raises: ConfigError."""
    from voicebot.bench.measure import Subject
    from voicebot.bench.shapes import find_shape, make_shape, shapes_dir
    from voicebot.config import load_config
    from voicebot.profiles import resolve_profile

    found = [find_shape(name, kind) for name in shapes]
    root = shapes_dir()
    for shape in found:
        make_shape(shape, root)
        yield Subject(kind, shape.name, shape.url(root), root, random_weights=True)
    if not shapes and not urls:
        resolved = resolve_profile(load_config(None, overrides=[f"profile={profile}"] if profile else []))
        own = getattr(resolved.engines, kind)
        yield _own(kind, own, resolved.models_dir)
    elif urls:
        models = resolve_profile(load_config(None, overrides=["profile=embedded"])).models_dir
        yield from (_own(kind, url, models) for url in urls)


def _own(kind: Kind, url: str, models: Path) -> Subject:
    """Raises: ConfigError for a URL that is none."""
    from voicebot.bench.measure import Subject
    from voicebot.engines.registry import parse

    return Subject(kind, parse(kind, url, models).short_name, url, models, random_weights=False)
