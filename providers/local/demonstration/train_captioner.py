"""Train ``demo-captioner``: ``python -m providers.local.demonstration.train_captioner FOLDER [SECONDS]``.

If the folder contains a captioner, it is trained further, for example after the drawings have changed.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

from providers.local.demonstration.drawings import drawing

DRAWINGS = 8_000
#: Width and height of its input images.
_SIDE = 32
_TOKENS = 14


def main(folder: Path, seconds: float) -> None:
    """Train for ``seconds`` and save model and processor."""
    import torch
    import transformers

    parts: Any = transformers
    chance = random.Random(7)  # noqa: S311 - drawings, not secrets
    drawn = [drawing(chance) for _ in range(DRAWINGS)]
    captions = [caption for _, caption in drawn]
    words = sorted({word for caption in captions for word in caption.replace(",", " ,").split()})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    tokenizer = parts.BertTokenizer(vocab={token: number for number, token in enumerate(tokens)})
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    known = (folder / "model.safetensors").exists()
    model = parts.BlipForConditionalGeneration.from_pretrained(folder).train() if known else model_for(tokenizer)
    images = parts.BlipImageProcessorPil(size={"height": _SIDE, "width": _SIDE})
    seen = images([image for image, _ in drawn], return_tensors="pt").pixel_values
    read = tokenizer(captions, padding="max_length", max_length=_TOKENS, return_tensors="pt")
    ids = read.input_ids.clone()
    ids[:, 0] = tokenizer.bos_token_id
    labels = ids.masked_fill(read.attention_mask == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.01)
    started = time.monotonic()
    while (part := (time.monotonic() - started) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * max(0.03, 1 - part)
        some = torch.randint(0, len(captions), (32,))
        output = model(
            pixel_values=seen[some], input_ids=ids[some], attention_mask=read.attention_mask[some], labels=labels[some]
        )
        optimizer.zero_grad()
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval().save_pretrained(folder)
    parts.BlipProcessor(images, tokenizer).save_pretrained(folder)


def model_for(tokenizer: Any) -> Any:
    """Return a BLIP model of width 64 with three vision layers and two text layers."""
    import torch
    import transformers

    parts: Any = transformers
    torch.manual_seed(0)
    writes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "encoder_hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 24,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "projection_dim": 64,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "label_smoothing": 0.0,
    }
    sees = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": _SIDE,
        "patch_size": 4,
        "projection_dim": 64,
    }
    return parts.BlipForConditionalGeneration(parts.BlipConfig(text_config=writes, vision_config=sees))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 360.0)
