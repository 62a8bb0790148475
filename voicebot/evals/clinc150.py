"""Converts CLINC150 to the router's lines: `python -m voicebot.evals.clinc150 train_val.json train|val OUT.jsonl`.

CLINC150: Larson et al., "An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction", EMNLP 2019,
CC BY 3.0. Each part takes its own out-of-scope lines with it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def converted(source: Path, part: str) -> list[dict[str, object]]:
    """Lines of `part` and of `oos_part`; no line says how hard it is."""
    found = json.loads(source.read_text("utf-8"))
    return [{"text": text, "task": task, "hard": False} for name in (part, f"oos_{part}") for text, task in found[name]]


def main() -> None:
    parser = argparse.ArgumentParser(description="CLINC150 to the router's JSON lines.")
    parser.add_argument("source", type=Path)
    parser.add_argument("part", help="train, val or test")
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    lines = converted(given.source, given.part)
    given.out.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")


if __name__ == "__main__":
    main()
