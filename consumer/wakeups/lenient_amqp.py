"""AMQP messages that py-amqp cannot read: their properties, or the routing key that they were published with.

It reads both while it takes a message from the wire, and what it raises then ends the connection: the broker sends the
message again, with all that were on their way, until each has used up its deliveries. Any producer can cause that, with
a header that holds a time in milliseconds. Here such a message arrives without its properties, with a header that says
why; and what is not ASCII in such a routing key is a question mark.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from amqp import abstract_channel, serialization
from amqp.basic_message import Message
from amqp.exceptions import FrameSyntaxError

from schemas.parse import UNREADABLE

_FAULTS = (ArithmeticError, FrameSyntaxError, OSError, RecursionError, ValueError, struct.error)
#: Bytes that the arguments of a delivery take, by py-amqp's letters; a text, ``s``, says its own length.
_SIZES = {"b": 1, "B": 2, "l": 4, "L": 8}
_Properties = tuple[Mapping[str, Any], int]
_Arguments = tuple[list[Any], int]


def install() -> None:
    """From now on no message that a producer can send costs this process a connection. Twice is the same as once."""
    readers: Any = serialization.PROPERTY_CLASSES
    if not isinstance(readers[Message.CLASS_ID], _LenientProperties):
        readers[Message.CLASS_ID] = _LenientProperties(readers[Message.CLASS_ID])
    channels: Any = abstract_channel
    if not isinstance(channels.loads, _LenientArguments):
        channels.loads = _LenientArguments(channels.loads)


class _LenientProperties:
    """Reads a message's properties like ``read``, and raises for nothing that a producer can send."""

    def __init__(self, read: Callable[[Any, int], _Properties]) -> None:
        self._read = read

    def __call__(self, data: Any, offset: int) -> _Properties:
        try:
            return self._read(data, offset)
        except _FAULTS as error:
            return {"application_headers": {UNREADABLE: type(error).__name__}}, len(data)


class _LenientArguments:
    """Reads the arguments of a method like ``read``, texts that are not UTF-8 too."""

    def __init__(self, read: Callable[[Any, Any, int], _Arguments]) -> None:
        self._read = read

    def __call__(self, letters: Any, data: Any, offset: int) -> _Arguments:
        try:
            return self._read(letters, data, offset)
        except UnicodeDecodeError:
            return self._read(letters, _legible(str(letters), data, offset), offset)


def _legible(letters: str, data: Any, offset: int) -> bytes:
    """``data`` with a question mark for every byte of its texts that is not ASCII."""
    changed = bytearray(data)
    for letter in letters:
        if letter == "s":
            start, offset = offset + 1, offset + 1 + changed[offset]
            changed[start:offset] = bytes(byte if byte < 0x80 else 0x3F for byte in changed[start:offset])
        elif letter in _SIZES:
            offset += _SIZES[letter]
        else:
            break  # none of a delivery
    return bytes(changed)
