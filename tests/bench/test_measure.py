"""Measurements go through the drivers and say what they are; no figure is asserted, only what is measured."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from voicebot.bench.measure import Figure, Result, Subject, measure, summary
from voicebot.bench.measure_llm import measure_llm
from voicebot.bench.measure_stt import LENGTHS_S, measure_stt
from voicebot.bench.measure_tts import measure_tts
from voicebot.bench.report import svg
from voicebot.bench.shapes import NOTE, Shape
from voicebot.cli.bench import app
from voicebot.errors import EngineUnavailable


def subject(kind: str, url: str) -> Subject:
    return Subject(kind, url, url, Path("models"), random_weights=False)  # type: ignore[arg-type]


def test_a_figure_is_the_median_and_the_best() -> None:
    assert summary("wait", "ms", [3.0, 1.0, 8.0]) == Figure("wait", "ms", 3.0, 1.0, 3)
    assert summary("speed", "tokens/s", [30.0, 10.0, 80.0]).best == 80.0


def test_a_recogniser_that_streams_is_timed_from_the_last_sample() -> None:
    result = measure(subject("stt", "scripted://?text=hello&stream=true"), 2, measure_stt)
    assert [f.name for f in result.figures if f.unit == "ms"] == [f"final words after {s} s" for s in LENGTHS_S]
    assert [f.name for f in result.figures if f.unit == "x"] == [f"work while {s} s are spoken" for s in LENGTHS_S]
    assert result.notes == ["streaming: fed 100 ms at a time"]


def test_a_recogniser_of_whole_utterances_does_no_work_before() -> None:
    result = measure(subject("stt", "scripted://?text=hello"), 1, measure_stt)
    assert [f.unit for f in result.figures] == ["ms"] * len(LENGTHS_S)
    assert result.notes == ["whole utterances: nothing is done while one speaks"]


def test_a_voice_is_timed_to_its_first_sound() -> None:
    result = measure(subject("tts", "espeak://en-us"), 2, measure_tts)
    assert [f.name.split(",")[0] for f in result.figures] == ["first sound", "work per second of speech"] * 2
    assert all(f.runs == 2 for f in result.figures)


def test_a_model_that_cannot_be_loaded_is_an_error_that_names_it() -> None:
    with pytest.raises(EngineUnavailable, match="nothing.gguf"):
        measure(subject("llm", "llama://nothing.gguf"), 1, measure_llm)


def test_the_picture_is_xml_with_a_bar_for_each_engine_and_says_what_it_is() -> None:
    results = [
        Result("stt", name, "x://", True, 0.1, None, [Figure("wait", "ms", ms, ms, 1)])
        for name, ms in (("a<b", 10.0), ("c", 20.0))
    ]
    picture = ElementTree.fromstring(svg(results, "a machine"))
    bars = [e for e in picture.iter("{http://www.w3.org/2000/svg}rect") if e.get("fill") != "#ffffff"]
    short, long = (float(bar.get("width", "0")) for bar in bars)
    assert short == pytest.approx(long / 2, abs=0.1)
    assert NOTE in "".join(picture.itertext())


@pytest.mark.parametrize(
    ("kind", "name", "more"), [("stt", "whisper-tiny.en", []), ("llm", "qwen3-0.6b", ["--calls", "2"])]
)
def test_the_command_makes_the_shape_measures_it_and_says_that_its_weights_are_random(
    small_shapes: dict[str, Shape],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    name: str,
    more: list[str],
) -> None:
    monkeypatch.setenv("VOICEBOT_HOME", str(tmp_path))
    picture = tmp_path / "picture.svg"
    done = CliRunner().invoke(app, [kind, "--shape", name, "--repeat", "1", "--json", "--plot", str(picture), *more])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["note"] == NOTE
    (result,) = report["results"]
    assert (result["name"], result["random_weights"], result["notes"][0]) == (name, True, NOTE)
    assert result["figures"]
    assert NOTE in picture.read_text()


def test_a_cached_prefix_is_cached(small_shapes: dict[str, Shape], tmp_path: Path) -> None:
    shape = small_shapes["llama-3.2-1b"]
    shape.path(tmp_path).parent.mkdir()
    shape.write(shape.path(tmp_path))
    result = measure(
        Subject("llm", "small", shape.url(tmp_path), tmp_path, True), 1, partial(measure_llm, calls=(1, 3))
    )
    assert [f.name for f in result.figures] == [
        "first token, cold prefix",
        "first token, cached prefix",
        "first token, 12 of 16 words read ahead",
        "tokens alone",
        *(
            f"{what}, {who}"
            for who in ("1 call", "3 calls")
            for what in ("tokens in all", "first token p50", "first token p95")
        ),
    ]
    assert all(f.median > 0 for f in result.figures)
    total, kept = (int(word) for word in result.notes[0].split() if word.isdigit() and int(word) > 60)
    assert total - kept < 40


def test_a_table_is_printed_without_json(small_shapes: dict[str, Shape], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["tts", "--url", "espeak://en-us", "--repeat", "1"])
    assert done.exit_code == 0, done.output
    assert "first sound, 5 words" in " ".join(done.stdout.split())
    assert NOTE not in done.stdout


def test_listing_and_making_shapes_says_what_they_are(
    small_shapes: dict[str, Shape], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEBOT_HOME", str(tmp_path))
    made = CliRunner().invoke(app, ["shapes", "make", "qwen3-0.6b", "--json"])
    assert json.loads(made.stdout)["note"] == NOTE
    listed = json.loads(CliRunner().invoke(app, ["shapes", "list", "--json"]).stdout)
    assert {row["name"]: row["made"] for row in listed["shapes"]}["qwen3-0.6b"] is True
    assert NOTE in CliRunner().invoke(app, ["shapes", "list"]).stdout


@pytest.mark.parametrize(
    "arguments",
    [["shapes", "make", "gpt"], ["stt", "--shape", "gpt"], ["llm", "--url", "gpt"], ["llm", "--calls", "4,x"]],
)
def test_a_name_that_is_not_known_is_bad_input(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
