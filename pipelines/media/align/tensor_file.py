"""The tensors of a TensorFlow checkpoint (``model.index`` and its data file), read without TensorFlow.

The index is a table of LevelDB without compression. Its values are ``BundleEntryProto`` messages; both formats are
described in tensorflow/core/lib/io/format.cc and tensorflow/core/protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_FOOTER_BYTES = 48
_FLOAT = 1
#: Fields of ``BundleEntryProto``, and of the messages inside its shape.
_TYPE, _SHAPE, _OFFSET, _SIZE = 1, 2, 4, 5
_DIMENSION, _DIMENSION_SIZE = 2, 1


def read_tensors(index: Path, data: Path) -> dict[str, NDArray[np.float32]]:
    """Return the tensors of 32-bit floats by name.

    Raises:
        ValueError: The files are no checkpoint.
        OSError: A file cannot be read.
    """
    try:
        return dict(_tensors(index.read_bytes(), data.read_bytes()))
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"{index} is not the index of a checkpoint: {error}") from None


def _tensors(index: bytes, data: bytes) -> Iterator[tuple[str, NDArray[np.float32]]]:
    at = len(index) - _FOOTER_BYTES
    for _ in range(2):  # place and size of the index of metadata, which is not used
        _, at = _number(index, at)
    start, at = _number(index, at)
    size, at = _number(index, at)
    for _, handle in _block(index, start, size):
        block_start, then = _number(handle, 0)
        block_size, _ = _number(handle, then)
        for name, value in _block(index, block_start, block_size):
            fields = dict(_fields(value))
            if name and fields.get(_TYPE) == _FLOAT:
                offset, length = _whole(fields.get(_OFFSET, 0)), _whole(fields[_SIZE])
                shape = [
                    _whole(dict(_fields(_text(dimension))).get(_DIMENSION_SIZE, 0))
                    for field, dimension in _fields(_text(fields.get(_SHAPE, b"")))
                    if field == _DIMENSION
                ]
                yield name.decode(), np.frombuffer(data[offset : offset + length], "<f4").reshape(shape)


def _block(table: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a block. A key continues a part of the one before it."""
    if table[start + size] != 0:
        raise ValueError("the index is compressed")
    block = table[start : start + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    end, at, key = len(block) - 4 - 4 * restarts, 0, b""
    while at < end:
        shared, at = _number(block, at)
        own, at = _number(block, at)
        length, at = _number(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the numbers and values of the fields of a protocol buffer."""
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _number(message, at)
            yield tag >> 3, value
            continue
        length, at = _number(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        yield tag >> 3, message[at : at + length]
        at += length


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _whole(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("a number is expected in the index")
    return value


def _text(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a message is expected in the index")
    return value
