"""Sets one value in a TOML file by hand's rules: every other line, comments included, stays as it is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from voicebot.errors import ConfigError


def set_value(file: Path, table: str, key: str, value: float, drop: str = "") -> None:
    """`table`: "fleet.talker"; a new one goes to the end. `drop`: a key that goes. Raises: ConfigError."""
    text = _read(file)
    lines = text.splitlines()
    start = next(
        (at for at, line in enumerate(lines) if re.fullmatch(rf"\s*\[{re.escape(table)}\]\s*(#.*)?", line)), None
    )
    if start is None:
        lines += ["", f"[{table}]", f"{key} = {value}"]
    else:
        stop = next((at for at in range(start + 1, len(lines)) if lines[at].lstrip().startswith("[")), len(lines))
        own = [
            line
            for line in lines[start + 1 : stop]
            if not re.match(rf"\s*({key}{f'|{drop}' if drop else ''})\s*=", line)
        ]
        lines[start + 1 : stop] = [f"{key} = {value}", *own]
    made = "\n".join(lines).lstrip("\n") + "\n"
    if _value(made, table, key) != value or (drop and _value(made, table, drop) is not None):
        raise ConfigError(f"{file} sets {table} in a way that cannot be changed by itself; write {key} = {value} there")
    file.write_text(made, encoding="utf-8")


def _read(file: Path) -> str:
    if not file.exists():
        return ""
    try:
        text = file.read_text(encoding="utf-8")
        tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file} cannot be changed: {error}") from None
    return text


def _value(text: str, table: str, key: str) -> Any:
    """None where it is not set, or where the text has become no TOML."""
    try:
        found: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    for part in (*table.split("."), key):
        found = found.get(part) if isinstance(found, dict) else None
    return found
