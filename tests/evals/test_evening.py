"""The scripted evening: what it draws, what its recogniser knows, how figures are read, and a short one for real."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from voicebot.engines.options import EngineSpec
from voicebot.evals.evening import (
    MIX,
    dealt,
    draw,
    late_answers,
    read_script,
    recorded,
    served_by_llama_cpp,
    spread,
    turns_of,
    withdrawals,
)
from voicebot.evals.evening_callers import EveningCaller, Line, Said, ToldStt
from voicebot.transports.loopback import Heard


def test_an_evening_has_its_shares_and_comes_out_the_same_again() -> None:
    drawn = draw(200, Random(1))
    counts = Counter(kind for kind, _ in drawn)
    assert {kind: counts[kind] for kind in MIX} == {kind: round(share * 200) for kind, share in MIX.items()}
    assert drawn == draw(200, Random(1)) != draw(200, Random(2))
    assert all(text in read_script()[kind] for kind, text in drawn)


class Never:
    def is_set(self) -> bool:
        return False


def test_the_recogniser_knows_each_recording_wherever_it_lies_and_how_far_it_has_gone() -> None:
    lines = recorded([("tools", "what time is it in tokyo"), ("tools", "what time is it in london")])
    stt = ToldStt(EngineSpec("stt", "told", "", {}, "told://"), ToldStt.Options(delay_ms=0))
    stt.lines = lines
    stt.load()
    for line in lines:
        around = np.concatenate([np.zeros(1777, np.int16), line.pcm, np.zeros(999, np.int16)])
        assert stt.transcribe(around, Never()).text == line.text
    half = stt.transcribe(lines[0].pcm[: len(lines[0].pcm) // 2], Never()).text
    assert lines[0].text.startswith(half) and 2 <= len(half.split()) <= 4
    assert stt.transcribe(np.zeros(16_000, np.int16), Never()).text == ""


def caller(said: list[Said], loud_at: list[float], log: list[tuple[float, dict[str, object]]]) -> EveningCaller:
    made = EveningCaller([], Random(1))
    made.said = said
    made.log = list(log)
    made.heard.extend(Heard(at, np.full(320, 3000, np.int16)) for at in loud_at)
    return made


def line(text: str = "why") -> Line:
    return Line("hard", text, np.zeros(0, np.int16))


def test_a_turn_is_timed_to_its_own_first_sound_and_not_to_an_earlier_answers() -> None:
    turn = {"type": "turn", "turn": 1, "ended": False, "heard": "why", "waterfall": {"stages": []}}
    made = caller(
        [Said(line(), 1.0, 2.0), Said(line("who"), 6.0, 7.0)],
        [2.3, 2.32, 6.5],
        [(2.29, turn), (2.3, {"type": "errand", "errand": 4, "state": "pending"})],
    )
    first, second = turns_of(made)
    assert first["errand"] and first["ms"] == pytest.approx(300)
    assert not second["errand"] and math.isnan(second["ms"]), "no turn was begun for it"


def test_a_late_answer_is_timed_from_the_silence_and_seen_when_it_begins_over_the_caller() -> None:
    ready = {"type": "errand", "errand": 4, "state": "ready"}
    speaking = ready | {"state": "speaking"}
    polite = caller([Said(line(), 1.0, 2.0)], [3.0, 3.02, 5.2], [(4.0, ready), (5.0, speaking)])
    assert late_answers(polite) == [{"ms": pytest.approx(1200), "into_a_line_s": 0.0, "after_a_question": False}]
    rude = caller([Said(line(), 1.0, 6.0)], [5.2], [(4.0, ready), (5.0, speaking)])
    assert late_answers(rude)[0]["into_a_line_s"] == pytest.approx(4.2)


def test_what_is_withdrawn_is_withdrawn_by_whoever_asked() -> None:
    drawn = [Line(kind, str(at), np.zeros(0, np.int16)) for at, (kind, _) in enumerate(draw(60, Random(3)))]
    hands = dealt(drawn, 3)
    assert sorted(int(one.text) for hand in hands for one in hand) == list(range(len(drawn)))
    pairs = [(hand[at - 1], one) for hand in hands for at, one in enumerate(hand) if one.kind == "withdrawn"]
    assert pairs and all(before.kind == "hard" for before, _ in pairs)
    assert all(int(one.text) == int(before.text) + 1 for before, one in pairs)
    assert max(map(len, hands)) - min(map(len, hands)) <= len(pairs) + 1


@pytest.mark.parametrize(
    ("after", "in_time", "ended", "heard"),
    [
        ([(4.2, "cancelled")], True, "cancelled", False),
        ([(4.0, "ready"), (4.2, "cancelled")], True, "cancelled", False),
        ([(3.0, "ready"), (3.1, "speaking"), (5.0, "delivered")], False, "delivered", True),
        ([(4.0, "ready"), (5.0, "speaking"), (6.0, "delivered")], True, "delivered", True),
    ],
)
def test_a_withdrawal_is_in_time_before_anything_of_the_answer_is_heard(
    after: list[tuple[float, str]], in_time: bool, ended: str, heard: bool
) -> None:
    said = [Said(line(), 1.0, 2.0), Said(Line("withdrawn", "never mind", np.zeros(0, np.int16)), 3.5, 4.1)]
    states = [(2.2, "pending"), *after]
    log: list[tuple[float, dict[str, object]]] = [
        (at, {"type": "errand", "errand": 4, "state": state}) for at, state in states
    ]
    assert withdrawals(caller(said, [], log)) == [{"in_time": in_time, "ended": ended, "heard": heard}]
    assert withdrawals(caller(said[1:], [], [])) == [], "there was nothing to withdraw"


def test_figures_are_percentiles_of_what_is_known() -> None:
    assert spread([math.nan]) == {"n": 0}
    assert spread([*range(1, 101), math.nan]) == {"n": 100, "p50": 51, "p95": 95, "max": 100, "mean": 50.5 // 1}


@pytest.mark.realtime
@pytest.mark.parametrize("server", ["ours", "llama_cpp"])
def test_a_short_evening_is_had_and_told(tmp_path: Path, server: str) -> None:
    if server == "llama_cpp" and not served_by_llama_cpp():
        pytest.skip("llama-cpp-python's server is not installed: llama-cpp-python[server]")
    out = tmp_path / "evening.json"
    command = [sys.executable, "-m", "voicebot.evals.evening", "--turns", "10", "--calls", "2", "--out", str(out)]
    subprocess.run([*command, "--server", server], check=True, capture_output=True, timeout=180)
    told = json.loads(out.read_text())
    assert told["turns"] >= 10 and told["without_any_answer"] == 0
    assert told["late_answers"]["begun_over_the_caller"] == 0
    assert told["escalated"] == told["sent_out"]["sent"] == told["bill"]["escalated"] > 0
    assert told["withdrawn"]["of_those_heard"] == 0
    if told["bill"]["unknown"] < told["escalated"]:  # What a cancelled request has cost is not known.
        assert told["bill"]["ratio"] > 1
