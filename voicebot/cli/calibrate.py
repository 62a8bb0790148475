"""`voicebot eval calibrate MEMBER`: the threshold from which a member's answers are good enough to be spoken."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from voicebot.config import DEFAULT_FILE, Config, load_config
from voicebot.errors import ConfigError, VoicebotError
from voicebot.evals.calibrate import Answer, Example, Report, answer_of, read_examples, report

FAILED, BAD_INPUT = 1, 2


def calibrate(
    member: Annotated[str, typer.Argument(help="Its name: fleet.NAME.")],
    data: Annotated[Path | None, typer.Option(help="Eval set; fleet.NAME.evals by default.")] = None,
    target: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="Share of accepted answers that shall be right.")
    ] = 0.95,
    config: Annotated[Path | None, typer.Option(help="TOML file; without it ./voicebot.toml.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Repeatable.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Put the threshold into the TOML file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """Choose a member's threshold by an eval set, so that escalation catches its wrong answers."""
    try:
        made = asyncio.run(_measured(load_config(config, overrides=settings or ()), member, data, target))
        if write and made.reached:
            from voicebot.settings_file import set_value

            other = {"min_logprob": "mean_logprob", "mean_logprob": "min_logprob"}[made.measure]
            set_value(config or DEFAULT_FILE, f"fleet.{member}", made.measure, made.threshold, drop=other)
    except VoicebotError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(BAD_INPUT if isinstance(error, ConfigError) else FAILED) from None
    typer.echo(json.dumps(made.document(), indent=2) if as_json else _told(made))
    if not made.reached:
        typer.echo(f"error: no threshold reaches {target:.0%}; the member is not good enough for its task", err=True)
        raise typer.Exit(FAILED)


async def _measured(config: Config, name: str, data: Path | None, target: float) -> Report:
    """Raises: ConfigError, EngineError."""
    from voicebot.assemble import Brainwork
    from voicebot.engines.registry import create
    from voicebot.lane import Lane
    from voicebot.profiles import resolve_profile
    from voicebot.toolwork import Toolwork

    resolved = resolve_profile(config)
    assert resolved.engines.llm is not None, "a resolved profile names every engine"
    brain = Brainwork(config, resolved, Lane(create("llm", resolved.engines.llm, resolved.models_dir)))
    names = [member.name for member in brain.fleet]
    if name not in names:
        raise ConfigError(f"the fleet has no member {name}; it has {', '.join(names)}")
    member, given = brain.fleet[name], config.fleet.get(name)
    file = data or (given.evals if given else None)
    if file is None:
        raise ConfigError(f"no eval set: give --data, or set fleet.{name}.evals")
    examples = read_examples(file)
    tools = Toolwork(config).box.schema(member.tools)

    async def ask(example: Example) -> Answer:
        return await answer_of(member, example, tools)

    lane = next(lane for lane in (brain.main, *brain.lanes.values()) if lane is member.lane)
    await lane.load()
    try:
        if brain.documents is not None:
            await brain.documents.load()
            await brain.documents.embed()
        return await report(name, ask, examples, target)
    finally:
        await lane.aclose()
        if brain.documents is not None:
            await brain.documents.aclose()


def _told(made: Report) -> str:
    broken = f"; {made.broken} did not parse" if made.broken else ""
    lines = [
        f"{made.member}: {made.right} of {made.n} right ({_interval(made.right_95)}){broken}",
        f"{made.measure} tells right from wrong best: AUROC "
        + ", ".join(f"{value:.3f} by {name}" for name, value in made.auroc.items()),
        "answers accepted, and how many of those are wrong:",
        *(f"  {point['coverage']:4.0%}  {point['risk']:6.1%}" for point in made.curve),
        f"from {made.threshold} on {made.accepted} of {made.n} are accepted and the others escalate; of the accepted",
        f"{made.chosen.right_when_accepted:.1%} are right ({_interval(made.accepted_right_95)})",
        "",
        made.toml().rstrip(),
    ]
    return "\n".join(lines)


def _interval(bounds: list[float]) -> str:
    return f"95 % interval {bounds[0]:.1%} to {bounds[1]:.1%}"
