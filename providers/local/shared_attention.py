"""Self-attention shared by the images of a batch: each attends to a sample of all others; subjects stay consistent.

It needs no training and works with every UNet of diffusers. How much it helps depends on the model, so measure it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from schemas.errors import UnsupportedOption

#: Fraction of each image's positions that all others attend to.
_SAMPLE_FRACTION = 0.5


@contextlib.contextmanager
def shared_attention(pipe: Any, images: int, seed: int) -> Iterator[None]:
    """Let the ``images`` of a batch share their attention within the block; restore the pipeline afterwards.

    Raises:
        UnsupportedOption: the pipeline has no UNet.
    """
    unet = getattr(pipe, "unet", None)
    if unet is None:
        raise UnsupportedOption(
            f"data.consistency: {type(pipe).__name__} cannot share attention; use prompt", field="data.consistency"
        )
    before = dict(unet.attn_processors)
    shared = _SharedSelfAttention(images, seed)
    unet.set_attn_processor({name: shared if ".attn1." in name else own for name, own in before.items()})
    try:
        yield
    finally:
        unet.set_attn_processor(before)


class _SharedSelfAttention:
    """An attention processor of diffusers."""

    def __init__(self, images: int, seed: int) -> None:
        import torch

        self._images = images
        self._generator = torch.Generator("cpu").manual_seed(seed)

    def __call__(self, attention: Any, states: Any, *_: Any, **__: Any) -> Any:
        from torch.nn import functional

        batch, length, _ = states.shape
        normed = states
        if attention.group_norm is not None:
            normed = attention.group_norm(states.transpose(1, 2)).transpose(1, 2)
        query, key, value = attention.to_q(normed), attention.to_k(normed), attention.to_v(normed)
        if self._images > 1 and batch % self._images == 0:
            key, value = self._extend(key, value)
        query, key, value = (
            part.view(batch, -1, attention.heads, part.shape[-1] // attention.heads).transpose(1, 2)
            for part in (query, key, value)
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        attended = attended.transpose(1, 2).reshape(batch, length, -1)
        attended = attention.to_out[1](attention.to_out[0](attended))
        if attention.residual_connection:
            attended = attended + states
        return attended / attention.rescale_output_factor

    def _extend(self, key: Any, value: Any) -> tuple[Any, Any]:
        """Return each image's keys and values, extended by sampled positions of all images.

        With guidance a batch has two halves, and images share only within their half.
        """
        import torch

        batch, length, width = key.shape
        halves, images = batch // self._images, self._images
        count = max(1, int(length * _SAMPLE_FRACTION))
        places = torch.randperm(length, generator=self._generator)[:count].to(key.device)

        def extended(part: Any) -> Any:
            own = part.view(halves, images, length, width)
            pool = own[:, :, places].reshape(halves, 1, images * count, width)
            every = pool.expand(halves, images, images * count, width)
            return torch.cat([own, every], 2).reshape(batch, length + images * count, width)

        return extended(key), extended(value)
