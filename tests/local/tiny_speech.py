"""Speech models of the real architectures with random weights: a few hundred kilobytes, no download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from tests.local.tiny_models import byte_alphabet

T: Any = transformers


def save_wav2vec2(folder: Path) -> Path:
    """Save a wav2vec2 with CTC that knows the upper-case letters, as facebook/wav2vec2-base-960h does."""
    folder.mkdir()
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    extractor = T.Wav2Vec2FeatureExtractor(return_attention_mask=False)
    T.Wav2Vec2Processor(extractor, T.Wav2Vec2CTCTokenizer(str(vocabulary))).save_pretrained(folder)
    torch.manual_seed(0)
    config = T.Wav2Vec2Config(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        pad_token_id=0,
    )
    T.Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder


def save_whisper(folder: Path) -> Path:
    """Save a Whisper with the alignment heads that word times need."""
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
    times = [f"<|{number * 0.02:.2f}|>" for number in range(1501)]
    words = byte_alphabet()
    tokenizer = T.WhisperTokenizer(
        vocab={token: number for number, token in enumerate(words)},
        merges=[],
        unk_token=special[0],
        bos_token=special[0],
        eos_token=special[0],
        pad_token=special[0],
    )
    tokenizer.add_special_tokens({"additional_special_tokens": special[1:]})
    tokenizer.add_tokens([T.AddedToken(time, special=False) for time in times])
    extractor = T.WhisperFeatureExtractor()
    T.WhisperProcessor(extractor, tokenizer).save_pretrained(folder)
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in special}
    torch.manual_seed(0)
    config = T.WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_target_positions=448,
        bos_token_id=ids["<|endoftext|>"],
        eos_token_id=ids["<|endoftext|>"],
        pad_token_id=ids["<|endoftext|>"],
        decoder_start_token_id=ids["<|startoftranscript|>"],
        suppress_tokens=[],
        begin_suppress_tokens=[],
    )
    model = T.WhisperForConditionalGeneration(config)
    generation = {
        "alignment_heads": [[0, 0]],
        "is_multilingual": True,
        "lang_to_id": {"<|en|>": ids["<|en|>"]},
        "task_to_id": {"transcribe": ids["<|transcribe|>"]},
        "no_timestamps_token_id": ids["<|notimestamps|>"],
        "prev_sot_token_id": ids["<|startoftranscript|>"],
        "max_length": 30,
        "_from_model_config": False,
    }
    for name, value in generation.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    return folder
