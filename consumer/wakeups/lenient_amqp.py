"""Patches of py-amqp 5.4 and kombu 5.7: a message must not close the connection or fill the memory.

An unreadable message closes the connection (https://github.com/celery/py-amqp/issues/277).

py-amqp decodes a message's properties and routing key while it reads the frame. If that raises, the connection closes,
and the broker redelivers this message and all others in flight until each has used up its delivery limit. Any producer
can cause that, for example with a timestamp header in milliseconds.

With this patch, a message with unreadable properties arrives without them, and with a header that contains the reason.
In an unreadable routing key, each byte that is not ASCII is replaced by a question mark.

kombu decompresses a message whose header ``compression`` says so while it receives it, without a limit: a few kilobytes
become gigabytes. With this patch, message bodies stay as they are. Admission decompresses requests, within the size
limit; wake-ups are never compressed.

``tests/unit/test_upstream_faults.py`` fails when py-amqp or kombu handles such messages itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from amqp import abstract_channel, serialization
from amqp.basic_message import Message
from amqp.exceptions import FrameSyntaxError
from kombu import message as kombu_message

from schemas.parse import UNREADABLE

_FAULTS = (ArithmeticError, FrameSyntaxError, OSError, RecursionError, ValueError, struct.error)
#: Size in bytes of a delivery's arguments, by py-amqp's format letters; a string, ``s``, begins with its length.
_SIZES = {"b": 1, "B": 2, "l": 4, "L": 8}
_Properties = tuple[Mapping[str, Any], int]
_Arguments = tuple[list[Any], int]


def install() -> None:
    """Patch py-amqp and kombu. Idempotent."""
    readers: Any = serialization.PROPERTY_CLASSES
    if not isinstance(readers[Message.CLASS_ID], _LenientProperties):
        readers[Message.CLASS_ID] = _LenientProperties(readers[Message.CLASS_ID])
    channels: Any = abstract_channel
    if not isinstance(channels.loads, _LenientArguments):
        channels.loads = _LenientArguments(channels.loads)
    messages: Any = kombu_message
    messages.decompress = _leave_compressed


def _leave_compressed(body: Any, _compression: Any) -> Any:
    return body


class _LenientProperties:
    """Decodes a message's properties with ``read``; unreadable properties are replaced instead of raised."""

    def __init__(self, read: Callable[[Any, int], _Properties]) -> None:
        self._read = read

    def __call__(self, data: Any, offset: int) -> _Properties:
        try:
            return self._read(data, offset)
        except _FAULTS as error:
            return {"application_headers": {UNREADABLE: type(error).__name__}}, len(data)


class _LenientArguments:
    """Decodes a method's arguments with ``read``; strings that are not UTF-8 are made ASCII first."""

    def __init__(self, read: Callable[[Any, Any, int], _Arguments]) -> None:
        self._read = read

    def __call__(self, letters: Any, data: Any, offset: int) -> _Arguments:
        try:
            return self._read(letters, data, offset)
        except UnicodeDecodeError:
            return self._read(letters, _as_ascii(str(letters), data, offset), offset)


def _as_ascii(letters: str, data: Any, offset: int) -> bytes:
    """Return ``data`` with a question mark for each byte of its strings that is not ASCII."""
    changed = bytearray(data)
    for letter in letters:
        if letter == "s":
            start, offset = offset + 1, offset + 1 + changed[offset]
            changed[start:offset] = bytes(byte if byte < 0x80 else 0x3F for byte in changed[start:offset])
        elif letter in _SIZES:
            offset += _SIZES[letter]
        else:
            break  # a delivery has no arguments of this type
    return bytes(changed)
