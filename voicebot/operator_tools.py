"""An operator's Python file of `@tool` functions, read into tools; what is wrong with it is said with file and line."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from hashlib import sha256
from pathlib import Path

from voicebot.brain.tools_types import Tool
from voicebot.errors import ConfigError


def read_tools(file: Path) -> list[Tool]:
    """Every tool that the file declares, in order. The file is run: it is the operator's own code.

    Raises: ConfigError for a file that cannot be read or run, or that declares no tool.
    """
    if not file.is_file():
        raise ConfigError(f"tools.files: there is no file {file}")
    name = f"voicebot_tools_{file.stem}_{sha256(str(file.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"tools.files: {file} is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Where dataclasses and type hints look their own module up.
    try:
        spec.loader.exec_module(module)
    except ConfigError:
        raise
    except SyntaxError as error:
        raise ConfigError(f"{error.filename}:{error.lineno}: {error.msg}") from None
    except Exception as error:
        raise ConfigError(f"{_place(error, file)}: {type(error).__name__}: {error}") from error
    tools = [value for value in vars(module).values() if isinstance(value, Tool)]
    if not tools:
        raise ConfigError(f"tools.files: {file} declares no tool; put @tool before its functions (voicebot.tools.tool)")
    return list({id(tool): tool for tool in tools}.values())


def _place(error: Exception, file: Path) -> str:
    """The last line of the operator's file that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == file]
    return f"{file}:{lines[-1]}" if lines else str(file)
