"""`python -m voicebot.training.talker train|export|mix`: trains the talker and writes it as GGUF.

Needs torch, tokenizers and gguf, which the server does not: see `models/talker/README.md`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import torch

from voicebot.training import train
from voicebot.training.chat import Turn
from voicebot.training.export import write_gguf
from voicebot.training.feed import Feed, feeding, said
from voicebot.training.generate import Generator
from voicebot.training.model import Talker
from voicebot.training.restore import mixed, read_gguf
from voicebot.training.shape import SHAPES
from voicebot.training.tokenizer import load_tokenizer, train_tokenizer

TOKENIZER_DIALOGUES = 30_000


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def make_tokenizer(folder: Path, people: Path | None, seed: int) -> None:
    generator = Generator(Random(seed), said(people))
    texts = (" " + text for _ in range(TOKENIZER_DIALOGUES) for text in _plain(generator.dialogue()))
    train_tokenizer(texts).save(str(folder / "tokenizer.json"))


def _plain(turns: list[Turn]) -> list[str]:
    return [text for turn in turns for text in (turn.user, turn.reply)]


def begin(options: argparse.Namespace) -> Talker:
    """The model of --resume, or a new one. Its tokenizer is kept in --work."""
    stored = options.work / "tokenizer.json"
    if options.resume and options.resume.suffix == ".gguf":
        shape, weights, tokenizer = read_gguf(options.resume)
        tokenizer.save(str(stored))
        model = Talker(shape)
        model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        return model
    if not stored.exists():
        make_tokenizer(options.work, options.clinc, options.seed)
    if options.resume:
        return train.load(options.resume)
    return Talker(replace(SHAPES[options.shape], vocabulary=load_tokenizer(stored).get_vocab_size()))


def run_training(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.work.mkdir(parents=True, exist_ok=True)
    model = begin(options)
    model.dropout = options.dropout
    say(f"{sum(weight.numel() for weight in model.parameters()) / 1e6:.2f} M parameters")
    feed = Feed(options.clinc, options.work / "tokenizer.json", options.batch_tokens, options.seed)
    recipe = train.Recipe(
        options.steps, options.minutes, options.rate, options.rate * 0.15, bf16=options.bf16, device=options.device
    )
    with feeding(feed, options.workers) as stream:
        say(str(train.train(model, stream, recipe, options.work, say)))


def run_export(options: argparse.Namespace) -> None:
    tokenizer = load_tokenizer(options.work / "tokenizer.json")
    model = train.load(options.work / "model.pt")
    weights = {name: value.float().numpy() for name, value in model.state_dict().items()}
    write_gguf(model.shape, weights, tokenizer, options.out)
    say(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


def run_mix(options: argparse.Namespace) -> None:
    write_gguf(*mixed(options.first, options.second, options.share), options.out)
    say(f"{options.out}: {options.share:g} of {options.second}, the rest of {options.first}")


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(description=__doc__)
    verbs = root.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("train", help="train; go on from --resume MODEL.pt or talker.gguf if given")
    one.add_argument("--work", type=Path, required=True, help="folder for tokenizer.json and model.pt")
    one.add_argument("--clinc", type=Path, help="CLINC150 train_val.json (human phrasings of the other intents)")
    one.add_argument("--resume", type=Path)
    one.add_argument("--steps", type=int, default=1500)
    one.add_argument("--minutes", type=float, default=24 * 60)
    one.add_argument("--rate", type=float, default=0.02)
    one.add_argument("--batch-tokens", type=int, default=3072)
    one.add_argument("--shape", choices=SHAPES, default="small")
    one.add_argument("--dropout", type=float, default=0.0)
    one.add_argument("--device", default="cpu", help="cpu or cuda")
    one.add_argument("--workers", type=int, default=0, help="processes that make dialogues; 0: the training's own")
    one.add_argument("--threads", type=int, default=2)
    one.add_argument("--bf16", action="store_true", help="twice as fast if lscpu names avx512_bf16 or amx_bf16")
    one.add_argument("--seed", type=int, default=1)
    two = verbs.add_parser("export", help="write the GGUF file")
    two.add_argument("--work", type=Path, required=True)
    two.add_argument("--out", type=Path, required=True)
    three = verbs.add_parser("mix", help="write the weights between a talker and one that was trained on from it")
    three.add_argument("first", type=Path)
    three.add_argument("second", type=Path)
    three.add_argument("--share", type=float, default=0.5, help="of the second, 0 to 1")
    three.add_argument("--out", type=Path, required=True)
    return root


def main() -> None:
    options = parser().parse_args()
    {"train": run_training, "export": run_export, "mix": run_mix}[options.verb](options)


if __name__ == "__main__":
    main()
