"""The talker's tokenizer: a byte-level BPE small enough that half the weights are not its table.

Digits are merged like letters by the usual GPT-2 splitting, so "10" is one token in a question and in a call.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from voicebot.training.chat import CONTROL_TOKENS, FIXED_TOKENS

VOCABULARY_SIZE = 3072


def train_tokenizer(texts: Iterable[str], size: int = VOCABULARY_SIZE) -> Tokenizer:
    """Learn merges from plain texts (without special tokens)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(FIXED_TOKENS),
        special_tokens=list(CONTROL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in FIXED_TOKENS])
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))


def token_id(tokenizer: Tokenizer, text: str) -> int:
    """The id of a token that must exist."""
    found = tokenizer.token_to_id(text)
    assert found is not None, text
    return found
