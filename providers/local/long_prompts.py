"""Prompts longer than the text encoder's limit: the CLIP encoder of Stable Diffusion reads 77 tokens.

A longer prompt is split into chunks that fit, and the image is generated from the embeddings of all chunks. Other kinds
of pipelines read only the beginning; the manifest lists the prompts that were cut.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

#: The encoder adds a start token and an end token.
_SPECIAL_TOKENS = 2
#: Number of chunks encoded at once: a text of two thousand rare characters has hundreds.
_ENCODED_AT_ONCE = 32
#: A chunk ends at one of these if there is one in its second half.
_PUNCTUATION = (",", ".", ";", ":", "!", "?")


@contextlib.contextmanager
def prompt_arguments(pipe: Any, prompts: Sequence[str], negative: str | None) -> Iterator[dict[str, Any]]:
    """Yield the keyword arguments with which ``pipe`` reads the prompts completely; restore the pipeline afterwards.

    Prompts that fit the encoder are passed as text.
    """
    parts = split_prompts(pipe, [*prompts, negative or ""]) if _can_chunk(pipe) else []
    if max(map(len, parts), default=1) == 1:
        yield {"prompt": list(prompts)} | ({"negative_prompt": [negative] * len(prompts)} if negative else {})
        return
    import torch

    with torch.inference_mode():
        read, known = _encode(pipe, parts)
        count = len(prompts)
        arguments = {"prompt_embeds": read[:count], "negative_prompt_embeds": read[count:].expand(count, -1, -1)}
        # In the order in which the pipeline concatenates them: negative prompt first.
        mask = torch.cat([known[count:].expand(count, -1), known[:count]])
    if bool(mask.all()):
        yield arguments
        return

    def masked(unet: Any, given: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        rows = named["encoder_hidden_states"].shape[0]
        return given, {**named, "encoder_attention_mask": mask[-rows:]}

    hook = pipe.unet.register_forward_pre_hook(masked, with_kwargs=True)
    try:
        yield arguments
    finally:
        hook.remove()


def prompt_details(pipe: Any, prompts: Sequence[str]) -> dict[str, Any]:
    """Return for the manifest the number of chunks of each prompt, or which were cut; empty if all were short."""
    if _can_chunk(pipe):
        counts = [len(parts) for parts in split_prompts(pipe, prompts)]
        return {"prompt_parts": counts} if max(counts) > 1 else {}
    tokenizer = getattr(pipe, "tokenizer", None)
    if tokenizer is None:
        return {}
    max_length = int(tokenizer.model_max_length)
    cut = [number for number, prompt in enumerate(prompts) if len(tokenizer(prompt).input_ids) > max_length]
    return {"cut_prompts": cut} if cut else {}


def split_prompts(pipe: Any, texts: Sequence[str]) -> list[list[str]]:
    """Split each text into chunks that the encoder can read."""
    return [_split(pipe.tokenizer, text) for text in texts]


def _can_chunk(pipe: Any) -> bool:
    """Return whether the pipeline is a Stable Diffusion 1 or 2 with one CLIP tokenizer and one text encoder."""
    import diffusers

    kind: Any = diffusers.StableDiffusionPipeline
    return isinstance(pipe, kind) and pipe.tokenizer is not None and pipe.text_encoder is not None


def _split(tokenizer: Any, text: str) -> list[str]:
    max_length = int(tokenizer.model_max_length) - _SPECIAL_TOKENS
    if _length(tokenizer, text) <= max_length:
        return [text]
    parts: list[str] = []
    part: list[str] = []
    room = max_length
    for word in _words(tokenizer, text, max_length):
        length = _length(tokenizer, word)
        while part and length > room:
            kept = _words_to_keep(part)
            parts.append(" ".join(part[:kept]))
            part = part[kept:]
            room = max_length - sum(_length(tokenizer, other) for other in part)
        part.append(word)
        room -= length
    return [*parts, " ".join(part)]


def _words_to_keep(part: list[str]) -> int:
    """Return how many words of a full chunk stay in it.

    It ends after the last punctuation mark of its second half, or else after the last word.
    """
    for kept in range(len(part), len(part) // 2, -1):
        if part[kept - 1].endswith(_PUNCTUATION):
            return kept
    return len(part)


def _words(tokenizer: Any, text: str, max_length: int) -> Iterator[str]:
    """Yield the words of the text; a word that does not fit into a chunk is yielded in pieces."""
    for word in text.split():
        rest = word
        while _length(tokenizer, rest) > max_length:
            # A character usually is at least one token.
            size = max(1, min(len(rest) - 1, max_length))
            while size > 1 and _length(tokenizer, rest[:size]) > max_length:
                size -= 1
            yield rest[:size]
            rest = rest[size:]
        yield rest


def _length(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False).input_ids)


def _encode(pipe: Any, texts: Sequence[Sequence[str]]) -> tuple[Any, Any]:
    """Return the embeddings of the texts, padded to equal length, and the mask of positions that are not padding."""
    import torch

    distinct = list(dict.fromkeys(part for text in texts for part in text))
    by_chunk: dict[str, Any] = {}
    for first in range(0, len(distinct), _ENCODED_AT_ONCE):
        chunks = distinct[first : first + _ENCODED_AT_ONCE]
        by_chunk |= zip(chunks, pipe.encode_prompt(chunks, pipe._execution_device, 1, False)[0], strict=True)
    rows = [torch.cat([by_chunk[part] for part in text]) for text in texts]
    padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows], device=padded.device)
    return padded, torch.arange(padded.shape[1], device=padded.device)[None] < lengths[:, None]
