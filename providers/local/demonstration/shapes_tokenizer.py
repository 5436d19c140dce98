"""The tokenizer of ``demo-shapes``: byte pairs learnt from the captions, single bytes for all other text."""

from __future__ import annotations

import json
from typing import Any


def byte_alphabet() -> list[str]:
    """Return a printable character for each byte, as in GPT-2 and CLIP."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = 256 - len(shown)
    return [chr(number) for number in shown] + [chr(256 + place) for place in range(hidden)]


def tokenizer_for(captions: list[str], longest: int) -> Any:
    """Return a CLIP tokenizer that has the words of ``captions`` as single tokens."""
    import tokenizers
    import transformers

    parts: Any = transformers

    learner = tokenizers.Tokenizer(tokenizers.models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    learner.normalizer = tokenizers.normalizers.Lowercase()
    words = tokenizers.Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    learner.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(words, behavior="removed", invert=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = byte_alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=1200, end_of_word_suffix="</w>", initial_alphabet=alphabet, show_progress=False
    )
    learner.train_from_iterator(captions[:4000], trainer)
    merges = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    tokens = [*alphabet, *(character + "</w>" for character in alphabet), *(a + b for a, b in merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return parts.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=longest)
